/* Keys of SAs for Wireshark, beside those of IKE: lines of its esp_sa table, in the file of the key log with ".esp" added.
 * Only where the user asks for a key log. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "crypto/crypto.h"
#include "daemon/state.h"

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

void keylog_sa(struct daemon *d, const struct dt_endpoint_sa *sa)
{
    if (d->keylog_esp != NULL)
        keylog_lines(d->keylog_esp, sa);
}

/* What keys are appended to is a file of ours alone, under its own name: never what a link leads to, never one that somebody
 * else owns, reads, or knows by another name. */
static FILE *open_alone(const char *path, struct dt_err *err)
{
    const struct open_how how = {.flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                                 .mode = 0600,
                                 .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    struct stat st;
    FILE *f = NULL;
    if (fd < 0 && errno == ELOOP)
        dt_err_set(err, 0, "the key log %s: a symbolic link leads there; its own path would be right", path);
    else if (fd < 0 || fstat(fd, &st) != 0)
        dt_err_set(err, 0, "cannot write the key log %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        dt_err_set(err, 0, "the key log %s is no regular file", path);
    else if (st.st_uid != geteuid())
        dt_err_set(err, 0,
                   "the key log %s belongs to user %u; a file of user %u's, or none yet, would be right",
                   path, (unsigned)st.st_uid, (unsigned)geteuid());
    else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        dt_err_set(err, 0,
                   "the key log %s: others than its owner may read or change it (mode %04o); `chmod 600 %s` "
                   "would be right",
                   path, (unsigned)(st.st_mode & 07777), path);
    else if (st.st_nlink != 1)
        dt_err_set(err, 0, "the key log %s has %u names; one would be right", path, (unsigned)st.st_nlink);
    else
        f = fdopen(fd, "a");
    if (f == NULL && fd >= 0)
        close(fd);
    return f;
}

int keylog_open(struct daemon *d, struct dt_err *err)
{
    char path[sizeof(d->cfg.keylog) + 8];
    if (d->cfg.keylog[0] == '\0')
        return 0;
    snprintf(path, sizeof(path), "%s.esp", d->cfg.keylog);
    d->keylog = open_alone(d->cfg.keylog, err);
    d->keylog_esp = d->keylog != NULL ? open_alone(path, err) : NULL;
    if (d->keylog_esp == NULL)
        return -1;
    setvbuf(d->keylog_esp, NULL, _IONBF, 0); /* no buffer with keys is left behind */
    return 0;
}
