/* Sequence numbers come to their end, at either side: the tunnel gets out, whoever declines what. */
#include "endpoint/pair.h"

static void soft_limit_of_the_gateway_brings_a_new_epoch(void **state)
{
    struct world *w = pair_up(1, WORLD_DOVETAIL, NULL);
    world_pass(w, 3); /* older than `timeout` */
    w->host[1].soft_at = 300;
    pair_traffic(w);
    world_pass(w, 4);
    assert_int_equal(world_epoch(w, 0), 2);
    assert_int_equal(w->host[0].seen[DT_EPOCH_REKEY_DECLINED], 1);
    pair_every_packet_arrived(w);
    pair_end(w);
}

/* The gateway asks, the client declines, and the numbers run out before anything else happens. */
static void hard_limit_of_the_gateway(void **state)
{
    struct world *w = pair_up(2, WORLD_DOVETAIL, NULL);
    w->host[1].soft_at = 55;
    w->host[1].hard_at = 60;
    pair_traffic(w);
    world_pass(w, 1);
    assert_int_equal(world_epoch(w, 0), 2);
    assert_int_equal(w->host[0].seen[DT_EPOCH_REKEY_DECLINED], 1);
    assert_int_equal(w->host[0].seen[DT_EPOCH_PEER_DELETED], 1);
    assert_int_equal(w->host[1].exhausted, 1); /* one packet found no number; the others waited */
    w->host[1].soft_at = w->host[1].hard_at = 0;
    world_pass(w, 1);
    w->data_every = 0;
    world_pass(w, 1);
    struct world_tunnel *s = world_first(&w->host[1]);
    assert_int_equal(s->dropped, 0);
    assert_int_equal(s->sent, world_first(&w->host[0])->got + 1);
    pair_end(w);
}

static void hard_limit_of_the_client(void **state)
{
    struct world *w = pair_up(3, WORLD_DOVETAIL, NULL);
    w->host[0].hard_at = 60;
    pair_traffic(w);
    world_pass(w, 1);
    assert_int_equal(world_epoch(w, 0), 2);
    assert_int_equal(w->host[0].exhausted, 1);
    w->host[0].hard_at = 0;
    world_pass(w, 1);
    w->data_every = 0;
    world_pass(w, 1);
    assert_int_equal(world_first(&w->host[0])->sent, world_first(&w->host[1])->got + 1);
    assert_int_equal(world_first(&w->host[1])->sent, world_first(&w->host[0])->got);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_UP], 1);
    pair_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(soft_limit_of_the_gateway_brings_a_new_epoch),
        cmocka_unit_test(hard_limit_of_the_gateway),
        cmocka_unit_test(hard_limit_of_the_client),
    };
    return TEST_RUN(tests);
}
