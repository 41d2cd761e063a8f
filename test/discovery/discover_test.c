/* Who hears of a discovered tunnel or of a refusal finds the state as it is told. (meson.build puts the functions below
 * before those of the daemon.) */
#include "daemon/room.h"
#include "discovery/discover.h"

enum { DAEMON, PEER, HOSTS = 3 };

static struct room room;
static unsigned lost, idle, refused, gone;
static const struct dt_ted_packet packet = {.src = {.ver = 4, .b = {10, 9, 0, 5}},
                                            .dst = {.ver = 4, .b = {10, 1, 0, 7}}};
static char found_name[DT_NAME_MAX];

static bool is_found(void)
{
    const struct discover *x = room.d.discover;
    return !dt_list_empty(&x->founds) || x->found_table.count > 0 || tun_by_name(&room.d, found_name) != NULL;
}

void __wrap_monitors_event(struct daemon *d, const struct dt_event *ev);
void __real_monitors_event(struct daemon *d, const struct dt_event *ev);
void __wrap_monitors_event(struct daemon *d, const struct dt_event *ev)
{
    const struct discover *x = d->discover;
    if (strcmp(ev->name, "discover_lost") == 0) {
        lost++;
        assert_false(is_found());
        assert_true(discover_is_refused(x, &packet));
    }
    if (strcmp(ev->name, "discover_idle") == 0) {
        idle++;
        assert_false(is_found());
        assert_int_equal(x->count.tunnels_idle, idle);
    }
    if (strcmp(ev->name, "discover_refused") == 0) {
        refused++;
        assert_true(discover_is_refused(x, &packet));
    }
    if (ev->kind == DT_EVENT_TUNNEL_GONE && ev->client) {
        gone++;
        assert_true(dt_list_empty(&x->founds));
    }
    __real_monitors_event(d, ev);
}

static void begin(const char *more)
{
    char conf[512];
    snprintf(conf, sizeof(conf),
             "discover \"sites\" { protect = \"10.9.0.0/16 10.0.0.0/8\" identity = west.example.net "
             "psk = \"" ROOM_PSK "\" encap = esp " ROOM_PROPOSALS "%s }\n",
             more);
    lost = idle = refused = gone = 0;
    fake_discovery(true);
    room_begin(&room, 1, HOSTS, conf);
}

static void end(void)
{
    room_end(&room);
    fake_discovery(false);
}

static const struct tun *found(void)
{
    struct dt_ted_answer a = {.found = true, .rule = 1, .packet = packet, .peer = room.w.host[PEER].addr};
    a.result = (struct dt_ted_proxy){.src = dt_addr4(0x0a090000),
                                     .src_mask = dt_addr4(0xffff0000),
                                     .dst = dt_addr4(0x0a010000),
                                     .dst_mask = dt_addr4(0xffff0000)};
    const struct tun *t = discover_found(room.d.discover, &a);
    if (t != NULL)
        snprintf(found_name, sizeof(found_name), "%s", t->cfg.cfg.name);
    return t;
}

static void a_peer_that_never_answers(void **state)
{
    begin("");
    assert_non_null(found());
    room_pass(&room, 60 * DT_SEC);
    assert_int_equal(lost, 1);
    assert_int_equal(gone, 1);
    end();
}

static void a_tunnel_that_carries_nothing(void **state)
{
    struct dt_tunnel_info info;
    struct dt_selector s;
    begin("idle = 30s");
    assert_int_equal(dt_selector_parse(&s, "10.9.0.0/16"), 0);
    dt_selectors_add(&room.w.host[PEER].networks, &s);
    world_serve(&room.w, PEER, WORLD_DOVETAIL);
    const struct tun *t = found();
    assert_non_null(t);
    room_pass(&room, 10 * DT_SEC);
    assert_true(dt_endpoint_tunnel_info(room.d.ep, t->id, &info) && info.up);
    room_pass(&room, 60 * DT_SEC);
    assert_int_equal(idle, 1);
    assert_int_equal(gone, 1);
    assert_int_equal(lost, 0);
    end();
}

static void a_peer_without_a_way(void **state)
{
    begin("");
    fake_no_route(true);
    assert_null(found());
    assert_int_equal(refused, 1);
    assert_false(is_found());
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_never_answers),
        cmocka_unit_test(a_tunnel_that_carries_nothing),
        cmocka_unit_test(a_peer_without_a_way),
    };
    return TEST_RUN(tests);
}
