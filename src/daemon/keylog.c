/* Keys of SAs for Wireshark, beside those of IKE: lines of its esp_sa table, in the file of the key log with ".esp" added.
 * Only where the user asks for a key log. */

#include "daemon/keylog.h"

#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "crypto/crypto.h"
#include "daemon/top.h"
#include "tunnels/daemon.h"

static const char *encryption(const struct dt_suite *s)
{
    switch (s->encr) {
    case DT_ENCR_AES_GCM_16:
        return "AES-GCM with 16 octet ICV [RFC4106]";
    case DT_ENCR_CHACHA20_POLY1305:
        return NULL; /* Wireshark's ESP does not know it */
    case DT_ENCR_AES_CBC:
        return "AES-CBC [RFC3602]";
    default:
        return "NULL";
    }
}

static const char *integrity(const struct dt_suite *s)
{
    switch (s->integ) {
    case DT_INTEG_HMAC_SHA2_256_128:
        return "HMAC-SHA-256-128 [RFC4868]";
    case DT_INTEG_HMAC_SHA2_384_192:
        return "HMAC-SHA-384-192 [RFC4868]";
    case DT_INTEG_HMAC_SHA2_512_256:
        return "HMAC-SHA-512-256 [RFC4868]";
    default:
        return "NULL"; /* combined modes bring their own */
    }
}

static void one(FILE *f, const struct dt_endpoint_sa *sa, const struct dt_addr *from,
                const struct dt_addr *to, uint32_t spi, const uint8_t *key)
{
    char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN], k1[2 * DT_KEY_MAX + 1], k2[2 * DT_KEY_MAX + 1];
    size_t klen = dt_suite_key_len(&sa->suite), ilen = dt_suite_integ_len(&sa->suite);
    const char *cipher = encryption(&sa->suite);
    /* A name that Wireshark does not know would stop it from reading the whole table: a comment then. */
    fprintf(f, "%s\"IPv%u\",\"%s\",\"%s\",\"0x%08x\",\"%s\",\"0x%s\",\"%s\",\"%s%s\"\n", cipher ? "" : "# ",
            from->ver, dt_addr_str(a, from), dt_addr_str(b, to), spi, cipher ? cipher : "ChaCha20-Poly1305",
            dt_hex(k1, key, klen), integrity(&sa->suite), ilen ? "0x" : "", dt_hex(k2, key + klen, ilen));
    dt_wipe(k1, sizeof(k1));
    dt_wipe(k2, sizeof(k2));
}

void keylog_lines(FILE *f, const struct dt_endpoint_sa *sa)
{
    one(f, sa, &sa->path.local.addr, &sa->path.remote.addr, sa->spi_out, sa->key_out);
    one(f, sa, &sa->path.remote.addr, &sa->path.local.addr, sa->spi_in, sa->key_in);
}

/* Opened for each SA: whoever takes the file away begins a new one. */
void keylog_sa(struct daemon *d, const struct dt_endpoint_sa *sa)
{
    struct dt_err err = {0};
    if (d->top->keylog == NULL)
        return;
    int fd = dt_keeper_keylog(d->keeper, &err);
    FILE *f = fd >= 0 ? fdopen(fd, "a") : NULL;
    if (f == NULL) {
        LOG(DT_LOG_WARN, "%s", fd < 0 ? err.text : "no memory for the key log");
        if (fd >= 0)
            close(fd);
        return;
    }
    setvbuf(f, NULL, _IONBF, 0); /* no buffer with keys is left behind */
    keylog_lines(f, sa);
    fclose(f);
}

int keylog_open(struct daemon *d, struct dt_err *err)
{
    char path[sizeof(d->cfg.keylog) + 8];
    if (d->cfg.keylog[0] == '\0')
        return 0;
    daemon_keylog_path(d, path, sizeof(path));
    int fd = dt_keylog_open(d->cfg.keylog, err), esp = fd >= 0 ? dt_keylog_open(path, err) : -1;
    if (esp >= 0)
        close(esp);
    d->top->keylog = esp >= 0 ? fdopen(fd, "a") : NULL;
    if (d->top->keylog == NULL && fd >= 0)
        close(fd);
    return d->top->keylog != NULL ? 0 : -1;
}
