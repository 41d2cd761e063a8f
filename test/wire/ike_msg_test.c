#include "support/test.h"

#include "wire/ike_msg.h"
#include "wire/ike_notify.h"

static const struct dt_ike_header header = {.spi_i = 0x0102030405060708,
                                            .spi_r = 0x1112131415161718,
                                            .exchange = DT_INFORMATIONAL,
                                            .flags = DT_IKE_FLAG_INITIATOR,
                                            .mid = 7};

static size_t two_payloads(uint8_t *buf, size_t cap)
{
    struct dt_ike_builder b;
    dt_ike_build(&b, buf, cap, &header);
    dt_ike_payload_begin(&b, DT_P_NONCE);
    dt_write_bytes(&b.w, "0123456789abcdef", 16);
    dt_ike_payload_end(&b);
    dt_ike_payload_begin(&b, DT_P_VENDOR);
    dt_write_bytes(&b.w, "xyz", 3);
    dt_ike_payload_end(&b);
    return dt_ike_build_end(&b);
}

static void what_is_written_is_read(void **state)
{
    /* By hand from RFC 7296 figures 4 and 5. */
    static const uint8_t want[] = {1,    2,    3,    4,    5,    6,   7,    8,   0x11, 0x12, 0x13,
                                   0x14, 0x15, 0x16, 0x17, 0x18, 40,  0x20, 37,  8,    0,    0,
                                   0,    7,    0,    0,    0,    55,  43,   0,   0,    20,   '0',
                                   '1',  '2',  '3',  '4',  '5',  '6', '7',  '8', '9',  'a',  'b',
                                   'c',  'd',  'e',  'f',  0,    0,   0,    7,   'x',  'y',  'z'};
    uint8_t buf[100];
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    assert_int_equal(two_payloads(buf, sizeof(buf)), sizeof(want));
    assert_memory_equal(buf, want, sizeof(want));
    assert_int_equal(dt_ike_header_read(&h, buf, sizeof(want)), 0);
    assert_int_equal(h.spi_i, header.spi_i);
    assert_int_equal(h.spi_r, header.spi_r);
    assert_int_equal(h.mid, 7);
    assert_int_equal(h.exchange, DT_INFORMATIONAL);
    assert_int_equal(dt_ike_payloads_read(&list, h.next, buf + 28, sizeof(want) - 28), 0);
    assert_int_equal(list.n, 2);
    assert_int_equal(dt_ike_find(&list, DT_P_VENDOR)->body.len, 3);
    assert_null(dt_ike_find(&list, DT_P_SA));
    for (size_t cap = 0; cap < sizeof(want); cap++)
        assert_int_equal(two_payloads(buf, cap), 0); /* what does not fit fails, wherever it ends */
}

static void every_truncation_is_refused(void **state)
{
    uint8_t buf[100];
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    size_t len = two_payloads(buf, sizeof(buf));
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(dt_ike_header_read(&h, buf, n), -1);
        if (n >= 28)
            assert_int_equal(dt_ike_payloads_read(&list, DT_P_NONCE, buf + 28, n - 28), -1);
    }
    assert_int_equal(dt_ike_header_read(&h, buf, len + 1), -1);
    assert_int_equal(dt_ike_payloads_read(&list, DT_P_NONCE, buf + 28, len - 28 + 1),
                     -1); /* something behind the last */
    buf[30] = 0;
    buf[31] = 3; /* shorter than its own header */
    assert_int_equal(dt_ike_payloads_read(&list, DT_P_NONCE, buf + 28, len - 28), -1);
}

static void too_many_payloads(void **state)
{
    uint8_t chain[(DT_IKE_PAYLOADS_MAX + 1) * 4];
    struct dt_ike_payloads list;
    for (size_t i = 0; i <= DT_IKE_PAYLOADS_MAX; i++)
        memcpy(chain + 4 * i, (uint8_t[]){i < DT_IKE_PAYLOADS_MAX ? DT_P_DELETE : 0, 0, 0, 4}, 4);
    assert_int_equal(dt_ike_payloads_read(&list, DT_P_DELETE, chain, sizeof(chain)), -1);
    chain[4 * (DT_IKE_PAYLOADS_MAX - 1)] = 0;
    assert_int_equal(dt_ike_payloads_read(&list, DT_P_DELETE, chain, sizeof(chain) - 4), 0);
}

/* Whatever a peer may send and everybody may ignore takes no room from what matters, however much of it there is. */
static void payloads_to_ignore(void **state)
{
    static const struct {
        uint8_t type;
        uint16_t notify; /* of a notify */
    } kinds[] = {{DT_P_VENDOR, 0},
                 {200, 0},
                 {DT_P_NOTIFY, 30000},
                 {DT_P_NOTIFY, 50000},
                 {DT_P_NOTIFY, DT_N_NAT_DETECTION_SOURCE_IP}};
    static uint8_t chain[3000 * 8];
    struct dt_ike_payloads list;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (size_t n = 1; n < 2000; n = n * 3 + 1) {
            for (size_t i = 0; i < n; i++) {
                uint8_t one[8] = {i + 1 < n ? kinds[k].type : DT_P_NONCE, 0, 0, 8};
                dt_put_be16(one + 6, kinds[k].notify);
                memcpy(chain + 8 * i, one, 8);
            }
            memcpy(chain + 8 * n, (uint8_t[]){0, 0, 0, 8, 1, 2, 3, 4}, 8);
            int rc = dt_ike_payloads_read(&list, kinds[k].type, chain, 8 * n + 8);
            bool named = kinds[k].notify == DT_N_NAT_DETECTION_SOURCE_IP;
            if (named && n >= DT_IKE_PAYLOADS_MAX) {
                assert_int_equal(rc, -1); /* these are read; what comes behind so many of them is not */
                continue;
            }
            assert_int_equal(rc, 0);
            assert_int_equal(list.n + list.left_out, n + 1);
            assert_non_null(dt_ike_find(&list, DT_P_NONCE));
        }
}

static void critical_payloads(void **state)
{
    uint8_t chain[] = {200, 0x80, 0, 4, 0, 0x80, 0, 4};
    struct dt_ike_payloads list;
    assert_int_equal(dt_ike_payloads_read(&list, DT_P_VENDOR, chain, sizeof(chain)), 0);
    assert_int_equal(list.unknown_critical, 200); /* the flag means nothing where the type is understood */
    chain[5] = 0x7f;                              /* reserved bits do not matter */
    assert_int_equal(dt_ike_payloads_read(&list, DT_P_VENDOR, chain, sizeof(chain)), 0);
    assert_int_equal(list.unknown_critical, 0);
}

static void encrypted_payload(void **state)
{
    static const struct {
        size_t iv, block, icv;
    } shape[] = {{8, 1, 16}, {16, 16, 16}, {16, 16, 32}};
    for (size_t i = 0; i < 3; i++)
        for (size_t n = 0; n < 40; n++) {
            uint8_t buf[256];
            struct dt_ike_builder b;
            struct dt_ike_sk w, r;
            struct dt_ike_header h;
            struct dt_ike_payloads outer, inner;
            dt_ike_build(&b, buf, sizeof(buf), &header);
            dt_ike_sk_begin(&b, shape[i].iv);
            dt_ike_payload_begin(&b, DT_P_VENDOR);
            dt_write_reserve(&b.w, n);
            dt_ike_payload_end(&b);
            size_t len = dt_ike_sk_end(&b, shape[i].block, shape[i].icv, &w);
            assert_true(len > 0);
            assert_int_equal(w.len % shape[i].block, 0);
            assert_ptr_equal(w.text, w.iv + shape[i].iv);
            assert_ptr_equal(w.icv, w.text + w.len);
            assert_int_equal(w.aad_len, 32);
            assert_int_equal(dt_ike_header_read(&h, buf, len), 0);
            assert_int_equal(dt_ike_payloads_read(&outer, h.next, buf + 28, len - 28), 0);
            assert_int_equal(dt_ike_sk_split(buf, &outer.v[0], shape[i].iv, shape[i].block, shape[i].icv, &r),
                             0);
            assert_memory_equal(&r, &w, sizeof(r));
            assert_int_equal(dt_ike_sk_payloads(&inner, &outer.v[0], &r), 0);
            assert_int_equal(inner.n, 1);
            assert_int_equal(inner.v[0].body.len, n);
            r.text[r.len - 1] = 255; /* more padding than text */
            assert_int_equal(dt_ike_sk_payloads(&inner, &outer.v[0], &r), -1);
            outer.v[0].body.len = shape[i].iv + shape[i].icv;
            assert_int_equal(dt_ike_sk_split(buf, &outer.v[0], shape[i].iv, shape[i].block, shape[i].icv, &r),
                             -1);
        }
}

static void nothing_behind_the_encrypted_payload(void **state)
{
    static const uint8_t chain[] = {0, 0, 0, 6, 1, 2, 0, 0, 0, 4};
    struct dt_ike_payloads list;
    assert_int_equal(dt_ike_payloads_read(&list, DT_P_SK, chain, sizeof(chain)), -1);
    assert_int_equal(dt_ike_payloads_read(&list, DT_P_SK, chain, 6), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_written_is_read),
                                       cmocka_unit_test(every_truncation_is_refused),
                                       cmocka_unit_test(too_many_payloads),
                                       cmocka_unit_test(payloads_to_ignore),
                                       cmocka_unit_test(critical_payloads),
                                       cmocka_unit_test(encrypted_payload),
                                       cmocka_unit_test(nothing_behind_the_encrypted_payload)};
    return TEST_RUN(tests);
}
