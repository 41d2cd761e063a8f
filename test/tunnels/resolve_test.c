/* The names of a tunnel's gateways: all are asked at once, and what is heard is used in the order of the file, as long as the
 * names before it do not hang. */
#include "daemon/room.h"

#define CONF(first)                                                                                          \
    "tunnel \"office\" { gateway = { \"" first "\", \"two.example.net\" } local = \"anna@example.net\" "     \
    "remote = \"vpn.example.net\" psk = \"" ROOM_PSK                                                         \
    "\" protect = \"10.1.0.0/16\" encap = esp " ROOM_PROPOSALS "}\n"

static struct room room;

static void begin(void)
{
    room_begin(&room, 1, 4, CONF("one.example.net"));
    room_turn(&room);
    assert_int_equal(fake_lookups(), 2);
}

static void end(void)
{
    while (fake_lookups() > 0) {
        fake_lookup_answer(0, 0);
        resolve_answers(&room.d);
    }
    room_end(&room);
}

static void answered(unsigned which, unsigned host)
{
    fake_lookup_answer(which, host);
    resolve_answers(&room.d);
    room_turn(&room);
}

/* The last octet of the gateway that is spoken to; 0: none. */
static unsigned spoken_to(void)
{
    struct dt_tunnel_info info;
    const struct tun *t = tun_by_name(&room.d, "office");
    if (t == NULL || t->id == 0 || !dt_endpoint_tunnel_info(room.d.ep, t->id, &info) || !info.started)
        return 0;
    return dt_addr4_host(&info.path.remote.addr) & 0xff;
}

static void the_first_is_heard_of_later(void **state)
{
    begin();
    answered(1, 3);
    room_pass(&room, 500 * DT_MSEC);
    assert_int_equal(spoken_to(), 0); /* the first may still be heard of */
    answered(0, 2);
    room_pass(&room, 100 * DT_MSEC);
    assert_int_equal(spoken_to(), 2);
    end();
}

static void the_first_hangs(void **state)
{
    begin();
    answered(1, 3);
    room_pass(&room, 1500 * DT_MSEC);
    assert_int_equal(spoken_to(), 3);
    end();
}

static void the_first_is_not_there(void **state)
{
    begin();
    answered(0, 0);
    assert_int_equal(spoken_to(), 0);
    answered(0, 3); /* which is now the second name */
    room_pass(&room, 100 * DT_MSEC);
    assert_int_equal(spoken_to(), 3);
    end();
}

static void another_name_while_one_is_looked_up(void **state)
{
    struct dt_err err = {0};
    begin();
    json_t *report = json_object();
    room_write(&room, CONF("three.example.net"));
    assert_int_equal(daemon_reload(&room.d, report, NULL, &err), RELOAD_DONE);
    json_decref(report);
    room_turn(&room);
    assert_int_equal(fake_lookups(), 2); /* what nobody wants to know any more is forgotten */
    assert_string_equal(fake_lookup_name(0), "three.example.net");
    assert_string_equal(fake_lookup_name(1), "two.example.net");
    end();
}

/* An address of one link waits for its interface, and nobody looks it up. */
static void an_interface_that_is_not_there(void **state)
{
    struct dt_tunnel_info info;
    room_begin(&room, 1, 4,
               "tunnel \"office\" { gateway = \"fe80::1%dtnone0\" local = \"anna@example.net\" remote = "
               "\"vpn.example.net\" psk = \"" ROOM_PSK
               "\" protect = \"10.1.0.0/16\" encap = esp " ROOM_PROPOSALS "}\n");
    room_turn(&room);
    assert_int_equal(fake_lookups(), 0);
    struct tun *t = tun_by_name(&room.d, "office");
    assert_int_equal(t->id, 0);
    assert_non_null(strstr(t->resolve_why, "no interface dtnone0"));
    assert_true(t->resolve_at != DT_NEVER);
    free(t->cfg.host[0]);
    t->cfg.host[0] = strdup("fe80::1%lo"); /* it is there now, under the name that this host has */
    resolve_network_changed(&room.d);
    resolve_tick(&room.d, daemon_now());
    assert_string_equal(t->resolve_why, "");
    assert_int_not_equal(t->id, 0);
    assert_true(dt_endpoint_tunnel_info(room.d.ep, t->id, &info));
    assert_int_equal(dt_addr_scope(&t->cfg.cfg.gateways[0]), 1);
    room_end(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_heard_of_later),
        cmocka_unit_test(the_first_hangs),
        cmocka_unit_test(the_first_is_not_there),
        cmocka_unit_test(an_interface_that_is_not_there),
        cmocka_unit_test(another_name_while_one_is_looked_up),
    };
    return TEST_RUN(tests);
}
