/* The daemon at its worst: random requests, sent ahead on several connections, half of them or nonsense; reloads of
 * configurations that change or are wrong; gateways and clients that come, go, refuse, are silent, or have the keys and say
 * the wrong thing; names that resolve late or not; a host without a way out.
 *
 *   test-daemon-control-fuzz [SEQUENCES [FIRST]]      (300 from seed 1; DT_NOISY=1 shows one that fails)
 *
 * In each sequence: no sanitizer speaks; no command runs inside another's callback; every request of a connection is
 * answered in its turn, and a refusal says why; one tunnel, whose peer is left in peace, never notices; and (in every fourth)
 * when the trouble is over, every tunnel comes up again. The same number is the same sequence. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/room.h"
#include "ike/internal.h"

#define CONNS   4
#define PENDING 64
#define STEPS   24

enum { DAEMON, OFFICE, LAB, CLIENT, STEADY, HOSTS };

struct conn {
    int fd;             /* -1: none */
    bool reads, doomed; /* doomed: something was sent that ends it */
    unsigned first, n;  /* ids that were sent and not answered */
    char buf[1 << 17];
};

static struct room room;
static struct conn conns[CONNS];
static struct dt_prng prng;
static uint64_t sequence, requests, answers, reloads, changed_messages, steady_up;
static unsigned next_id;

#define CHECK(what, ...)                                                                                     \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "sequence %llu at %.3f s: ", (unsigned long long)sequence,                       \
                    dt_time_seconds(room.w.now));                                                            \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static unsigned below(unsigned n)
{
    return (unsigned)(dt_prng_u64(&prng) % n);
}

static bool one_in(unsigned n)
{
    return below(n) == 0;
}

/* ---- configurations ---- */

#define PARAMS                                                                                               \
    ROOM_PROPOSALS "maxidle = 4s pingtime = 500ms pingtries = 6 pingtime2 = 500ms pingtries2 = 4 "           \
                   "timeout = 3s elimit = 2 keylife = 20s rekeymargin = 6s rekeyfuzz = 100 "

static const char steady[] =
    "tunnel \"steady\" { gateway = \"192.0.2.5\" local = \"steady@example.net\" "
    "remote = \"vpn.example.net\" psk = \"" ROOM_PSK "\" protect = { \"10.1.5.0/24\" } "
    "encap = esp " PARAMS "}\n";

static const char *pick(const char *const *list, unsigned n)
{
    return list[below(n)];
}

static int tunnel_text(char *out, size_t cap, const char *name, bool good)
{
    static const char *const gateway[] = {"\"192.0.2.2\"",
                                          "\"192.0.2.3\"",
                                          "{ \"192.0.2.2\", \"192.0.2.3\" }",
                                          "\"vpn.example.net\"",
                                          "{ \"vpn.example.net\", \"192.0.2.3\" }",
                                          "\"192.0.2.77\""};
    static const char *const start[] = {"always", "manual", "demand"};
    static const char *const encap[] = {"esp", "auto", "udp"};
    static const char *const protect[] = {"\"10.1.0.0/16\"", "\"10.1.0.0/17\"", "\"10.1.0.0/16[udp/4411]\""};
    static const char *const extra[] = {"", "probe = no", "inside = \"10.77.0.0/16\"", "mtu = 1200",
                                        "source = \"192.0.2.1\""};
    return snprintf(out, cap,
                    "tunnel \"%s\" { gateway = %s local = \"%s@example.net\" remote = \"vpn.example.net\" "
                    "psk = \"" ROOM_PSK "\" protect = %s encap = %s start = %s %s " PARAMS "}\n",
                    name, good ? gateway[below(2)] : pick(gateway, DT_ARRAY_LEN(gateway)), name,
                    good ? protect[0] : pick(protect, DT_ARRAY_LEN(protect)),
                    good ? encap[0] : pick(encap, DT_ARRAY_LEN(encap)),
                    good ? start[0] : pick(start, DT_ARRAY_LEN(start)),
                    good ? "" : pick(extra, DT_ARRAY_LEN(extra)));
}

static int gateway_text(char *out, size_t cap)
{
    static const char *const pool[] = {"{ \"10.8.0.0/24\" }", "{ \"10.8.0.0/30\" }", "{ \"10.7.0.0/24\" }"};
    static const char *const extra[] = {"", "clients_max = 1", "probe = no", "server_rekey = yes"};
    return snprintf(out, cap,
                    "gateway \"branch\" { listen = \"192.0.2.1\" identity = \"branch.example.net\" psk = "
                    "\"" ROOM_PSK "\" protect = \"10.2.0.0/16\" pool = %s %s " PARAMS "}\n",
                    pick(pool, DT_ARRAY_LEN(pool)), pick(extra, DT_ARRAY_LEN(extra)));
}

static void write_conf(bool good)
{
    static const char *const name[] = {"office", "lab", "home"};
    char text[16384];
    int n = snprintf(text, sizeof(text), "%s", steady);
    for (size_t i = 0; i < DT_ARRAY_LEN(name); i++)
        if (good || !one_in(3))
            n += tunnel_text(text + n, sizeof(text) - (size_t)n, name[i], good);
    if (!good && !one_in(3))
        n += gateway_text(text + n, sizeof(text) - (size_t)n);
    if (!good && one_in(4))
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      "rule \"r\" { action = tunnel gateway = \"192.0.2.%u\" to = \"10.%u.0.0/16\" }\n",
                      2 + below(2), 1 + below(3));
    if (!good && one_in(6))
        n += snprintf(text + n, sizeof(text) - (size_t)n, "tunnel \"broken\" { gateway = 7 }\n");
    room_write(&room, text);
}

/* ---- connections ---- */

static const char *name_of_tunnel(void)
{
    static const char *const name[] = {"office", "lab",    "home", "office", "nowhere", "client3@example.net",
                                       "branch", "\\u00fc"};
    return pick(name, DT_ARRAY_LEN(name));
}

static int request_text(char *out, size_t cap, unsigned id)
{
    static const char *const waits[] = {"", ",\"wait\":false", ",\"timeout_ms\":1500",
                                        ",\"timeout_ms\":20000", ",\"ike\":true"};
    static const char *const odd[] = {
        "\"command\":\"discover_status\"",
        "\"command\":\"discover\",\"args\":{\"destination\":\"10.3.0.1\"}",
        "\"command\":\"explain\",\"args\":{\"src\":\"10.9.0.1\",\"dst\":\"10.1.0.1\"}",
        "\"command\":\"explain\",\"args\":{}",
        "\"command\":\"dance\"",
        "\"command\":\"up\",\"args\":{\"tunnels\":[7,null,{}]}",
        "\"command\":\"up\",\"args\":{\"tunnels\":[\"office\",\"lab\",\"office\"],"
        "\"timeout_ms\":5000}",
        "\"command\":\"rekey\",\"args\":{\"timeout_ms\":5000}",
        "\"command\":\"down\",\"args\":{}",
        "\"command\":\"up\",\"args\":{\"timeout_ms\":4000}",
        "\"command\":\"status\",\"args\":{\"tunnels\":\"office\"}"};
    const char *name = name_of_tunnel(), *w = pick(waits, DT_ARRAY_LEN(waits));
    switch (below(12)) {
    case 0:
    case 1:
        return snprintf(out, cap,
                        "{\"v\":1,\"id\":%u,\"command\":\"up\",\"args\":{\"tunnels\":[\"%s\"]%s}}\n", id,
                        name, w);
    case 2:
        return snprintf(
            out, cap, "{\"v\":1,\"id\":%u,\"command\":\"down\",\"args\":{\"tunnels\":[\"%s\"]}}\n", id, name);
    case 3:
    case 4:
        return snprintf(out, cap,
                        "{\"v\":1,\"id\":%u,\"command\":\"rekey\",\"args\":{\"tunnels\":[\"%s\"]%s}}\n", id,
                        name, w);
    case 5:
        return snprintf(
            out, cap, "{\"v\":1,\"id\":%u,\"command\":\"ping\",\"args\":{\"tunnel\":\"%s\",\"count\":%u}}\n",
            id, name, 1 + below(4));
    case 6:
        return snprintf(out, cap, "{\"v\":1,\"id\":%u,\"command\":\"status\",\"args\":{%s}}\n", id,
                        one_in(2) ? "" : "\"tunnels\":[\"office\"]");
    case 7:
        return snprintf(out, cap, "{\"v\":1,\"id\":%u,\"command\":\"%s\"}\n", id,
                        one_in(3) ? "discover_listen" : "monitor");
    case 8:
    case 9:
        write_conf(false);
        reloads++;
        return snprintf(out, cap, "{\"v\":1,\"id\":%u,\"command\":\"reload\"}\n", id);
    default:
        return snprintf(out, cap, "{\"v\":1,\"id\":%u,%s}\n", id, pick(odd, DT_ARRAY_LEN(odd)));
    }
}

static void conn_close(struct conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static void conn_open(struct conn *c)
{
    c->fd = room_connect(&room);
    c->reads = !one_in(8);
    c->doomed = false;
    c->n = 0;
    c->buf[0] = '\0';
}

/* One line from the daemon: an event, or the answer to the oldest request. */
static void conn_line(struct conn *c, const char *line)
{
    unsigned id = 0;
    int at = 0;
    CHECK(sscanf(line, "{\"v\":1,\"id\":%u,%n", &id, &at) == 1 && at > 0, "not a message: %.200s", line);
    const char *rest = line + at;
    if (strncmp(rest, "\"event\":", 8) == 0) {
        CHECK(c->n > 0 && id == c->first, "an event of %u while %u is under way", id, c->first);
        return;
    }
    CHECK(strncmp(rest, "\"ok\":", 5) == 0, "neither event nor answer: %.200s", line);
    if (strncmp(rest + 5, "false", 5) == 0)
        CHECK(strstr(rest, "\"error\":\"\"") == NULL && strstr(rest, "nobody knows why") == NULL,
              "a refusal without a reason: %.300s", line);
    if (c->doomed && c->n == 0)
        return; /* what it was told for its nonsense */
    CHECK(c->n > 0 && id == c->first, "answered %u, and %u is next of %u", id, c->first, c->n);
    c->first++;
    c->n--;
    answers++;
}

static void conn_read(struct conn *c)
{
    while (c->fd >= 0 && c->reads) {
        int got = room_read(c->fd, c->buf, sizeof(c->buf));
        char *line = c->buf, *nl;
        while ((nl = strchr(line, '\n')) != NULL) {
            *nl = '\0';
            conn_line(c, line);
            line = nl + 1;
        }
        memmove(c->buf, line, strlen(line) + 1);
        CHECK(strlen(c->buf) + 1 < sizeof(c->buf), "a line without an end");
        if (got < 0) {
            CHECK(c->doomed, "closed, and nothing was wrong with what was sent");
            conn_close(c);
        }
        if (got <= 0)
            return;
    }
}

static void conn_write(struct conn *c)
{
    static const char *const nonsense[] = {"hello\n",    "{\"v\":2,\"command\":\"up\"}\n",
                                           "[]\n",       "{\"v\":1}\n",
                                           "\xff\xfe\n", "{\"v\":1,\"command\":\"up\",\"args\":[]}\n"};
    char text[8192];
    size_t n = 0;
    if (c->n == 0)
        c->first = next_id;
    for (unsigned i = 1 + below(5); i > 0 && c->n < PENDING; i--) {
        if (c->first + c->n != next_id)
            return; /* ids of a connection follow one another */
        n += (size_t)request_text(text + n, sizeof(text) - n, next_id++);
        c->n++;
        requests++;
    }
    text[n] = '\0';
    if (one_in(20)) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", pick(nonsense, DT_ARRAY_LEN(nonsense)));
        c->doomed = true;
    } else if (one_in(20)) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "{\"v\":1,\"comm");
        c->doomed = true;
    }
    room_send(c->fd, text);
    if (one_in(20)) {
        shutdown(c->fd, SHUT_WR);
        c->doomed = true;
    }
}

static void talk(void)
{
    struct conn *c = &conns[below(CONNS)];
    if (c->fd < 0)
        conn_open(c);
    else if (one_in(8))
        conn_close(c);
    if (c->fd >= 0 && !c->doomed)
        conn_write(c);
    if (one_in(2))
        room_turn(&room);
}

/* ---- peers ---- */

static void serve(int host)
{
    world_serve(&room.w, host, one_in(4) ? WORLD_AT_ONCE : WORLD_DOVETAIL);
}

static void client_connect(void)
{
    struct dt_tunnel_cfg cfg;
    struct dt_selector s;
    world_tunnel_cfg(&room.w, &cfg, CLIENT, DAEMON);
    dt_ike_id_parse(&cfg.remote_id, "branch.example.net");
    dt_selector_parse(&s, "10.2.0.0/16");
    cfg.protect.n = 0;
    dt_selectors_add(&cfg.protect, &s);
    world_connect(&room.w, CLIENT, DAEMON, &cfg);
}

static uint32_t any_tunnel(struct dt_endpoint *ep)
{
    uint32_t list[16], n = 0;
    for (uint32_t t = dt_endpoint_tunnel_next(ep, 0); t != 0 && n < 16; t = dt_endpoint_tunnel_next(ep, t))
        list[n++] = t;
    return n > 0 ? list[below(n)] : 0;
}

/* A gateway (office or lab) or the client does something by itself. */
static void peer_acts(void)
{
    int i = OFFICE + (int)below(3);
    struct world_host *h = &room.w.host[i];
    dt_time now = room.w.now;
    if (h->ep == NULL) {
        if (i == CLIENT)
            client_connect();
        else
            serve(i);
        return;
    }
    uint32_t t = any_tunnel(h->ep);
    switch (below(10)) {
    case 0:
        world_kill(&room.w, i);
        h->client = 0;
        break;
    case 1:
        dt_endpoint_shutdown(h->ep, now);
        break;
    case 2:
    case 3:
        dt_endpoint_down(h->ep, now, t);
        break;
    case 4:
        dt_endpoint_rekey(h->ep, now, t);
        break;
    case 5:
        dt_endpoint_rekey_ike(h->ep, now, t);
        break;
    case 6:
        h->refuse_install = !h->refuse_install;
        break;
    case 7:
        h->psk = strcmp(h->psk, ROOM_PSK) == 0 ? "another" : ROOM_PSK;
        break;
    case 8:
        h->no_answer = !h->no_answer;
        break;
    case 9:
        dt_endpoint_up(h->ep, now, t);
        break;
    }
}

static void name_answered(unsigned host)
{
    fake_lookup_answer(0, host);
    resolve_answers(&room.d);
}

/* What the path and the host do. */
static void world_acts(void)
{
    struct world_host *d = &room.w.host[DAEMON];
    dt_time now = room.w.now;
    struct dt_dp_event ev = {.at = now};
    const struct world_sa *any = &d->sa[below(8)];
    bool steadys = any->tunnel == dt_endpoint_tunnel_by_name(room.d.ep, "steady");
    uint64_t sa = steadys ? 0 : any->id;
    switch (below(9)) {
    case 0:
        room.w.host[OFFICE + below(3)].esp_cut ^= true;
        break;
    case 1:
        if (fake_lookups() > 0)
            name_answered(one_in(3) ? 0 : 2 + below(2));
        break;
    case 2:
        dt_endpoint_network_changed(room.d.ep, now);
        break;
    case 3:
        ev.kind = DT_DP_NEED_TUNNEL;
        ev.tunnel = any_tunnel(room.d.ep);
        ev.flow = (struct dt_dp_flow){.src = dt_addr4(0x0a090001), .dst = dt_addr4(0x0a010001), .proto = 17};
        driver_dp_event(&room.d, &ev);
        break;
    case 4:
        ev.kind = DT_DP_SOFT;
        ev.sa = sa;
        driver_dp_event(&room.d, &ev);
        break;
    case 5:
        ev.kind = DT_DP_NO_SA;
        ev.spi = below(1u << 16);
        driver_dp_event(&room.d, &ev);
        break;
    case 6:
        world_data(&room.w, DAEMON, any_tunnel(room.d.ep));
        break;
    case 7:
        if (sa != 0 && room.d.ep != NULL) {
            ev.kind = DT_DP_PROBE_REPLY;
            ev.sa = sa;
            ev.ident = (uint16_t)below(4);
            ev.seq = (uint16_t)below(4);
            driver_dp_event(&room.d, &ev);
        }
        break;
    case 8:
        monitors_json(&room.d, json_pack("{s:s}", "event", "test"));
        break;
    }
}

/* ---- a peer that has the keys, and says the wrong thing ---- */

static void write_changed(struct dt_ike_builder *w, const struct dt_ike_payload *p)
{
    uint8_t body[4096];
    size_t len = p->body.len < sizeof(body) ? p->body.len : sizeof(body);
    memcpy(body, p->body.p, len);
    switch (below(5)) {
    case 0:
        return;
    case 1:
        len = len > 0 ? below((unsigned)len) : 0;
        break;
    case 2:
        dt_ike_raw_write(w, p->type, dt_span(body, len));
        break;
    default:
        for (unsigned i = 1 + below(3); i > 0 && len > 0; i--)
            body[below((unsigned)len)] = (uint8_t)below(256);
        break;
    }
    dt_ike_raw_write(w, p->type, dt_span(body, len));
}

static void write_further(struct dt_ike_builder *w)
{
    static const uint16_t notify[] = {4,  7,  9,  11, 14, 17, 24,    34,    35,   36,
                                      37, 38, 39, 41, 43, 44, 16384, 16393, 40986};
    uint16_t n = notify[below(DT_ARRAY_LEN(notify))];
    const uint8_t end[] = {1, 0, 0, 0}, say[] = {0, 0, (uint8_t)(n >> 8), (uint8_t)n};
    const uint8_t gone[] = {3, 4, 0, 1, (uint8_t)below(256), (uint8_t)below(256), 0, (uint8_t)below(256)};
    switch (below(3)) {
    case 0:
        dt_ike_raw_write(w, DT_P_DELETE, dt_span(end, sizeof(end)));
        break;
    case 1:
        dt_ike_raw_write(w, DT_P_DELETE, dt_span(gone, sizeof(gone)));
        break;
    default:
        dt_ike_raw_write(w, DT_P_NOTIFY, dt_span(say, sizeof(say)));
        break;
    }
}

/* One message in six of the peers' (not of the steady one) is lost, or changed and sealed anew. */
static bool tamper(struct world *w, int from, const uint8_t *data, size_t len)
{
    static uint8_t in[8192], out[16384];
    struct dt_ike_header h;
    struct dt_ike_payloads outer, inner;
    struct dt_ike_sk open;
    struct dt_ike_builder b;
    bool to_steady = dt_addr_eq(&w->flying->remote.addr, &w->host[STEADY].addr);
    if (from == STEADY || (from == DAEMON && to_steady) || !one_in(6) || len > sizeof(in))
        return false;
    if (one_in(3))
        return true; /* lost */
    memcpy(in, data, len);
    if (from == DAEMON || dt_ike_header_read(&h, in, len) != 0 ||
        dt_ike_payloads_read(&outer, h.next, in + DT_IKE_HEADER_LEN, len - DT_IKE_HEADER_LEN) != 0)
        return false;
    struct ike_sa *sa =
        ike_sa_by_spi(dt_endpoint_ike(w->host[from].ep), h.flags & DT_IKE_FLAG_INITIATOR ? h.spi_i : h.spi_r);
    const struct dt_ike_payload *sk = dt_ike_find(&outer, DT_P_SK);
    if (sa == NULL || (sk != NULL && sa->seal == NULL))
        return false;
    dt_ike_build(&b, out, sizeof(out), &h);
    if (sk != NULL) {
        if (dt_ike_sk_split(in, sk, sa->seal->iv_len, sa->seal->block_len, sa->seal->icv_len, &open) != 0 ||
            dt_ike_sk_payloads(&inner, sk, &open) != 0)
            return false;
        dt_ike_sk_begin(&b, sa->seal->iv_len);
    } else {
        inner = outer;
    }
    unsigned which = inner.n > 0 ? below((unsigned)inner.n + 1) : 0;
    for (unsigned i = 0; i < inner.n; i++)
        if (i == which)
            write_changed(&b, &inner.v[i]);
        else
            dt_ike_raw_write(&b, inner.v[i].type, inner.v[i].body);
    if (which == inner.n)
        write_further(&b);
    size_t made = sk != NULL ? ike_sk_end(sa, &b) : dt_ike_build_end(&b);
    if (made == 0)
        return false;
    changed_messages++;
    w->filter = NULL;
    world_ops.send_ike(&w->host[from], w->flying, out, made, 0);
    w->filter = tamper;
    return true;
}

/* ---- one sequence ---- */

static void heard(struct room *r, const struct dt_event *ev)
{
    if (strcmp(ev->tunnel_name, "steady") != 0)
        return;
    steady_up += ev->kind == DT_EVENT_UP;
    CHECK(ev->kind != DT_EVENT_DOWN && ev->kind != DT_EVENT_SESSION_DOWN, "the steady tunnel notices: %s: %s",
          ev->name, ev->text);
}

static void look(void)
{
    struct dt_endpoint_counters n;
    dt_endpoint_counters(room.d.ep, &n);
    CHECK(n.reentered == 0, "a command ran inside a callback of the endpoint");
    CHECK(n.untold == 0, "%llu events were not told", (unsigned long long)n.untold);
    for (size_t i = 0; i < CONNS; i++)
        if (conns[i].fd >= 0)
            conn_read(&conns[i]);
}

/* The first tunnel that is not up; NULL: none. */
static const char *not_up(void)
{
    struct dt_tunnel_info info;
    dt_list_for_each (l, &room.d.tuns) {
        const struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (t->id == 0 || !dt_endpoint_tunnel_info(room.d.ep, t->id, &info) || !info.up)
            return t->cfg.cfg.name;
    }
    return NULL;
}

/* The trouble is over: everything that is configured comes up, and says so. */
static void heal(void)
{
    struct world *w = &room.w;
    static struct conn c;
    w->filter = NULL;
    for (size_t i = 0; i < CONNS; i++)
        conn_close(&conns[i]);
    for (int i = OFFICE; i <= LAB; i++) {
        struct world_host *h = &w->host[i];
        h->esp_cut = h->refuse_install = h->no_answer = false;
        h->psk = ROOM_PSK;
        if (h->ep != NULL)
            world_kill(w, i);
        serve(i);
    }
    while (fake_lookups() > 0)
        name_answered(2);
    write_conf(true);
    conn_open(&c);
    c.reads = true;
    c.first = next_id;
    c.n = 2;
    char text[256];
    snprintf(text, sizeof(text),
             "{\"v\":1,\"id\":%u,\"command\":\"reload\"}\n{\"v\":1,\"id\":%u,\"command\":\"up\",\"args\":{"
             "\"timeout_ms\":"
             "300000}}\n",
             next_id, next_id + 1);
    next_id += 2;
    room_send(c.fd, text);
    for (int i = 0; i < 310 && c.n > 0; i++) {
        room_pass(&room, DT_SEC);
        look();
        conn_read(&c);
    }
    CHECK(c.n == 0, "%u requests were never answered", c.n);
    /* `up` is answered for what was up when it was asked, though its gateway has gone since. */
    for (int i = 0; i < 300 && not_up() != NULL; i++)
        room_pass(&room, DT_SEC);
    CHECK(not_up() == NULL, "%s does not come up again", not_up());
    conn_close(&c);
}

static void run_sequence(uint64_t seed)
{
    sequence = seed;
    dt_prng_seed(&prng, seed);
    next_id = 1;
    room_begin(&room, seed, HOSTS, steady);
    room.heard = heard;
    for (int i = 0; i < HOSTS; i++) /* looking from every callback of everybody takes most of the time */
        room.w.host[i].unseen = seed % 16 != 0;
    world_serve(&room.w, STEADY, WORLD_DOVETAIL);
    serve(OFFICE);
    serve(LAB);
    for (size_t i = 0; i < CONNS; i++)
        conns[i].fd = -1;
    room_pass(&room, 2 * DT_SEC);
    CHECK(steady_up > 0, "the steady tunnel is not up");
    room.w.filter = one_in(2) ? tamper : NULL;
    for (int i = 0; i < STEPS; i++) {
        unsigned what = below(10);
        if (what < 5)
            talk();
        else if (what < 7)
            peer_acts();
        else if (what < 9)
            world_acts();
        if (one_in(2))
            room_pass(&room, below(3000) * DT_MSEC);
        look();
    }
    if (seed % 4 == 0)
        heal();
    for (size_t i = 0; i < CONNS; i++)
        conn_close(&conns[i]);
    room.heard = NULL;
    if (one_in(3)) { /* asked to end while somebody watches */
        conn_open(&conns[0]);
        conns[0].first = next_id;
        room_send(conns[0].fd, "{\"v\":1,\"id\":1,\"command\":\"monitor\"}\n");
        room_turn(&room);
        daemon_stop(&room.d);
        room_pass(&room, DT_SEC);
        conn_close(&conns[0]);
    }
    for (int i = 0; i < HOSTS; i++) /* a nonce that was changed on the way makes other keys */
        room.w.host[i].bad_key = 0;
    room_end(&room);
    steady_up = 0;
}

static uint64_t count = 300, first = 1;

static void sequences(void **state)
{
    for (uint64_t i = 0; i < count; i++) {
        run_sequence(first + i);
        if ((i + 1) % 10000 == 0)
            fprintf(stderr, "# %llu sequences\n", (unsigned long long)(i + 1));
    }
    print_message("# %llu sequences from %llu: %llu requests, %llu answers, %llu reloads, %llu messages "
                  "changed by a peer "
                  "with the keys\n",
                  (unsigned long long)count, (unsigned long long)first, (unsigned long long)requests,
                  (unsigned long long)answers, (unsigned long long)reloads,
                  (unsigned long long)changed_messages);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(sequences)};
    if (argc > 1)
        count = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        first = strtoull(argv[2], NULL, 0);
    int rc = TEST_RUN(tests);
    if (rc != 0) /* an assertion of the room's or the world's */
        fprintf(stderr, "# it was sequence %llu\n", (unsigned long long)sequence);
    return rc;
}
