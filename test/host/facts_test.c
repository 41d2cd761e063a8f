/* Lists of facts of a sort that nobody has: the core must know nothing but places and values. */
#include "support/test.h"

#include "base/rand.h"
#include "host/facts.h"

/* Of a size that is no power of two. */
struct pebble {
    uint8_t place, value, stays, born[4];
};

static int pebble_place_cmp(const void *a, const void *b)
{
    const struct pebble *x = a, *y = b;
    return (int)x->place - (int)y->place;
}

static bool pebble_serves(const void *wanted, const void *had)
{
    return ((const struct pebble *)wanted)->value == ((const struct pebble *)had)->value;
}

static bool pebble_stays(const void *had)
{
    return ((const struct pebble *)had)->stays;
}

static const struct dt_host_sort pebbles = {.size = sizeof(struct pebble),
                                            .place_cmp = pebble_place_cmp,
                                            .serves = pebble_serves,
                                            .stays = pebble_stays};

static const struct pebble *at(const struct dt_host_facts *l, size_t i)
{
    return dt_host_facts_at(l, &pebbles, i);
}

static struct dt_host_facts random_pebbles(const struct dt_rand *rand, size_t max)
{
    struct dt_host_facts l = {.v = NULL};
    uint8_t n, b[3];
    dt_rand_fill(rand, &n, 1);
    for (size_t i = 0; i < n % (max + 1); i++) {
        dt_rand_fill(rand, b, sizeof b);
        struct pebble p = {.place = b[0] % 40, .value = b[1] % 3, .stays = b[2] & 1, .born = {(uint8_t)i}};
        assert_int_equal(dt_host_facts_put(&l, &pebbles, &p), 0);
    }
    return l;
}

/* Of several for one place the first stays, places are in order, and none is lost. */
static void settling_keeps_the_first_of_each_place(void **state)
{
    struct dt_prng source;
    dt_prng_seed(&source, test_seed("facts"));
    struct dt_rand rand = dt_prng_rand(&source);
    for (int round = 0; round < 2000; round++) {
        struct dt_host_facts l = random_pebbles(&rand, 200);
        int first[40];
        size_t places = 0;
        memset(first, -1, sizeof first);
        for (size_t i = 0; i < l.n; i++)
            if (first[at(&l, i)->place] < 0) {
                first[at(&l, i)->place] = at(&l, i)->born[0];
                places++;
            }
        assert_int_equal(dt_host_facts_settle(&l, &pebbles), 0);
        assert_int_equal(l.n, places);
        for (size_t i = 0; i < l.n; i++) {
            assert_int_equal(at(&l, i)->born[0], first[at(&l, i)->place]);
            assert_true(i == 0 || at(&l, i - 1)->place < at(&l, i)->place);
            assert_ptr_equal(dt_host_facts_find(&l, &pebbles, at(&l, i)), at(&l, i));
        }
        dt_host_facts_free(&l);
    }
}

/* Whoever carries the difference out has what is wanted, and beside it only what stays. */
static void the_difference_leads_from_what_is_there_to_what_is_wanted(void **state)
{
    struct dt_prng source;
    dt_prng_seed(&source, test_seed("difference"));
    struct dt_rand rand = dt_prng_rand(&source);
    struct dt_host_facts set = {.v = NULL}, taken = {.v = NULL};
    for (int round = 0; round < 2000; round++) {
        struct dt_host_facts want = random_pebbles(&rand, 60), have = random_pebbles(&rand, 60);
        int value[40];
        bool stays[40] = {false};
        memset(value, -1, sizeof value);
        dt_host_facts_settle(&want, &pebbles);
        dt_host_facts_settle(&have, &pebbles);
        assert_int_equal(dt_host_diff(&pebbles, &want, &have, &set, &taken), 0);
        for (size_t i = 0; i < have.n; i++) {
            value[at(&have, i)->place] = at(&have, i)->value;
            stays[at(&have, i)->place] = at(&have, i)->stays;
        }
        for (size_t i = 0; i < set.n; i++) {
            assert_true(value[at(&set, i)->place] != at(&set, i)->value); /* nothing is set twice */
            assert_true(i == 0 || at(&set, i - 1)->place < at(&set, i)->place);
            value[at(&set, i)->place] = at(&set, i)->value;
        }
        for (size_t i = 0; i < taken.n; i++) {
            assert_true(i == 0 || at(&taken, i - 1)->place > at(&taken, i)->place);
            assert_false(stays[at(&taken, i)->place]);
            value[at(&taken, i)->place] = -1;
        }
        for (size_t i = 0; i < want.n; i++) {
            assert_int_equal(value[at(&want, i)->place], at(&want, i)->value);
            value[at(&want, i)->place] = -1;
        }
        for (int i = 0; i < 40; i++)
            assert_true(value[i] < 0 || stays[i]);
        dt_host_facts_free(&want);
        dt_host_facts_free(&have);
    }
    dt_host_facts_free(&set);
    dt_host_facts_free(&taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settling_keeps_the_first_of_each_place),
        cmocka_unit_test(the_difference_leads_from_what_is_there_to_what_is_wanted),
    };
    return TEST_RUN(tests);
}
