#include "support/test.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "wire/ted.h"

static struct dt_addr any_addr(const struct dt_rand *r, uint8_t ver)
{
    struct dt_addr a = {.ver = ver};
    dt_rand_fill(r, a.b, ver == 4 ? 4 : 16);
    a.b[0] |= 1;
    return a;
}

static struct dt_ted_probe any_probe(const struct dt_rand *r)
{
    uint8_t ver = dt_rand_below(r, 2) ? 4 : 6;
    struct dt_ted_probe p = {.cookie = dt_rand_u64(r) | 1,
                             .capabilities = dt_rand_u32(r),
                             .id = any_addr(r, dt_rand_below(r, 2) ? 4 : 6),
                             .packet = {.src = any_addr(r, ver),
                                        .dst = any_addr(r, ver),
                                        .protocol = (uint8_t)dt_rand_u32(r),
                                        .sport = (uint16_t)dt_rand_u32(r),
                                        .dport = (uint16_t)dt_rand_u32(r)}};
    if (dt_rand_below(r, 2)) {
        p.proxy = any_addr(r, ver);
        p.proxy_mask = any_addr(r, ver);
    }
    return p;
}

static struct dt_ted_reply any_reply(const struct dt_rand *r)
{
    struct dt_ted_reply m = {.cookie = dt_rand_u64(r) | 1,
                             .responder_cookie = dt_rand_u64(r) | 1,
                             .capabilities = dt_rand_u32(r),
                             .id = any_addr(r, dt_rand_below(r, 2) ? 4 : 6),
                             .count = 1 + dt_rand_below(r, DT_TED_MAX_PROXIES)};
    for (size_t i = dt_rand_below(r, 2) * (size_t)dt_rand_below(r, DT_TED_NAME_MAX + 1); i > 0; i--)
        m.name[i - 1] = (char)('a' + dt_rand_below(r, 26));
    for (size_t i = 0; i < m.count; i++) {
        uint8_t ver = dt_rand_below(r, 2) ? 4 : 6;
        m.proxy[i] = (struct dt_ted_proxy){.ver = ver,
                                           .protocol = (uint8_t)dt_rand_u32(r),
                                           .sport = (uint16_t)dt_rand_u32(r),
                                           .dport = (uint16_t)dt_rand_u32(r),
                                           .src = any_addr(r, ver),
                                           .src_mask = any_addr(r, ver),
                                           .dst = any_addr(r, ver),
                                           .dst_mask = any_addr(r, ver)};
    }
    return m;
}

/* Encoded and decoded again is the same; every cut of it is refused; nothing reads past the end (ASan watches an
 * exact copy on the heap); a flipped byte never crashes. */
static void round_trip_and_every_cut(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("round_trip_and_every_cut"));
    struct dt_rand r = dt_prng_rand(&prng);
    uint8_t buf[DT_TED_MAX_MESSAGE];
    for (int i = 0; i < 200; i++) {
        struct dt_ted_probe p = any_probe(&r), p2;
        struct dt_ted_reply m = any_reply(&r), m2;
        bool probe = i & 1;
        size_t n =
            probe ? dt_ted_probe_encode(buf, sizeof buf, &p) : dt_ted_reply_encode(buf, sizeof buf, &m);
        if (!probe && !n) {
            assert_true(m.count > 12); /* sixteen IPv6 proxies are longer than a message may be */
            continue;
        }
        assert_true(n > 0);
        assert_int_equal(dt_ted_exchange(buf, n), probe ? DT_TED_EXCHANGE_PROBE : DT_TED_EXCHANGE_REPLY);
        if (probe) {
            assert_int_equal(dt_ted_probe_decode(&p2, buf, n, NULL), 0);
            assert_memory_equal(&p, &p2, sizeof p);
            assert_int_equal(dt_ted_reply_decode(&m2, buf, n, NULL), -1);
        } else {
            assert_int_equal(dt_ted_reply_decode(&m2, buf, n, NULL), 0);
            assert_int_equal(m.count, m2.count);
            assert_string_equal(m.name, m2.name);
            assert_memory_equal(m.proxy, m2.proxy, m.count * sizeof m.proxy[0]);
            assert_int_equal(dt_ted_probe_decode(&p2, buf, n, NULL), -1);
        }
        for (size_t cut = 0; cut < n; cut += 1 + cut / 40) {
            uint8_t *copy = malloc(cut ? cut : 1);
            memcpy(copy, buf, cut);
            assert_int_equal(dt_ted_probe_decode(&p2, copy, cut, NULL), -1);
            assert_int_equal(dt_ted_reply_decode(&m2, copy, cut, NULL), -1);
            free(copy);
        }
        for (int k = 0; k < 50; k++) {
            uint8_t *copy = malloc(n);
            memcpy(copy, buf, n);
            copy[dt_rand_below(&r, n)] ^= (uint8_t)(1 << dt_rand_below(&r, 8));
            dt_ted_probe_decode(&p2, copy, n, NULL);
            dt_ted_reply_decode(&m2, copy, n, NULL);
            free(copy);
        }
        assert_int_equal(probe ? dt_ted_probe_encode(buf, n - 1, &p) : dt_ted_reply_encode(buf, n - 1, &m),
                         0);
    }
}

/* docs/ted-wire.md, the worked probe, octet by octet. */
static void the_documented_probe(void **state)
{
    static const char *const hex =
        "0102030405060708 0000000000000000 0d 10 f0 00 00000000 00000074"
        "05 00 0018 0fc77799f46a08f5a5010c406914a900 00000007"
        "80 00 000c 01 00 0000 c0000201"
        "81 00 0010 04 000000 0a010000 ffff0000"
        "00 00 0024 0fc77799f46a08f5a5010c406914a900 01 04 06 00 c350 0050 0a010005 0a020007";
    uint8_t want[256], got[256];
    long n = dt_unhex(want, sizeof want, hex);
    struct dt_ted_probe p = {
        .cookie = 0x0102030405060708,
        .capabilities = DT_TED_CAP_SEVERAL | DT_TED_CAP_IPV6 | DT_TED_CAP_IKEV2,
        .id = dt_addr4(0xc0000201),
        .proxy = dt_addr4(0x0a010000),
        .proxy_mask = dt_addr4(0xffff0000),
        .packet = {.src = dt_addr4(0x0a010005),
                   .dst = dt_addr4(0x0a020007),
                   .protocol = 6,
                   .sport = 50000,
                   .dport = 80},
    };
    assert_int_equal(n, 116);
    assert_int_equal(dt_ted_probe_encode(got, sizeof got, &p), 116);
    assert_memory_equal(want, got, 116);
}

/* The worked reply: the responder's own half first on the wire, the initiator's view in the struct. */
static void the_documented_reply(void **state)
{
    static const char *const hex = "0102030405060708 1112131415161718 0d 10 f1 00 00000000 0000005c"
                                   "05 00 0018 0fc77799f46a08f5a5010c406914a900 00000007"
                                   "82 00 000c 01 00 0000 c6336401"
                                   "00 00 001c 04 06 0000 0050 0000 0a020000 ffff0000 0a000000 ff000000";
    uint8_t want[256], got[256];
    long n = dt_unhex(want, sizeof want, hex);
    struct dt_ted_reply m = {.cookie = 0x0102030405060708,
                             .responder_cookie = 0x1112131415161718,
                             .capabilities = 7,
                             .id = dt_addr4(0xc6336401),
                             .count = 1,
                             .proxy = {{.ver = 4,
                                        .protocol = 6,
                                        .sport = 0,
                                        .dport = 80,
                                        .src = dt_addr4(0x0a000000),
                                        .src_mask = dt_addr4(0xff000000),
                                        .dst = dt_addr4(0x0a020000),
                                        .dst_mask = dt_addr4(0xffff0000)}}};
    assert_int_equal(n, 92);
    assert_int_equal(dt_ted_reply_encode(got, sizeof got, &m), 92);
    assert_memory_equal(want, got, 92);
}

/* The same with a name: after the ID. */
static void a_name_in_the_reply(void **state)
{
    static const char *const hex = "0102030405060708 1112131415161718 0d 10 f1 00 00000000 00000070"
                                   "05 00 0018 0fc77799f46a08f5a5010c406914a900 00000007"
                                   "83 00 000c 01 00 0000 c6336401"
                                   "82 00 0014 656173742e6578616d706c652e6e6574"
                                   "00 00 001c 04 06 0000 0050 0000 0a020000 ffff0000 0a000000 ff000000";
    static const char *const bad[] = {"", "*.example.net", "east example", "e\x7f", "\xc3\xa9"};
    uint8_t want[256], got[256];
    long n = dt_unhex(want, sizeof want, hex);
    struct dt_ted_reply m;
    struct dt_err err = {0};
    assert_int_equal(n, 112);
    assert_int_equal(dt_ted_reply_decode(&m, want, 112, NULL), 0);
    assert_string_equal(m.name, "east.example.net");
    assert_int_equal(dt_ted_reply_encode(got, sizeof got, &m), 112);
    assert_memory_equal(want, got, 112);
    got[64 + 4] = 0; /* no NUL within */
    assert_int_equal(dt_ted_reply_decode(&m, got, 112, &err), -1);
    assert_non_null(strstr(err.text, "payload 131 is malformed"));
    memcpy(got, want, 112);
    got[64] = DT_TED_PAYLOAD_NAME; /* a second one (the response's octets, so malformed) */
    assert_int_equal(dt_ted_reply_decode(&m, got, 112, &err), -1);
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++)
        assert_false(dt_ted_name_ok(bad[i], strlen(bad[i])));
    char longest[DT_TED_NAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    assert_true(dt_ted_name_ok(longest, DT_TED_NAME_MAX));
    assert_false(dt_ted_name_ok(longest, DT_TED_NAME_MAX + 1));
}

static void bad_messages_are_named(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, 7);
    struct dt_rand r = dt_prng_rand(&prng);
    static const struct {
        size_t at;
        uint8_t xor ;
        const char *why;
    } bad[] = {
        {17, 0x30, "version 2.0"},
        {18, 0x01, "exchange 241"},
        {19, 0x01, "flags 0x1"},
        {23, 0x01, "message id 1"},
        {27, 0x01, "the header says"},
        {15, 0x01, "not zero in a probe"},
        {40, 0xff, "payload 13 is malformed or of another maker"},
        {31, 0x01, "malformed"},
    };
    struct dt_ted_probe p = any_probe(&r), p2;
    uint8_t buf[DT_TED_MAX_MESSAGE];
    struct dt_err err = {0};
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++) {
        size_t n = dt_ted_probe_encode(buf, sizeof buf, &p);
        buf[bad[i].at] ^= bad[i].xor ;
        assert_int_equal(dt_ted_probe_decode(&p2, buf, n, &err), -1);
        if (!strstr(err.text, bad[i].why))
            fail_msg("%zu: %s", i, err.text);
    }
    size_t n = dt_ted_probe_encode(buf, sizeof buf, &p);
    memset(buf, 0, 8);
    assert_int_equal(dt_ted_probe_decode(&p2, buf, n, &err), -1);
    assert_non_null(strstr(err.text, "initiator cookie is zero"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_and_every_cut), cmocka_unit_test(the_documented_probe),
        cmocka_unit_test(the_documented_reply),     cmocka_unit_test(a_name_in_the_reply),
        cmocka_unit_test(bad_messages_are_named),
    };
    return TEST_RUN(tests);
}
