/* A peer that has the keys and says the wrong thing at the wrong moment: each of some messages in each state of a session,
 * with the daemon as client and as gateway, while somebody waits at the control socket, a reload runs and the host
 * changes. The daemon goes on and says why; another tunnel does not notice; and the tunnel comes up again. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/room.h"
#include "ike/internal.h"

enum { DAEMON, GATEWAY, CLIENT, STEADY, HOSTS };

enum moment { PROBING, UP, REKEYING, IKE_REKEYING, CLOSING, MOMENTS };
static const char *const moment_name[] = {"probing", "up", "rekeying", "rekeying the IKE SA", "closing"};

enum saying {
    DELETE_IKE,
    DELETE_CHILD,
    DELETE_STRANGE_CHILD,
    NOTIFY_FAILED,
    CUT_PAYLOAD,
    CRITICAL_PAYLOAD,
    EMPTY_CREATE_CHILD,
    AUTH_AGAIN,
    SAYINGS
};
static const char *const saying_name[] = {"DELETE of the IKE SA",
                                          "DELETE of the child",
                                          "DELETE of a child that is not",
                                          "AUTHENTICATION_FAILED out of nowhere",
                                          "a DELETE that is cut",
                                          "an unknown critical payload",
                                          "CREATE_CHILD_SA with nothing in it",
                                          "IKE_AUTH once more"};

#define PARAMS                                                                                               \
    ROOM_PROPOSALS "maxidle = 4s pingtime = 500ms pingtries = 6 pingtime2 = 500ms pingtries2 = 4 "           \
                   "timeout = 3s elimit = 2 keylife = 600s rekeymargin = 60s "
#define TUNNEL(name, host, more)                                                                             \
    "tunnel \"" name "\" { gateway = \"192.0.2." host "\" local = \"" name "@example.net\" "                 \
    "remote = \"vpn.example.net\" psk = \"" ROOM_PSK "\" protect = \"10.1.0.0/16\" encap = esp " more PARAMS \
    "}\n"

static const char conf[] = TUNNEL("steady", "4", "")
    TUNNEL("office", "2", "start = manual ") "gateway \"branch\" { listen = \"192.0.2.1\" identity = "
                                             "\"branch.example.net\" psk = \"" ROOM_PSK "\" "
                                             "protect = \"10.2.0.0/16\" pool = \"10.8.0.0/24\" " PARAMS "}\n";

static struct room room;
static unsigned steady_noticed, ended, refused;

static void heard(struct room *r, const struct dt_event *ev)
{
    bool down = ev->kind == DT_EVENT_DOWN || ev->kind == DT_EVENT_SESSION_DOWN;
    static const char over[] = "the session is over: ";
    assert_true(ev->text[0] != '\0');
    if (strcmp(ev->tunnel_name, "steady") == 0) {
        steady_noticed += down;
        return;
    }
    refused += ev->kind == DT_EVENT_TURNED_AWAY;
    ended += ev->kind == DT_EVENT_SESSION_DOWN;
    if (ev->kind == DT_EVENT_SESSION_DOWN && ev->client)
        assert_true(strlen(ev->text) > sizeof(over) - 1);
}

/* ---- the peer ---- */

static struct ike_sa *current_sa(int host)
{
    const struct dt_ike *ike = dt_endpoint_ike(room.w.host[host].ep);
    dt_list_for_each (l, &ike->sessions) {
        struct dt_ike_session *s = DT_CONTAINER_OF(l, struct dt_ike_session, link);
        if (s->current != NULL && s->current->seal != NULL &&
            dt_addr_eq(&s->path.remote.addr, &room.w.host[DAEMON].addr))
            return s->current;
    }
    return NULL;
}

static uint32_t child_spi(const struct ike_sa *sa)
{
    dt_list_for_each (l, &sa->session->children) {
        const struct dt_ike_child *c = DT_CONTAINER_OF(l, struct dt_ike_child, link);
        if (c->state == CHILD_UP)
            return c->spi_in;
    }
    return 0x12345678;
}

static void write_saying(struct dt_ike_builder *b, const struct ike_sa *sa, enum saying what)
{
    const uint8_t ike[] = {1, 0, 0, 0}, failed[] = {0, 0, 0, 24}, cut[] = {3, 4, 0, 9, 1};
    uint8_t child[] = {3, 4, 0, 1, 0, 0, 0, 0};
    switch (what) {
    case DELETE_IKE:
        dt_ike_raw_write(b, DT_P_DELETE, dt_span(ike, sizeof(ike)));
        break;
    case DELETE_CHILD:
    case DELETE_STRANGE_CHILD:
        dt_put_be32(child + 4, what == DELETE_CHILD ? child_spi(sa) : 0x01020304);
        dt_ike_raw_write(b, DT_P_DELETE, dt_span(child, sizeof(child)));
        break;
    case NOTIFY_FAILED:
        dt_ike_raw_write(b, DT_P_NOTIFY, dt_span(failed, sizeof(failed)));
        break;
    case CUT_PAYLOAD:
        dt_ike_raw_write(b, DT_P_DELETE, dt_span(cut, sizeof(cut)));
        break;
    case CRITICAL_PAYLOAD:
        dt_ike_raw_write(b, 200, dt_span(failed, sizeof(failed)));
        b->payload[1] = 0x80;
        break;
    default:
        break;
    }
}

/* The peer's next request, in the place of whatever its engine would say. */
static bool say(int host, enum saying what)
{
    uint8_t out[512];
    struct dt_ike_builder b;
    struct ike_sa *sa = current_sa(host);
    if (sa == NULL)
        return false;
    const struct dt_ike_header h = {
        .spi_i = sa->initiator ? sa->spi_local : sa->spi_remote,
        .spi_r = sa->initiator ? sa->spi_remote : sa->spi_local,
        .version = 0x20,
        .exchange = what == EMPTY_CREATE_CHILD ? DT_CREATE_CHILD_SA
                    : what == AUTH_AGAIN       ? DT_IKE_AUTH
                                               : DT_INFORMATIONAL,
        .flags = sa->initiator ? DT_IKE_FLAG_INITIATOR : 0,
        .mid = sa->mid_out,
    };
    dt_ike_build(&b, out, sizeof(out), &h);
    dt_ike_sk_begin(&b, sa->seal->iv_len);
    write_saying(&b, sa, what);
    size_t len = ike_sk_end(sa, &b);
    assert_true(len > 0);
    sa->mid_out++;
    world_ops.send_ike(&room.w.host[host], &sa->session->path, out, len, 0);
    return true;
}

/* ---- one case ---- */

static void client_connect(void)
{
    struct dt_tunnel_cfg cfg;
    struct dt_selector s;
    world_tunnel_cfg(&room.w, &cfg, CLIENT, DAEMON);
    assert_int_equal(dt_ike_id_parse(&cfg.remote_id, "branch.example.net"), 0);
    assert_int_equal(dt_selector_parse(&s, "10.2.0.0/16"), 0);
    cfg.protect.n = 0;
    dt_selectors_add(&cfg.protect, &s);
    world_connect(&room.w, CLIENT, DAEMON, &cfg);
}

/* The daemon's tunnel with the peer: its own, or the client's. */
static uint32_t tunnel_with(bool client)
{
    struct dt_tunnel_info info;
    if (client)
        return dt_endpoint_tunnel_by_name(room.d.ep, "office");
    for (uint32_t t = dt_endpoint_tunnel_next(room.d.ep, 0); t != 0;
         t = dt_endpoint_tunnel_next(room.d.ep, t))
        if (dt_endpoint_tunnel_info(room.d.ep, t, &info) && !info.client)
            return t;
    return 0;
}

static int ask(const char *command, const char *args)
{
    char text[256];
    int fd = room_connect(&room);
    snprintf(text, sizeof(text), "{\"v\":1,\"id\":1,\"command\":\"%s\",\"args\":{%s}}\n", command, args);
    room_send(fd, text);
    room_turn(&room);
    return fd;
}

/* The answer has come: true, or a refusal that says why. */
static bool answer(int fd, char *buf, size_t cap)
{
    buf[0] = '\0';
    while (room_read(fd, buf, cap) > 0)
        ;
    close(fd);
    assert_non_null(strstr(buf, "\"ok\":"));
    assert_null(strstr(buf, "nobody knows why"));
    bool ok = strstr(buf, "\"ok\":true") != NULL;
    if (!ok)
        print_message("#   %.200s\n", strstr(buf, "\"error\""));
    return ok;
}

static void reach(enum moment m, int peer, bool client)
{
    struct world_host *h = &room.w.host[peer];
    dt_time now;
    h->esp_cut = m == PROBING;
    if (client)
        tun_up(&room.d, tun_by_name(&room.d, "office"));
    else
        client_connect();
    room_pass(&room, 500 * DT_MSEC);
    now = room.w.now;
    uint32_t t = tunnel_with(client);
    assert_int_not_equal(t, 0);
    h->esp_cut = m == PROBING || m == REKEYING;
    if (m == REKEYING)
        dt_endpoint_rekey(client ? room.d.ep : h->ep, now, client ? t : h->client);
    if (m == IKE_REKEYING)
        dt_endpoint_rekey_ike(room.d.ep, now, t);
    if (m == CLOSING)
        dt_endpoint_down(room.d.ep, now, t);
    if (m == REKEYING)
        room_pass(&room, 100 * DT_MSEC);
}

static void one(enum moment m, enum saying what, bool client)
{
    int peer = client ? GATEWAY : CLIENT;
    static char buf[1 << 16];
    room_begin(&room, 1 + (uint64_t)m * SAYINGS + what, HOSTS, conf);
    room.heard = heard;
    world_serve(&room.w, GATEWAY, WORLD_DOVETAIL);
    world_serve(&room.w, STEADY, WORLD_DOVETAIL);
    steady_noticed = ended = refused = 0;
    room_pass(&room, 2 * DT_SEC);
    reach(m, peer, client);
    unsigned told = ended + refused;
    int wait = ask(m == REKEYING ? "rekey" : "up", "\"tunnels\":[\"office\"],\"timeout_ms\":20000");
    assert_true(say(peer, what));
    int reload = ask("reload", "");
    dt_endpoint_network_changed(room.d.ep, room.w.now);
    int ping = ask("ping", "\"tunnel\":\"steady\",\"count\":2");
    room_pass(&room, 3 * DT_SEC);
    /* It ends the session, or is refused. (One that closes is told of at its end.) */
    bool speaks = what == DELETE_IKE || what == CRITICAL_PAYLOAD || what == EMPTY_CREATE_CHILD;
    if (speaks && m != CLOSING)
        assert_true(ended + refused > told);
    room.w.host[peer].esp_cut = false;
    room_pass(&room, 27 * DT_SEC);
    assert_true(answer(reload, buf, sizeof(buf)));
    assert_true(answer(ping, buf, sizeof(buf)));
    answer(wait, buf, sizeof(buf));
    assert_int_equal(steady_noticed, 0);
    /* It comes up again. (`up` itself gives in when it is refused twice.) */
    if (client) {
        bool up = false;
        for (int i = 0; i < 20 && !up; i++) {
            wait = ask("up", "\"tunnels\":[\"office\"],\"timeout_ms\":9000");
            room_pass(&room, 10 * DT_SEC);
            up = answer(wait, buf, sizeof(buf));
        }
        assert_true(up);
    } else {
        room_pass(&room, 200 * DT_SEC);
        assert_true(world_up(&room.w, CLIENT));
    }
    struct dt_endpoint_counters n;
    dt_endpoint_counters(room.d.ep, &n);
    assert_int_equal(n.reentered + n.untold, 0);
    assert_int_equal(steady_noticed, 0);
    room.heard = NULL;
    room_end(&room);
}

static void every(bool client)
{
    for (unsigned m = 0; m < MOMENTS; m++)
        for (unsigned what = 0; what < SAYINGS; what++) {
            print_message("# %s, while %s\n", saying_name[what], moment_name[m]);
            one((enum moment)m, (enum saying)what, client);
        }
}

static void a_gateway_says_the_wrong_thing(void **state)
{
    every(true);
}

static void a_client_says_the_wrong_thing(void **state)
{
    every(false);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gateway_says_the_wrong_thing),
        cmocka_unit_test(a_client_says_the_wrong_thing),
    };
    return TEST_RUN(tests);
}
