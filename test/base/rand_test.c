#include "support/test.h"

#include "base/rand.h"

/* The reference generator (Blackman, Vigna) seeded by splitmix64 of 0; first outputs computed with it. */
static void the_same_seed_gives_the_same_bytes(void **state)
{
    struct dt_prng a, b, c;
    dt_prng_seed(&a, 42);
    dt_prng_seed(&b, 42);
    dt_prng_seed(&c, 43);
    bool differ = false;
    for (int i = 0; i < 100; i++) {
        uint64_t v = dt_prng_u64(&a);
        assert_true(v == dt_prng_u64(&b));
        differ |= v != dt_prng_u64(&c);
    }
    assert_true(differ);
    dt_prng_seed(&a, 0);
    assert_true(dt_prng_u64(&a) == 0x99ec5f36cb75f2b4u);
}

static void below_stays_below_and_reaches_all(void **state)
{
    struct dt_prng p;
    dt_prng_seed(&p, test_seed("below"));
    struct dt_rand r = dt_prng_rand(&p);
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t v = dt_rand_below(&r, 7);
        assert_true(v < 7);
        seen[v]++;
    }
    for (int i = 0; i < 7; i++)
        assert_true(seen[i] > 500);
    assert_true(dt_rand_below(&r, 0) == 0 && dt_rand_below(&r, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(below_stays_below_and_reaches_all),
    };
    return TEST_RUN(tests);
}
