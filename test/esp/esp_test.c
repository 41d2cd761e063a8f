#include "support/test.h"

#include "base/rand.h"
#include "esp/esp.h"

static const struct dt_suite suites[] = {
    {.encr = DT_ENCR_AES_GCM_16, .key_bits = 128},
    {.encr = DT_ENCR_AES_GCM_16, .key_bits = 256},
    {.encr = DT_ENCR_CHACHA20_POLY1305},
    {.encr = DT_ENCR_AES_CBC, .key_bits = 128, .integ = DT_INTEG_HMAC_SHA2_256_128},
    {.encr = DT_ENCR_AES_CBC, .key_bits = 256, .integ = DT_INTEG_HMAC_SHA2_256_128},
};

static struct dt_esp_params params(const struct dt_suite *s, const uint8_t key[DT_KEY_MAX])
{
    size_t klen = dt_suite_key_len(s);
    return (struct dt_esp_params){.spi = 0xc0ffee00,
                                  .suite = *s,
                                  .key = dt_span(key, klen),
                                  .integ_key = dt_span(key + klen, dt_suite_integ_len(s))};
}

struct pair {
    uint8_t key[DT_KEY_MAX];
    struct dt_esp_params p;
    struct dt_esp_out *out;
    struct dt_esp_in *in;
};

static void pair_up(struct pair *x, const struct dt_crypto *c, const struct dt_suite *s,
                    void (*tune)(struct dt_esp_params *))
{
    for (size_t i = 0; i < sizeof x->key; i++)
        x->key[i] = (uint8_t)(i * 3 + 1);
    x->p = params(s, x->key);
    if (tune)
        tune(&x->p);
    struct dt_err err = {.text = ""};
    x->out = dt_esp_out_new(c, &x->p, &err);
    x->in = dt_esp_in_new(c, &x->p, &err);
    if (!x->out || !x->in)
        fail_msg("%s", err.text);
}

static void tear_down(struct pair *x)
{
    dt_esp_out_free(x->out);
    dt_esp_in_free(x->in);
}

/* Seals len bytes of a pattern into buf; the packet begins at the result's p. */
static struct dt_esp_pkt sealed(struct pair *x, uint8_t *buf, size_t len, uint8_t next)
{
    struct dt_esp_pkt k = {.p = buf + DT_ESP_HEAD, .len = (uint32_t)len, .next = next};
    for (size_t i = 0; i < len; i++)
        k.p[i] = (uint8_t)(i ^ len);
    dt_esp_seal(x->out, 1, &k, 1);
    assert_int_equal(k.verdict, DT_ESP_OK);
    return k;
}

static enum dt_esp_verdict opened(struct pair *x, struct dt_esp_pkt k, struct dt_esp_pkt *out)
{
    dt_esp_open(x->in, 2, &k, 1);
    if (out)
        *out = k;
    return (enum dt_esp_verdict)k.verdict;
}

static void with_esn(struct dt_esp_params *p)
{
    p->esn = true;
    p->seq_start = UINT64_C(0xfffffff0); /* crosses into the next subspace */
}

/* Every length, every suite, plain and extended numbers: what goes in comes out, in the length that was announced,
 * and nothing is written outside the packet. */
static void round_trip(void **state)
{
    for (size_t s = 0; s < DT_ARRAY_LEN(suites); s++)
        for (int esn = 0; esn < 2; esn++) {
            struct pair x;
            pair_up(&x, dt_crypto_openssl(), &suites[s], esn ? with_esn : NULL);
            for (size_t len = 0; len < 120; len++) {
                uint8_t buf[400];
                memset(buf, 0xee, sizeof buf);
                struct dt_esp_pkt k = sealed(&x, buf + 8, len, 4), o;
                assert_int_equal(k.len, dt_esp_sealed_len(x.out, len));
                assert_ptr_equal(k.p, buf + 8 + DT_ESP_HEAD - dt_esp_head_len(x.out));
                assert_int_equal(k.p[-1], 0xee);
                assert_int_equal(k.p[k.len], 0xee);
                assert_int_equal(opened(&x, k, &o), DT_ESP_OK);
                assert_int_equal(o.len, len);
                assert_int_equal(o.next, 4);
                for (size_t i = 0; i < len; i++)
                    assert_int_equal(o.p[i], (uint8_t)(i ^ len));
            }
            struct dt_esp_counters c;
            dt_esp_in_counters(x.in, &c);
            assert_int_equal(c.packets, 120);
            assert_int_equal(c.last, 2);
            tear_down(&x);
        }
}

static void payload_max_is_exact(void **state)
{
    for (size_t s = 0; s < DT_ARRAY_LEN(suites); s++) {
        struct pair x;
        pair_up(&x, dt_crypto_openssl(), &suites[s], NULL);
        for (size_t room = 0; room < 300; room++) {
            size_t most = dt_esp_payload_max(x.out, room);
            if (most)
                assert_true(dt_esp_sealed_len(x.out, most) <= room);
            assert_true(dt_esp_sealed_len(x.out, most + 1) > room);
        }
        tear_down(&x);
    }
}

/* Any changed bit is noticed, and costs the window nothing. */
static void every_bit(void **state)
{
    for (size_t s = 0; s < DT_ARRAY_LEN(suites); s++) {
        struct pair x;
        uint8_t buf[200], copy[200];
        pair_up(&x, dt_crypto_openssl(), &suites[s], NULL);
        struct dt_esp_pkt k = sealed(&x, buf, 20, 4);
        for (size_t bit = 0; bit < k.len * 8; bit++) {
            memcpy(copy, k.p, k.len);
            copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
            struct dt_esp_pkt c = {.p = copy, .len = k.len};
            enum dt_esp_verdict v = opened(&x, c, NULL);
            assert_true(v == (bit < 32 ? DT_ESP_SPI : DT_ESP_AUTH) || (bit < 64 && v == DT_ESP_REPLAY));
        }
        for (uint32_t len = 0; len < k.len; len++) { /* and any truncation */
            memcpy(copy, k.p, k.len);
            assert_int_not_equal(opened(&x, (struct dt_esp_pkt){.p = copy, .len = len}, NULL), DT_ESP_OK);
        }
        assert_int_equal(opened(&x, k, NULL), DT_ESP_OK);
        tear_down(&x);
    }
}

static void replay(void **state)
{
    struct pair x;
    uint8_t buf[2][200], copy[200];
    pair_up(&x, dt_crypto_openssl(), &suites[0], NULL);
    struct dt_esp_pkt a = sealed(&x, buf[0], 40, 4), b = sealed(&x, buf[1], 40, 4);
    memcpy(copy, a.p, a.len);
    assert_int_equal(opened(&x, b, NULL), DT_ESP_OK);
    assert_int_equal(opened(&x, a, NULL), DT_ESP_OK); /* late, but new */
    assert_int_equal(opened(&x, (struct dt_esp_pkt){.p = copy, .len = a.len}, NULL), DT_ESP_REPLAY);

    /* The same packet twice in one batch: one passes. */
    struct dt_esp_pkt c = sealed(&x, buf[0], 40, 4);
    memcpy(copy, c.p, c.len);
    struct dt_esp_pkt two[2] = {c, {.p = copy, .len = c.len}};
    dt_esp_open(x.in, 3, two, 2);
    assert_int_equal(two[0].verdict, DT_ESP_OK);
    assert_int_equal(two[1].verdict, DT_ESP_REPLAY);
    struct dt_esp_counters n;
    dt_esp_in_counters(x.in, &n);
    assert_int_equal(n.errors[DT_ESP_REPLAY], 2);
    assert_int_equal(n.packets, 3);
    tear_down(&x);
}

static void at_the_end(struct dt_esp_params *p)
{
    p->seq_start = 0xffffffff - 10;
    p->soft_packets = 0xffffffff - 5;
}

/* 2^32 - 1 is the last number; the soft limit is reported once; then nothing more is sealed. */
static void exhaustion(void **state)
{
    struct pair x;
    pair_up(&x, dt_crypto_openssl(), &suites[0], at_the_end);
    unsigned soft = 0, hard = 0, ok = 0;
    for (int i = 0; i < 10; i++) {
        uint8_t buf[2][200];
        struct dt_esp_pkt k[2] = {{.p = buf[0] + 24, .len = 8, .next = 4},
                                  {.p = buf[1] + 24, .len = 8, .next = 4}};
        unsigned notes = dt_esp_seal(x.out, 1, k, 2);
        soft += !!(notes & DT_ESP_NOTE_SOFT);
        hard += !!(notes & DT_ESP_NOTE_HARD);
        for (int j = 0; j < 2; j++) {
            ok += k[j].verdict == DT_ESP_OK;
            if (k[j].verdict == DT_ESP_OK)
                assert_int_equal(opened(&x, k[j], NULL), DT_ESP_OK);
            else
                assert_int_equal(k[j].verdict, DT_ESP_EXHAUSTED);
        }
    }
    assert_int_equal(ok, 10);
    assert_int_equal(soft, 1);
    assert_int_equal(hard, 5);
    tear_down(&x);
}

static void few_bytes(struct dt_esp_params *p)
{
    p->soft_bytes = 1000;
}

static void soft_bytes(void **state)
{
    struct pair x;
    pair_up(&x, dt_crypto_openssl(), &suites[0], few_bytes);
    int at = -1, times = 0;
    for (int i = 0; i < 30; i++) {
        uint8_t buf[200];
        struct dt_esp_pkt k = {.p = buf + 24, .len = 100, .next = 4};
        if (dt_esp_seal(x.out, 1, &k, 1) & DT_ESP_NOTE_SOFT) {
            at = i;
            times++;
        }
    }
    assert_int_equal(at, 9);
    assert_int_equal(times, 1);
    tear_down(&x);
}

static void first_packet_is_noted_once(void **state)
{
    struct pair x;
    uint8_t buf[200];
    pair_up(&x, dt_crypto_openssl(), &suites[0], NULL);
    struct dt_esp_pkt k = sealed(&x, buf, 30, 4);
    k.p[k.len - 1] ^= 1;
    assert_int_equal(dt_esp_open(x.in, 1, &k, 1), 0); /* not authentic */
    k = sealed(&x, buf, 30, 59);
    assert_int_equal(dt_esp_open(x.in, 1, &k, 1), DT_ESP_NOTE_FIRST); /* a dummy proves as much as data */
    assert_int_equal(k.verdict, DT_ESP_DUMMY);
    k = sealed(&x, buf, 30, 4);
    assert_int_equal(dt_esp_open(x.in, 1, &k, 1), 0);
    tear_down(&x);
}

static void transport_mode(struct dt_esp_params *p)
{
    p->mode = DT_ESP_TRANSPORT;
}

/* What stands behind the payload, with the null cipher so that it can be forged: padding, its length, next header. */
static void trailer(void **state)
{
    static const struct dt_suite null = {.encr = DT_ENCR_NULL};
    static const struct {
        uint8_t tail[8]; /* last bytes of the text */
        uint8_t n, verdict, len;
    } t[] = {
        {{1, 2, 2, 4}, 4, DT_ESP_OK, 8},  {{0, 4}, 2, DT_ESP_OK, 10},     {{1, 3, 2, 4}, 4, DT_ESP_PAD, 0},
        {{0, 0, 2, 4}, 4, DT_ESP_PAD, 0}, {{11, 4}, 2, DT_ESP_PAD, 0}, /* longer than what there is */
        {{255, 4}, 2, DT_ESP_PAD, 0},     {{0, 59}, 2, DT_ESP_DUMMY, 10}, {{0, 41}, 2, DT_ESP_OK, 10},
        {{0, 6}, 2, DT_ESP_NEXT, 0},      {{0, 0}, 2, DT_ESP_NEXT, 0},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(t); i++) {
        struct pair x;
        uint8_t buf[200];
        pair_up(&x, dt_crypto_null(), &null, NULL);
        /* Seal by hand: the cipher alone, over a text that ends as the table says. */
        struct dt_cipher *c = dt_cipher_new(dt_crypto_null(), &null, x.p.key, x.p.integ_key, NULL);
        uint8_t *text = buf + 8 + c->iv_len;
        memset(text, 0, 12);
        memcpy(text + 12 - t[i].n, t[i].tail, t[i].n);
        dt_put_be32(buf, x.p.spi);
        dt_put_be32(buf + 4, 1);
        dt_cipher_iv(c, 1, buf + 8);
        struct dt_cipher_op op = {
            .iv = buf + 8, .text = text, .len = 12, .aad = buf, .aad_len = 8, .icv = text + 12};
        assert_int_equal(dt_cipher_seal(c, &op), 0);
        struct dt_esp_pkt k = {.p = buf, .len = 8u + c->iv_len + 12 + c->icv_len};
        assert_int_equal(opened(&x, k, &k), t[i].verdict);
        if (t[i].verdict == DT_ESP_OK)
            assert_int_equal(k.len, t[i].len);
        dt_cipher_free(c);
        tear_down(&x);
    }
    struct pair x;
    uint8_t buf[200];
    pair_up(&x, dt_crypto_openssl(), &suites[0], transport_mode);
    assert_int_equal(opened(&x, sealed(&x, buf, 20, 6), NULL), DT_ESP_OK);
    tear_down(&x);
}

/* A lossy, reordering, duplicating way: each packet that arrives and lies in the window is delivered exactly once. */
static void noisy_way(void **state)
{
    struct dt_prng p;
    dt_prng_seed(&p, test_seed("noisy way"));
    struct dt_rand r = dt_prng_rand(&p);
    static uint8_t store[3000][96];
    static uint32_t len[3000];
    static uint8_t delivered[3000];
    struct pair x;

    memset(delivered, 0, sizeof delivered);
    pair_up(&x, dt_crypto_null(), &suites[0], with_esn);
    for (int i = 0; i < 3000; i++) {
        uint8_t buf[200];
        struct dt_esp_pkt k = {.p = buf + DT_ESP_HEAD, .len = 32, .next = 4};
        memset(k.p, 0, 32);
        dt_put_be32(k.p, (uint32_t)i);
        dt_esp_seal(x.out, 1, &k, 1);
        memcpy(store[i], k.p, k.len);
        len[i] = k.len;
        for (uint64_t n = dt_rand_below(&r, 4); n > 0;
             n--) { /* lost, or any of the last 300, up to three times */
            uint64_t back = dt_rand_below(&r, 300), which = back > (uint64_t)i ? 0 : (uint64_t)i - back;
            uint8_t copy[96];
            memcpy(copy, store[which], len[which]);
            struct dt_esp_pkt c = {.p = copy, .len = len[which]};
            enum dt_esp_verdict v = opened(&x, c, &c);
            assert_int_equal(v, delivered[which] ? DT_ESP_REPLAY : DT_ESP_OK);
            if (v == DT_ESP_OK)
                assert_int_equal(dt_get_be32(c.p), which);
            delivered[which] = 1;
        }
    }
    tear_down(&x);
}

static void refusals(void **state)
{
    uint8_t key[DT_KEY_MAX] = {0};
    struct dt_err err;
    struct dt_esp_params p = params(&suites[0], key);
    p.spi = 255;
    assert_null(dt_esp_out_new(dt_crypto_openssl(), &p, &err));
    assert_non_null(strstr(err.text, "255"));
    p = params(&suites[0], key);
    p.key.len--;
    assert_null(dt_esp_in_new(dt_crypto_openssl(), &p, &err));
    p = params(&suites[0], key);
    p.window = DT_ESP_WINDOW_MAX + 1;
    assert_null(dt_esp_in_new(dt_crypto_openssl(), &p, &err));
    dt_esp_in_free(NULL);
    dt_esp_out_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(payload_max_is_exact),
        cmocka_unit_test(every_bit),
        cmocka_unit_test(replay),
        cmocka_unit_test(exhaustion),
        cmocka_unit_test(soft_bytes),
        cmocka_unit_test(first_packet_is_noted_once),
        cmocka_unit_test(trailer),
        cmocka_unit_test(noisy_way),
        cmocka_unit_test(refusals),
    };
    return TEST_RUN(tests);
}
