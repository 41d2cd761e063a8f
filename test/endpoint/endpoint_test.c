#include "endpoint/world.h"

static void comes_up_and_carries(void **state)
{
    struct world *w = malloc(sizeof(*w));
    world_init(w, 1, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_connect(w, 0, 1, NULL);
    world_data(w, 0, 0); /* held */
    assert_int_equal(world_first(&w->host[0])->held, 1);
    world_pass(w, 1);
    assert_true(world_up(w, 0));
    assert_int_equal(world_first(&w->host[1])->got, 1);
    world_data(w, 1, 0);
    world_pass(w, 1);
    assert_int_equal(world_first(&w->host[0])->got, 1);
    assert_int_equal(w->host[0].sins + w->host[1].sins, 0);
    world_end(w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_up_and_carries),
    };
    return TEST_RUN(tests);
}
