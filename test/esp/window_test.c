/* The window against a model that remembers everything it has seen. */
#include "support/test.h"

#include "base/rand.h"
#include "esp/window.h"

#define SPAN 20000

static void edges(void **state)
{
    struct dt_window w;
    assert_int_equal(dt_window_init(&w, 1024), 0);
    assert_false(dt_window_check(&w, 0));
    assert_true(dt_window_mark(&w, 1));
    assert_false(dt_window_mark(&w, 1));
    assert_true(dt_window_mark(&w, 1025)); /* the window is now 2 .. 1025 */
    assert_false(dt_window_check(&w, 1));
    assert_true(dt_window_check(&w, 2));
    assert_true(dt_window_mark(&w, 2));
    assert_false(dt_window_mark(&w, 2));
    assert_true(dt_window_mark(&w, 1u << 20)); /* far ahead: nothing of the old stays */
    assert_true(dt_window_check(&w, (1u << 20) - 1023));
    assert_false(dt_window_check(&w, (1u << 20) - 1024));
    dt_window_free(&w);
}

/* Model: accept exactly what was not accepted before and is less than `size` below the highest accepted. */
static void model(uint32_t size, uint64_t base, struct dt_prng *p)
{
    struct dt_rand r = dt_prng_rand(p);
    struct dt_window w;
    static bool seen[SPAN];
    uint64_t at = 1, top = base;

    memset(seen, 0, sizeof seen);
    assert_int_equal(dt_window_init(&w, size), 0);
    w.top = base;
    for (int i = 0; i < 30000; i++) {
        uint64_t kind = dt_rand_below(&r, 10);
        uint64_t pick = kind < 6   ? at++
                        : kind < 8 ? at + dt_rand_below(&r, 70)
                        : kind < 9 ? (at > size + 80 ? at - dt_rand_below(&r, size + 80) : 1)
                                   : 1 + dt_rand_below(&r, SPAN - 1);
        if (kind == 9 && dt_rand_below(&r, 50) != 0)
            continue; /* leaps are rare */
        if (pick >= SPAN)
            break;
        uint64_t seq = base + pick;
        bool want = !seen[pick] && (seq > top || top - seq < size);
        assert_int_equal(dt_window_check(&w, seq), want);
        if (dt_rand_below(&r, 8) == 0)
            continue; /* its ICV was wrong: nothing may change */
        assert_int_equal(dt_window_mark(&w, seq), want);
        if (want) {
            seen[pick] = true;
            top = seq > top ? seq : top;
            at = pick > at ? pick : at;
        }
    }
    dt_window_free(&w);
}

static void against_model(void **state)
{
    struct dt_prng p;
    dt_prng_seed(&p, test_seed("window"));
    for (int i = 0; i < 12; i++) {
        model(64, 0, &p);
        model(1024, 0, &p);
        model(1088, UINT64_C(0xfffff000), &p); /* across the subspace boundary */
        model(4096, UINT64_C(0x1ffffff00), &p);
    }
}

/* RFC 4303 A2.2: whatever low half arrives, the whole number is the one nearest to the window. */
static void extension(void **state)
{
    struct dt_prng p;
    dt_prng_seed(&p, test_seed("extension"));
    struct dt_rand r = dt_prng_rand(&p);
    struct dt_window w;
    assert_int_equal(dt_window_init(&w, 1024), 0);
    for (int i = 0; i < 200000; i++) {
        uint64_t high = dt_rand_below(&r, 4), got;
        w.top = high << 32 | (dt_rand_below(&r, 2) ? dt_rand_u32(&r)
                                                   : dt_rand_below(&r, 3000) - 1500 + (UINT64_C(1) << 32)) %
                                 (UINT64_C(1) << 32);
        uint64_t seq = w.top + dt_rand_below(&r, 100000); /* ahead by less than 2^32 - window, */
        if (dt_rand_below(&r, 2) && w.top > 1023)
            seq = w.top - dt_rand_below(&r, 1024); /* or inside the window */
        assert_true(dt_window_extend(&w, (uint32_t)seq, &got));
        assert_true(got == seq);
    }
    w.top = 5;
    uint64_t got;
    assert_false(dt_window_extend(&w, 0xfffffff0, &got)); /* would lie before the first packet */
    dt_window_free(&w);
}

static uint64_t digest_of(const uint64_t *seq, size_t n)
{
    struct dt_window w;
    struct dt_digest d;
    assert_int_equal(dt_window_init(&w, 128), 0);
    for (size_t i = 0; i < n; i++)
        dt_window_mark(&w, seq[i]);
    dt_digest_init(&d);
    dt_window_digest(&w, &d);
    dt_window_free(&w);
    return dt_digest_value(&d);
}

/* Which were seen, not how many nor in what order. */
static void digests(void **state)
{
    static const uint64_t a[] = {1, 2, 70}, b[] = {2, 70, 1}, c[] = {1, 3, 70}, e[] = {1, 66, 70};
    assert_true(digest_of(a, 3) == digest_of(b, 3));
    assert_true(digest_of(a, 3) != digest_of(c, 3));
    assert_true(digest_of(a, 3) != digest_of(e, 3));
    assert_true(digest_of(c, 3) != digest_of(e, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges),
        cmocka_unit_test(against_model),
        cmocka_unit_test(extension),
        cmocka_unit_test(digests),
    };
    return TEST_RUN(tests);
}
