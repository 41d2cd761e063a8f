#include "policy/overhead.h"
#include "base/bytes.h"
#include "support/test.h"

static const struct dt_suite gcm = {DT_ENCR_AES_GCM_16, 256, DT_INTEG_NONE};
static const struct dt_suite cbc = {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_256_128};

/* Octets of RFC 4303 figure 1, with RFC 4106, RFC 3602 and RFC 4868. */
static void known(void **state)
{
    struct dt_overhead o;
    assert_int_equal(dt_overhead_make(&o, &gcm, true, 4, false, NULL), 0);
    assert_int_equal(dt_overhead_least(&o), 20 + 8 + 8 + 2 + 16);
    assert_int_equal(dt_overhead_most(&o), 57);
    assert_int_equal(dt_overhead_inner(&o, 1500, 20), 1446);
    dt_overhead_make(&o, &gcm, true, 6, true, NULL);
    assert_int_equal(dt_overhead_least(&o), 40 + 8 + 8 + 8 + 2 + 16);
    dt_overhead_make(&o, &cbc, true, 4, false, NULL);
    assert_int_equal(dt_overhead_least(&o), 20 + 8 + 16 + 2 + 16);
    assert_int_equal(dt_overhead_inner(&o, 1500, 20), 1438);
    dt_overhead_make(&o, &gcm, false, 4, false, NULL);
    assert_int_equal(dt_overhead_least(&o), 34);
    assert_int_equal(dt_overhead_inner(&o, 1500, 20), 1466);
    assert_int_equal(dt_overhead_inner(&o, 51, 20), 0);
    struct dt_err err;
    assert_int_equal(dt_overhead_make(&o, &(struct dt_suite){3, 0, 12}, false, 4, false, &err), -1);
    assert_string_equal(err.text, "encryption transform 3 is not known");
}

/* The longest packet fits, one byte more does not, for every size and layer. */
static void both_ways(void **state)
{
    for (unsigned i = 0; i < 16; i++) {
        struct dt_overhead o;
        dt_overhead_make(&o, i & 1 ? &gcm : &cbc, i & 2, i & 4 ? 6 : 4, i & 8, NULL);
        for (uint32_t outer = 0; outer < 3000; outer++) {
            uint32_t inner = dt_overhead_inner(&o, outer, 20);
            if (inner) {
                assert_true(dt_overhead_outer(&o, inner, 20) <= outer);
                uint32_t added = dt_overhead_outer(&o, inner, 20) - inner;
                assert_true(added >= dt_overhead_least(&o) && added <= dt_overhead_most(&o));
                assert_true(dt_overhead_outer(&o, inner + 1, 20) > outer);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known), cmocka_unit_test(both_ways)};
    return TEST_RUN(tests);
}
