#include "support/test.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "base/table.h"

#define N 500

struct thing {
    struct dt_table_node node;
    int id;
    bool in;
};

static void holds_what_was_put_in(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("holds_what_was_put_in"));
    struct dt_rand r = dt_prng_rand(&prng);
    static struct thing t[N];
    struct dt_table table;
    dt_table_init(&table);
    for (int i = 0; i < N; i++)
        t[i].id = i;
    for (int step = 0; step < 50000; step++) {
        struct thing *one = &t[dt_rand_below(&r, N)];
        if (one->in)
            dt_table_remove(&table, &one->node);
        else
            assert_int_equal(dt_table_insert(&table, &one->node, (uint64_t)one->id % 37),
                             0); /* many collisions */
        one->in = !one->in;
        struct thing *ask = &t[dt_rand_below(&r, N)];
        bool found = false;
        for (struct dt_table_node *n = dt_table_first(&table, (uint64_t)ask->id % 37); n;
             n = dt_table_next(n))
            found |= DT_CONTAINER_OF(n, struct thing, node) == ask;
        assert_int_equal(found, ask->in);
    }
    size_t want = 0, got = 0;
    for (int i = 0; i < N; i++)
        want += t[i].in;
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&table, &it));) {
        got++;
        dt_table_remove(&table, n);
    }
    assert_int_equal(got, want);
    assert_int_equal(table.count, 0);
    dt_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(holds_what_was_put_in)};
    return TEST_RUN(tests);
}
