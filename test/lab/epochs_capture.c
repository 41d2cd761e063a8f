/* Writes a small capture and its key log for epochs.sh, sealed by Dovetail's own ESP:
 *
 *   epochs_capture CAPTURE KEYLOG SUITE esp|udp 4|6 STEP...
 *
 * SUITE: gcm, chacha, cbc. A STEP is one packet, WHAT@EPOCH, a tenth of a second after the one before: `>` goes out and `<`
 * comes in; probe, reply, data, dummy or dummyreply (the two inside a dummy); `again` is the last one once more, `broken` one with a bit turned, and `stranger` has an SPI
 * that the key log does not know. Such as: >probe@1 <reply@1 >data@1 */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "esp/esp.h"
#include "wire/dummy.h"
#include "wire/esp.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/udp.h"

#define EPOCHS 4

static pcap_t *dead;
static pcap_dumper_t *dump;
static bool udp;
static unsigned steps;
static struct dt_addr here, there;
static struct dt_esp_out *way[EPOCHS + 1][2]; /* out, in */

static struct dt_addr address(const char *text)
{
    struct dt_addr a = {0};
    if (dt_addr_parse(&a, text) != 0)
        abort();
    return a;
}

static void put(const uint8_t *esp, size_t len, bool out)
{
    uint8_t p[2048] = {0};
    const struct dt_addr *src = out ? &here : &there, *dst = out ? &there : &here;
    size_t around = udp ? DT_UDP_HDR_LEN : 0;
    size_t at = dt_ip_put(p, src, dst, udp ? DT_IPPROTO_UDP : DT_IPPROTO_ESP, 64, 0, around + len);
    memcpy(p + at + around, esp, len);
    if (udp)
        dt_udp_put(p + at, 4500, 4500, len, src, dst);
    struct pcap_pkthdr h = {.ts = {.tv_sec = 1700000000 + steps / 10, .tv_usec = (long)(steps % 10) * 100000},
                            .caplen = (bpf_u_int32)(at + around + len),
                            .len = (bpf_u_int32)(at + around + len)};
    steps++;
    pcap_dump((u_char *)dump, &h, p);
}

static size_t inner(uint8_t *p, const char *what, bool out)
{
    struct dt_addr client = address("10.9.0.1"), server = address("10.1.0.10");
    const struct dt_addr *src = out ? &client : &server, *dst = out ? &server : &client;
    if (strcmp(what, "probe") == 0 || strcmp(what, "reply") == 0)
        return dt_echo_make(p, 256, strcmp(what, "reply") == 0, src, dst, 1, 1, 64, 16);
    if (strncmp(what, "dummy", 5) == 0) {
        struct dt_dummy d = {
            .reply = strcmp(what, "dummyreply") == 0, .ident = 1, .seq = 1, .size = 32, .other = 32};
        return dt_dummy_put(p, 256, &d);
    }
    size_t at = dt_ip_put(p, src, dst, DT_IPPROTO_UDP, 64, 0, DT_UDP_HDR_LEN + 4);
    memcpy(p + at + DT_UDP_HDR_LEN, "data", 4);
    dt_udp_put(p + at, 4411, 4411, 4, src, dst);
    return at + DT_UDP_HDR_LEN + 4;
}

static void step(const char *word)
{
    static uint8_t room[2048];
    static struct dt_esp_pkt k;
    char what[16];
    unsigned epoch;
    char direction;
    if (sscanf(word, "%c%15[a-z]@%u", &direction, what, &epoch) != 3 || epoch == 0 || epoch > EPOCHS)
        abort();
    bool out = direction == '>';
    if (strcmp(what, "again") != 0) {
        k = (struct dt_esp_pkt){.p = room + DT_ESP_HEAD, .next = DT_NEXT_IPV4};
        k.len = (uint32_t)inner(k.p, what, out);
        if (strncmp(what, "dummy", 5) == 0)
            k.next = DT_NEXT_NONE;
        dt_esp_seal(way[epoch][!out], 1, &k, 1);
        if (k.verdict != DT_ESP_OK)
            abort();
    }
    if (strcmp(what, "broken") == 0)
        k.p[k.len - 1] ^= 1;
    if (strcmp(what, "stranger") == 0)
        dt_put_be32(k.p, 0x77777777);
    put(k.p, k.len, out);
}

static void log_key(FILE *f, uint32_t spi, bool out, const char *suite, const uint8_t *key, size_t klen,
                    size_t ilen)
{
    char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN], hex[2 * DT_KEY_MAX + 1], integ[2 * DT_KEY_MAX + 1];
    const char *cipher = strcmp(suite, "gcm") == 0      ? "AES-GCM with 16 octet ICV [RFC4106]"
                         : strcmp(suite, "chacha") == 0 ? "ChaCha20 with Poly1305 [RFC7634]"
                                                        : "AES-CBC [RFC3602]";
    fprintf(f, "\"IPv%u\",\"%s\",\"%s\",\"0x%08x\",\"%s\",\"0x%s\",\"%s\",\"%s%s\"\n", here.ver,
            dt_addr_str(a, out ? &here : &there), dt_addr_str(b, out ? &there : &here), spi, cipher,
            dt_hex(hex, key, klen), ilen ? "HMAC-SHA-256-128 [RFC4868]" : "NULL", ilen ? "0x" : "",
            dt_hex(integ, key + klen, ilen));
}

static void make_epoch(FILE *f, unsigned epoch, const char *name)
{
    struct dt_suite suite = {.encr = DT_ENCR_AES_GCM_16, .key_bits = 128};
    if (strcmp(name, "chacha") == 0)
        suite = (struct dt_suite){.encr = DT_ENCR_CHACHA20_POLY1305, .key_bits = 256};
    if (strcmp(name, "cbc") == 0)
        suite =
            (struct dt_suite){.encr = DT_ENCR_AES_CBC, .key_bits = 256, .integ = DT_INTEG_HMAC_SHA2_256_128};
    for (unsigned in = 0; in < 2; in++) {
        uint8_t key[DT_KEY_MAX];
        size_t klen = dt_suite_key_len(&suite), ilen = dt_suite_integ_len(&suite);
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = (uint8_t)(i * 7 + epoch * 31 + in * 101);
        struct dt_esp_params p = {.spi = 0x1000 * epoch + in,
                                  .suite = suite,
                                  .key = dt_span(key, klen),
                                  .integ_key = dt_span(key + klen, ilen),
                                  .esn = epoch % 2 == 0};
        struct dt_err err = {0};
        way[epoch][in] = dt_esp_out_new(dt_crypto_openssl(), &p, &err);
        if (!way[epoch][in]) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        log_key(f, p.spi, !in, name, key, klen, ilen);
    }
}

int main(int argc, char **argv)
{
    if (argc < 7)
        return 2;
    udp = strcmp(argv[4], "udp") == 0;
    here = address(argv[5][0] == '6' ? "2001:db8::1" : "192.0.2.1");
    there = address(argv[5][0] == '6' ? "2001:db8::2" : "192.0.2.2");
    FILE *f = fopen(argv[2], "w");
    dead = pcap_open_dead(DLT_RAW, 65535);
    dump = pcap_dump_open(dead, argv[1]);
    if (!f || !dump)
        return 1;
    for (unsigned e = 1; e <= EPOCHS; e++)
        make_epoch(f, e, argv[3]);
    fclose(f);
    for (int i = 6; i < argc; i++)
        if (*argv[i])
            step(argv[i]);
    pcap_dump_close(dump);
    pcap_close(dead);
    for (unsigned e = 1; e <= EPOCHS; e++)
        for (unsigned in = 0; in < 2; in++)
            dt_esp_out_free(way[e][in]);
    return 0;
}
