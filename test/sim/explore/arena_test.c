#include "sim/explore/arena.h"

#include "base/rand.h"
#include "support/test.h"

/* Random mallocs, reallocs and frees; every block keeps its bytes, and a copy of the arena brings all of it back. */
static void test_back_in_time(void **state)
{
    enum { N = 300 };
    struct block {
        unsigned char *p;
        size_t n;
        unsigned char fill;
    } * b, *at_copy;
    struct dt_prng rng;
    dt_prng_seed(&rng, test_seed("arena"));
    b = calloc(N, sizeof *b);
    at_copy = calloc(N, sizeof *b);
    assert_int_equal(sim_arena_open(), 0);
    void *copy = NULL;
    for (int i = 0; i < 60000; i++) {
        struct block *x = &b[dt_prng_u64(&rng) % N];
        sim_arena_on(true);
        size_t n = dt_prng_u64(&rng) % (i % 100 ? 700 : 40000);
        unsigned char *p = dt_prng_u64(&rng) % 3 ? realloc(x->p, n + 1) : NULL;
        if (!p) {
            free(x->p);
            p = dt_prng_u64(&rng) % 2 ? calloc(1, n + 1) : malloc(n + 1);
            x->n = 0;
        }
        sim_arena_on(false);
        assert_non_null(p);
        for (size_t k = 0; k < x->n && k < n + 1; k++)
            assert_int_equal(p[k], x->fill);
        *x = (struct block){p, n + 1, (unsigned char)i};
        memset(p, x->fill, x->n);
        if (i == 30000) {
            copy = malloc(sim_arena_copy_size());
            sim_arena_save(copy);
            memcpy(at_copy, b, N * sizeof *b);
        }
    }
    sim_arena_load(copy);
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < at_copy[i].n; k++)
            assert_int_equal(at_copy[i].p[k], at_copy[i].fill);
    free(copy);
    sim_arena_close();
    free(b);
    free(at_copy);
}

static void test_outside_is_left_alone(void **state)
{
    char *before = malloc(100);
    assert_int_equal(sim_arena_open(), 0);
    size_t empty = sim_arena_used();
    sim_arena_on(true);
    before = realloc(before, 5000);
    char *in = strdup("inside");
    sim_arena_on(false);
    assert_true(sim_arena_used() > empty && sim_arena_used() < empty + 200);
    free(in); /* knows where it came from */
    free(before);
    sim_arena_close();
}

/* Above a ground, copies hold only what was written since; whichever is loaded, everything is as it was then. */
static void test_ground(void **state)
{
    enum { N = 400, SIZE = 700, COPIES = 12 };
    unsigned char *p[N], now[N], fill[COPIES][N], at_ground[N];
    void *copy[COPIES] = {NULL};
    struct dt_prng rng;
    dt_prng_seed(&rng, test_seed("arena"));
    assert_int_equal(sim_arena_open(), 0);
    sim_arena_on(true);
    for (int i = 0; i < N; i++) {
        p[i] = malloc(SIZE);
        memset(p[i], at_ground[i] = now[i] = (unsigned char)i, SIZE);
    }
    sim_arena_on(false);
    assert_int_equal(sim_arena_ground(), 0);
    assert_true(sim_arena_copy_size() < 4096);
    for (int step = 0; step < 300; step++) {
        int k = (int)(dt_prng_u64(&rng) % COPIES);
        if (step % 3 == 2 && copy[k]) {
            sim_arena_load(copy[k]);
            memcpy(now, fill[k], N);
        } else if (step % 50 == 49) {
            sim_arena_to_ground();
            memcpy(now, at_ground, N);
        } else {
            for (int i = 0; i < 3; i++) {
                int w = (int)(dt_prng_u64(&rng) % (step < 150 ? N / 4 : N));
                memset(p[w], now[w] = (unsigned char)(step + i), SIZE);
            }
            free(copy[k]);
            copy[k] = malloc(sim_arena_copy_size());
            sim_arena_save(copy[k]);
            memcpy(fill[k], now, N);
        }
        for (int i = 0; i < N; i++)
            assert_true(p[i][0] == now[i] && p[i][SIZE - 1] == now[i]);
    }
    for (int k = 0; k < COPIES; k++)
        free(copy[k]);
    sim_arena_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_back_in_time),
        cmocka_unit_test(test_ground),
        cmocka_unit_test(test_outside_is_left_alone),
    };
    return TEST_RUN(tests);
}
