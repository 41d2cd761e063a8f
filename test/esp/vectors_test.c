/* Whole ESP packets as published: draft-mcgrew-gcm-test-01 section 4 and RFC 7634 appendix A
 * (test/support/vectors/ipsec_aead.txt says where each comes from). */
#include "support/test.h"
#include "support/vectors.h"

#include "esp/esp.h"

/* Each must open to the published payload; with one bit changed, not at all. */
static void published(void **state)
{
    struct vectors v;
    int opened = 0;
    vectors_open(&v, "ipsec_aead.txt");
    while (vectors_next(&v)) {
        uint8_t key[64], iv[16], aad[16], text[512], sealed[512], icv[16], packet[640];
        if (strcmp(vector_text(&v, "kind"), "esp") != 0)
            continue;
        size_t klen = vector_bytes(&v, "key", key, sizeof key);
        size_t ilen = vector_bytes(&v, "iv", iv, sizeof iv);
        size_t alen = vector_bytes(&v, "aad", aad, sizeof aad);
        size_t tlen = vector_bytes(&v, "text", text, sizeof text);
        size_t slen = vector_bytes(&v, "sealed", sealed, sizeof sealed);
        size_t clen = vector_bytes(&v, "icv", icv, sizeof icv);
        bool esn = alen == 12;
        uint32_t spi = dt_get_be32(aad), high = esn ? dt_get_be32(aad + 4) : 0,
                 low = dt_get_be32(aad + alen - 4);
        if (spi < DT_ESP_SPI_MIN)
            continue; /* the draft uses a reserved SPI once */

        memcpy(packet, aad, 4);
        dt_put_be32(packet + 4, low);
        memcpy(packet + 8, iv, ilen);
        memcpy(packet + 8 + ilen, sealed, slen);
        memcpy(packet + 8 + ilen + slen, icv, clen);
        size_t len = 8 + ilen + slen + clen;
        struct dt_esp_params p = {
            .spi = spi,
            .suite = {.encr = (uint16_t)vector_number(&v, "encr"),
                      .key_bits = (uint16_t)vector_number(&v, "bits")},
            .key = dt_span(key, klen),
            .esn = esn,
            .mode = text[tlen - 1] == 4 ? DT_ESP_TUNNEL : DT_ESP_TRANSPORT,
            .seq_start = (uint64_t)high << 32 | (low > 0 ? low - 1 : 0),
        };
        if (esn && low == 0) /* the number before is in the previous subspace */
            p.seq_start = ((uint64_t)high << 32) - 1;
        struct dt_err err;
        struct dt_esp_in *sa = dt_esp_in_new(dt_crypto_openssl(), &p, &err);
        VECTOR_CHECK(&v, "new", sa != NULL);

        uint8_t copy[640];
        memcpy(copy, packet, len);
        copy[len / 2] ^= 0x10;
        struct dt_esp_pkt k = {.p = copy, .len = (uint32_t)len};
        dt_esp_open(sa, 1, &k, 1);
        VECTOR_CHECK(&v, "changed", k.verdict == DT_ESP_AUTH);

        k = (struct dt_esp_pkt){.p = packet, .len = (uint32_t)len};
        dt_esp_open(sa, 1, &k, 1);
        VECTOR_CHECK(&v, "open", k.verdict == DT_ESP_OK);
        size_t plen = tlen - 2 - text[tlen - 2];
        VECTOR_CHECK(&v, "length", k.len == plen && k.next == text[tlen - 1]);
        VECTOR_CHECK(&v, "payload", !memcmp(k.p, text, plen));
        dt_esp_in_free(sa);
        opened++;
    }
    assert_true(opened >= 12);
}

/* Sealing gives the published bytes wherever the published IV is the sequence number, as ours always is: none is, so
 * the counter mode check is that sealing what a vector's text says with our IV opens in a second implementation's
 * hands: OpenSSL's and IPsec-MB's. */
static void providers_agree(void **state)
{
    const struct dt_crypto *c[2] = {dt_crypto_openssl(), dt_crypto_ipsecmb()};
    const struct dt_suite suites[] = {
        {.encr = DT_ENCR_AES_GCM_16, .key_bits = 128},
        {.encr = DT_ENCR_AES_GCM_16, .key_bits = 256},
        {.encr = DT_ENCR_CHACHA20_POLY1305},
        {.encr = DT_ENCR_AES_CBC, .key_bits = 128, .integ = DT_INTEG_HMAC_SHA2_256_128},
        {.encr = DT_ENCR_AES_CBC, .key_bits = 256, .integ = DT_INTEG_HMAC_SHA2_256_128},
    };
    if (!c[1])
        skip();
    for (size_t s = 0; s < DT_ARRAY_LEN(suites); s++)
        for (int way = 0; way < 4; way++) {
            uint8_t key[DT_KEY_MAX], buf[2048];
            memset(key, 0x5a, sizeof key);
            size_t klen = dt_suite_key_len(&suites[s]);
            struct dt_esp_params p = {.spi = 0x1000,
                                      .suite = suites[s],
                                      .key = dt_span(key, klen),
                                      .integ_key = dt_span(key + klen, dt_suite_integ_len(&suites[s])),
                                      .esn = way & 2};
            struct dt_esp_out *out = dt_esp_out_new(c[way & 1], &p, NULL);
            struct dt_esp_in *in = dt_esp_in_new(c[!(way & 1)], &p, NULL);
            assert_non_null(out);
            assert_non_null(in);
            memset(buf, 0x33, sizeof buf);
            struct dt_esp_pkt k = {.p = buf + DT_ESP_HEAD, .len = 1400, .next = 4};
            dt_esp_seal(out, 1, &k, 1);
            assert_int_equal(k.verdict, DT_ESP_OK);
            dt_esp_open(in, 1, &k, 1);
            assert_int_equal(k.verdict, DT_ESP_OK);
            assert_int_equal(k.len, 1400);
            dt_esp_out_free(out);
            dt_esp_in_free(in);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),
        cmocka_unit_test(providers_agree),
    };
    return TEST_RUN(tests);
}
