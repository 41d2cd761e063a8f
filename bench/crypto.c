/* How fast packets are sealed and opened: the provider that the data path picks against OpenSSL alone, one thread, batches of
 * 32 packets as the data path moves them; and key exchanges a second. Both sides run interleaved, medians of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/crypto.h"
#include "median.h"

#define ROUNDS   7
#define BATCH    32
#define ROUND_NS 25000000

static uint8_t packet[BATCH][2048];
static uint8_t iv[BATCH][DT_IV_MAX], icv[BATCH][DT_ICV_MAX], aad[12];

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct dt_cipher *make_cipher(const struct dt_crypto *c, const struct dt_suite *s)
{
    uint8_t key[DT_KEY_MAX] = "the same key for both, it does not matter";
    struct dt_err err = {0};
    struct dt_cipher *cipher = dt_cipher_new(c, s, dt_span(key, dt_suite_key_len(s)),
                                             dt_span(key + 36, dt_suite_integ_len(s)), &err);
    if (!cipher) {
        fprintf(stderr, "bench-crypto: %s\n", err.text);
        exit(1);
    }
    return cipher;
}

/* Bytes of text a second. What opens is authentic: it is put back between batches, off the clock. */
static double cipher_round(struct dt_cipher *c, uint32_t len, bool open)
{
    static uint8_t sealed[BATCH][sizeof packet[0]], tag[BATCH][DT_ICV_MAX];
    struct dt_cipher_op ops[BATCH];
    uint64_t counter = 0, spent = 0, bytes = 0;
    for (int i = 0; i < BATCH; i++)
        ops[i] = (struct dt_cipher_op){
            .iv = iv[i], .text = packet[i], .len = len, .aad = aad, .aad_len = 8, .icv = icv[i]};
    if (open) {
        for (int i = 0; i < BATCH; i++)
            dt_cipher_iv(c, counter++, iv[i]);
        dt_cipher_seal_batch(c, ops, BATCH);
        memcpy(sealed, packet, sizeof sealed);
        memcpy(tag, icv, sizeof tag);
    }
    do {
        if (open) {
            memcpy(packet, sealed, sizeof packet);
            memcpy(icv, tag, sizeof icv);
        }
        uint64_t start = now_ns();
        for (int i = 0; i < BATCH && !open; i++)
            dt_cipher_iv(c, counter++, iv[i]);
        size_t done = open ? dt_cipher_open_batch(c, ops, BATCH) : dt_cipher_seal_batch(c, ops, BATCH);
        spent += now_ns() - start;
        bytes += (uint64_t)done * len;
        if (done != BATCH) {
            fprintf(stderr, "bench-crypto: %zu of %d packets done\n", done, BATCH);
            exit(1);
        }
    } while (spent < ROUND_NS);
    return (double)bytes / (double)spent * 1e9;
}

static void compare_ciphers(const struct dt_suite *s, uint32_t len, bool open)
{
    char name[DT_SUITE_NAME];
    double mine[ROUNDS], theirs[ROUNDS];
    struct dt_cipher *best = make_cipher(dt_crypto_best(), s), *ossl = make_cipher(dt_crypto_openssl(), s);
    for (int i = 0; i < ROUNDS; i++) {
        mine[i] = cipher_round(best, len, open);
        theirs[i] = cipher_round(ossl, len, open);
    }
    double m = median(mine, ROUNDS) / 1e9, t = median(theirs, ROUNDS) / 1e9;
    printf("{\"bench\": \"crypto\", \"case\": \"%s %s, %u bytes, %s\", \"value\": %.3f, \"unit\": \"GB/s\", "
           "\"peer\": \"openssl\", \"peer_value\": %.3f, \"ratio\": %.2f}\n",
           dt_suite_name(s, name), open ? "open" : "seal", len, dt_crypto_best()->name, m, t, m / t);
    fflush(stdout);
    dt_cipher_free(best);
    dt_cipher_free(ossl);
}

/* Whole exchanges (own key pair and shared secret) a second. */
static void key_exchanges(uint16_t group)
{
    double rate[ROUNDS];
    uint8_t out[DT_KE_MAX];
    struct dt_rand rand = dt_rand_system();
    struct dt_dh *peer = dt_dh_new(dt_crypto_best(), group, &rand, NULL);
    for (int i = 0; peer && i < ROUNDS; i++) {
        uint64_t start = now_ns(), end, n = 0;
        do {
            struct dt_dh *dh = dt_dh_new(dt_crypto_best(), group, &rand, NULL);
            if (!dh || dt_dh_shared(dh, dt_dh_public(peer), out, NULL))
                exit(1);
            dt_dh_free(dh);
            n++;
            end = now_ns();
        } while (end - start < ROUND_NS);
        rate[i] = (double)n * 1e9 / (double)(end - start);
    }
    dt_dh_free(peer);
    printf("{\"bench\": \"crypto\", \"case\": \"key exchange %s\", \"value\": %.0f, \"unit\": "
           "\"exchanges/s\"}\n",
           dt_ke_name(group), median(rate, ROUNDS));
    fflush(stdout);
}

/* The simulator's: seal and open one IKE-sized packet. */
static void null_packets(void)
{
    double rate[ROUNDS];
    struct dt_suite s = {DT_ENCR_AES_GCM_16, 128, DT_INTEG_NONE};
    struct dt_cipher *c = make_cipher(dt_crypto_null(), &s);
    struct dt_cipher_op op = {
        .iv = iv[0], .text = packet[0], .len = 128, .aad = aad, .aad_len = 8, .icv = icv[0]};
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = now_ns(), end, n = 0;
        do {
            for (int k = 0; k < 256; k++) {
                dt_cipher_iv(c, n++, iv[0]);
                dt_cipher_seal(c, &op);
                if (dt_cipher_open(c, &op))
                    exit(1);
            }
            end = now_ns();
        } while (end - start < ROUND_NS);
        rate[i] = (double)n * 1e9 / (double)(end - start);
    }
    dt_cipher_free(c);
    printf(
        "{\"bench\": \"crypto\", \"case\": \"null provider, 128 bytes sealed and opened\", \"value\": %.0f, "
        "\"unit\": \"packets/s\"}\n",
        median(rate, ROUNDS));
}

int main(void)
{
    static const struct dt_suite suites[] = {
        {DT_ENCR_AES_GCM_16, 128, DT_INTEG_NONE},
        {DT_ENCR_AES_GCM_16, 256, DT_INTEG_NONE},
        {DT_ENCR_CHACHA20_POLY1305, 0, DT_INTEG_NONE},
        {DT_ENCR_AES_CBC, 128, DT_INTEG_HMAC_SHA2_256_128},
    };
    static const uint32_t lens[] = {1400, 64};
    for (size_t i = 0; i < DT_ARRAY_LEN(suites); i++) {
        for (size_t j = 0; j < DT_ARRAY_LEN(lens); j++) {
            uint32_t len = lens[j] - lens[j] % (uint32_t)dt_suite_block_len(&suites[i]);
            compare_ciphers(&suites[i], len, false);
            compare_ciphers(&suites[i], len, true);
        }
    }
    static const uint16_t groups[] = {DT_KE_X25519, DT_KE_ECP_256, DT_KE_ECP_384, DT_KE_MODP_2048};
    for (size_t i = 0; i < DT_ARRAY_LEN(groups); i++)
        key_exchanges(groups[i]);
    null_packets();
    return 0;
}
