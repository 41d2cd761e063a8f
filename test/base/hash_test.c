#include "support/test.h"

#include "base/bytes.h"
#include "base/hash.h"

/* Source: appendix A of "SipHash: a fast short-input PRF" (Aumasson, Bernstein): key 00..0f, input 00..0e. */
static void siphash_gives_the_published_value(void **state)
{
    uint8_t in[15];
    for (uint8_t i = 0; i < 15; i++)
        in[i] = i;
    struct dt_siphash_key key = {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}};
    assert_true(dt_siphash(&key, in, 15) == 0xa129ca6149be45e5u);
}

static void a_digest_sees_every_field_and_its_order(void **state)
{
    struct dt_digest d[4];
    for (int i = 0; i < 4; i++)
        dt_digest_init(&d[i]);
    dt_digest_u64(&d[0], 1), dt_digest_u64(&d[0], 2);
    dt_digest_u64(&d[1], 2), dt_digest_u64(&d[1], 1);
    dt_digest_bytes(&d[2], "ab", 2), dt_digest_bytes(&d[2], "c", 1);
    dt_digest_bytes(&d[3], "a", 1), dt_digest_bytes(&d[3], "bc", 2);
    assert_true(dt_digest_value(&d[0]) != dt_digest_value(&d[1]));
    assert_true(dt_digest_value(&d[2]) != dt_digest_value(&d[3]));
    uint64_t before = dt_digest_value(&d[0]);
    assert_true(before == dt_digest_value(&d[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_published_value),
        cmocka_unit_test(a_digest_sees_every_field_and_its_order),
    };
    return TEST_RUN(tests);
}
