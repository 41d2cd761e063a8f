/* ESP packets as a stranger sends them, and inner packets as a peer with the keys could. The first byte chooses mode,
 * numbers and which of the two; the rest is the packet, or the text that is sealed and opened. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "esp/tunnel.h"
#include "net/vnet.h"
#include "wire/dummy.h"
#include "wire/esp.h"
#include "wire/icmp.h"

#define TEXT_MAX 4096

static const uint8_t key[DT_KEY_MAX] = {1, 2, 3};

static void inner(struct dt_esp_pkt *k)
{
    struct dt_ip ip;
    struct dt_tunnel_ports ports;
    struct dt_selectors any = {.n = 0};
    struct dt_selector s4 = dt_selector_all4(), s6 = dt_selector_all6();
    struct dt_echo e;
    struct dt_addr from;
    uint8_t out[1400];
    uint8_t ecn;

    dt_selectors_add(&any, &s4);
    dt_selectors_add(&any, &s6);
    if (!dt_tunnel_inner_parse(k, &ip, &ports) || !dt_tunnel_selects(&any, &any, false, &ip, &ports))
        return;
    if (ip.total > k->len || ip.l4 > ip.total)
        abort();
    if (dt_tunnel_decap_ecn(DT_ECN_CE, ip.tos, &ecn, NULL))
        dt_ip_set_tos(k->p, (uint8_t)((ip.tos & ~3) | ecn));
    from = ip.dst;
    size_t n = dt_icmp_error_make(out, sizeof out, &from, k->p, k->len, 1300);
    if (n && !dt_ip_parse(&ip, out, n, false))
        abort();
    struct dt_vnet v = {
        .flags = 1, .gso_type = ip.ver == 4 ? DT_VNET_GSO_TCPV4 : DT_VNET_GSO_TCPV6, .gso_size = 100};
    struct dt_segments s;
    if (dt_ip_parse(&ip, k->p, k->len, true) && dt_segments_init(&s, &v, k->p, ip.total, ip.ver, ip.l4))
        for (unsigned i = 0; i < s.count; i++) {
            uint8_t seg[TEXT_MAX + 64];
            dt_segment(&s, i, seg);
        }
    if (dt_echo_parse(&e, k->p, k->len) == DT_ECHO_REQUEST)
        dt_echo_answer(k->p, k->len);
}

/* An answer is never longer than what it answers. */
static void dummy(const struct dt_esp_pkt *k)
{
    struct dt_dummy d;
    uint8_t out[TEXT_MAX];
    if (!dt_dummy_parse(&d, k->p, k->len) || d.reply)
        return;
    struct dt_dummy answer = dt_dummy_answer(&d);
    size_t n = dt_dummy_put(out, sizeof out, &answer);
    if (n == 0 || n > k->len || !dt_dummy_parse(&d, out, n) || !d.reply)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t buf[TEXT_MAX + 256];
    if (len < 1 || len > TEXT_MAX)
        return 0;
    uint8_t how = data[0];
    static const struct dt_suite suites[4] = {
        {.encr = DT_ENCR_NULL},
        {.encr = DT_ENCR_AES_GCM_16, .key_bits = 128},
        {.encr = DT_ENCR_AES_CBC, .key_bits = 128, .integ = DT_INTEG_HMAC_SHA2_256_128},
        {.encr = DT_ENCR_CHACHA20_POLY1305},
    };
    const struct dt_suite *suite = how & 1 ? &suites[0] : &suites[how >> 6];
    const struct dt_crypto *crypto = dt_crypto_null();
    size_t klen = dt_suite_key_len(suite);
    struct dt_esp_params p = {.spi = 0x01020304,
                              .suite = *suite,
                              .key = dt_span(key, klen),
                              .integ_key = dt_span(key + klen, dt_suite_integ_len(suite)),
                              .esn = how & 2,
                              .mode = how & 4 ? DT_ESP_TRANSPORT : DT_ESP_TUNNEL};
    struct dt_esp_in *sa = dt_esp_in_new(crypto, &p, NULL);
    if (!sa)
        abort();
    struct dt_esp_pkt k = {.p = buf + 64};
    memcpy(k.p, data + 1, len - 1);
    k.len = (uint32_t)(len - 1);
    if (how & 1) { /* with the keys: the text is what the input says, trailer and all */
        struct dt_cipher *c = dt_cipher_new(crypto, suite, p.key, p.integ_key, NULL);
        uint8_t *head = k.p - 8 - c->iv_len;
        uint32_t text = k.len & ~3u;
        dt_put_be32(head, p.spi);
        dt_put_be32(head + 4, 1);
        dt_cipher_iv(c, 1, head + 8);
        struct dt_cipher_op op = {
            .iv = head + 8, .text = k.p, .len = text, .aad = head, .aad_len = 8, .icv = k.p + text};
        dt_cipher_seal(c, &op);
        k.p = head;
        k.len = 8u + c->iv_len + text + c->icv_len;
        dt_cipher_free(c);
    } else {
        dt_natt_kind(k.p, k.len);
        if (k.len >= 4 && how & 8)
            dt_put_be32(k.p, p.spi);
    }
    dt_esp_open(sa, 1, &k, 1);
    if (k.verdict == DT_ESP_OK && p.mode == DT_ESP_TUNNEL)
        inner(&k);
    if (k.verdict == DT_ESP_DUMMY)
        dummy(&k);
    dt_esp_in_free(sa);
    return 0;
}
