/* An inside address of this host's own is known by the address: while its tunnel has it, and no longer. */
#include "endpoint/world.h"

static bool ours(struct world *w, const struct dt_addr *a)
{
    return dt_endpoint_has_inside(w->host[0].ep, a);
}

static struct dt_addr lease_of(struct world *w)
{
    struct dt_tunnel_info info;
    assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
    assert_int_equal(info.inside.addr4.ver, 4);
    return info.inside.addr4;
}

static void connect_to_gateway(struct world *w)
{
    struct dt_tunnel_cfg cfg;
    world_init(w, 7, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 3);
    assert_true(world_up(w, 0));
}

static void a_lease_is_ours_while_its_tunnel_has_it(void **state)
{
    static struct world w;
    connect_to_gateway(&w);
    struct dt_addr lease = lease_of(&w), other = lease;
    assert_true(dt_addr_next(&other));
    assert_true(ours(&w, &lease));
    assert_false(ours(&w, &other));
    assert_false(dt_endpoint_has_inside(w.host[1].ep, &lease)); /* the gateway has leased it to somebody */
    dt_endpoint_down(w.host[0].ep, w.now, w.host[0].client);
    assert_false(ours(&w, &lease));
    dt_endpoint_up(w.host[0].ep, w.now, w.host[0].client);
    world_pass(&w, 3);
    lease = lease_of(&w);
    assert_true(ours(&w, &lease));
    dt_endpoint_tunnel_remove(w.host[0].ep, w.now, w.host[0].client);
    assert_false(ours(&w, &lease));
    world_pass(&w, 3);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_ours_while_its_tunnel_has_it),
    };
    return TEST_RUN(tests);
}
