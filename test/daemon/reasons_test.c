/* What an event is, is said by its values; its sentence is for people, whatever words stand in it. */
#include "daemon/room.h"

#include "ike/ike.h"

enum { DAEMON, PEER, HOSTS = 3 };

#define GATEWAY                                                                                              \
    "gateway \"branch\" { listen = 192.0.2.1 identity = vpn.example.net psk = \"" ROOM_PSK                   \
    "\" protect = 10.0.0.0/8 pool = 10.8.0.0/24 " ROOM_PROPOSALS "}\n"
#define TUNNEL(psk)                                                                                          \
    "tunnel \"office\" { gateway = 192.0.2.2 local = \"anna@example.net\" remote = \"vpn.example.net\" "     \
    "psk = \"" psk "\" protect = \"10.1.0.0/16\" encap = esp " ROOM_PROPOSALS "}\n"

static struct room room;
static struct dt_event last[2]; /* of those that turned somebody away, and of those of IKE */
static int level = -1;          /* of the last line */

static void heard(struct room *r, const struct dt_event *ev)
{
    if (ev->kind == DT_EVENT_TURNED_AWAY)
        last[0] = *ev;
    if (ev->kind == DT_EVENT_IKE && ev->ike == DT_IKE_EV_PEER_REFUSED)
        last[1] = *ev;
}

static void begin(const char *conf)
{
    memset(last, 0, sizeof(last));
    room_begin(&room, 1, HOSTS, conf);
    room.heard = heard;
}

static void note_level(void *ctx, enum dt_log_level l, const char *who, const char *line)
{
    level = (int)l;
}

static enum dt_log_level level_of(enum dt_ike_event what, const char *text)
{
    struct dt_event ev = {.kind = DT_EVENT_IKE, .name = "ike", .ike = what, .tunnel_name = ""};
    snprintf(ev.text, sizeof(ev.text), "%s", text);
    level = -1;
    room.d.top->strangers.n = 0;
    driver_ops.event(&room.d, &ev);
    assert_true(level >= 0);
    return (enum dt_log_level)level;
}

static void a_level_is_of_what_happened(void **state)
{
    begin("");
    dt_log_set(note_level, NULL, DT_LOG_DEBUG);
    assert_int_equal(level_of(DT_IKE_EV_PEER_REFUSED, "it said no"), DT_LOG_WARN);
    assert_int_equal(level_of(DT_IKE_EV_REFUSED, "we said no"), DT_LOG_WARN);
    assert_int_equal(level_of(DT_IKE_EV_NAT, "a NAT; raw ESP is refused there"), DT_LOG_INFO);
    assert_int_equal(level_of(DT_IKE_EV_COLLISION, "the peer's is refused"), DT_LOG_INFO);
    room_end(&room);
}

/* `status` tells of a client that was turned away: its address, and beside it the reason alone. */
static void a_reason_stands_alone(void **state)
{
    struct dt_tunnel_cfg cfg;
    begin(GATEWAY);
    room.w.host[PEER].psk = "another secret than the gateway has";
    world_tunnel_cfg(&room.w, &cfg, PEER, DAEMON);
    world_connect(&room.w, PEER, DAEMON, &cfg);
    room_pass(&room, 2 * DT_SEC);
    const char *reason = last[0].text + last[0].reason;
    assert_int_not_equal(last[0].reason, 0);
    assert_memory_equal(reason - strlen(", refused: "), ", refused: ", strlen(", refused: "));
    assert_null(strstr(reason, "192.0.2."));
    json_t *list = refusals_json(&room.d), *first = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(first, "why")), reason);
    assert_memory_equal(json_string_value(json_object_get(first, "from")), "192.0.2.2:", 10);
    json_decref(list);
    room_end(&room);
}

static void a_peer_that_refuses_is_told_as_that(void **state)
{
    begin(TUNNEL("another secret than the gateway has"));
    world_serve(&room.w, PEER, WORLD_DOVETAIL);
    room_pass(&room, 2 * DT_SEC);
    assert_string_equal(last[1].tunnel_name, "office");
    assert_non_null(strstr(last[1].text, "AUTHENTICATION_FAILED"));
    room_end(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_is_of_what_happened),
        cmocka_unit_test(a_reason_stands_alone),
        cmocka_unit_test(a_peer_that_refuses_is_told_as_that),
    };
    return TEST_RUN(tests);
}
