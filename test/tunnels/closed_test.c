/* Fail closed: which barriers stand when, what is kept of that on disk, and what `dovetail down` says of it. */
#include "daemon/fake_host.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HERE dt_addr4(0xc6336402)

#define TUNNEL(name, protect, more)                                                                          \
    "tunnel \"" name "\" { gateway = 203.0.113.1 local = anna@example.net remote = vpn.example.net "         \
    "psk = secret-one-of-sixteen protect = " protect " " more " }\n"

static void apply(struct fake_host *h, const char *text)
{
    json_decref(fake_host_apply(h, text));
    fake_hosts_run(&h, 1);
}

static bool has(const struct fake_host *h, enum dt_host_kind kind, const char *prefix)
{
    struct dt_prefix p;
    assert_int_equal(dt_prefix_parse(&p, prefix, false), 0);
    for (size_t i = 0; i < h->nfact; i++)
        if (h->fact[i].kind == kind && dt_addr_eq(&h->fact[i].prefix.addr, &p.addr) &&
            h->fact[i].prefix.len == p.len)
            return true;
    return false;
}

static bool closed(const struct fake_host *h, const char *prefix)
{
    return has(h, DT_HOST_BARRIER, prefix);
}

static bool ruled4(const struct fake_host *h)
{
    for (size_t i = 0; i < h->nfact; i++)
        if (h->fact[i].kind == DT_HOST_RULE && h->fact[i].ver == 4)
            return true;
    return false;
}

static void up(struct fake_host *h, const char *name)
{
    tun_up(&h->d, tun_by_name(&h->d, name));
    wants_save(&h->d);
    fake_hosts_run(&h, 1);
}

/* The answer of `dovetail down`. */
static json_t *down(struct fake_host *h, const char *name, char text[1024])
{
    struct tun *t = tun_by_name(&h->d, name);
    json_t *o = json_object();
    tun_down(&h->d, t);
    wants_save(&h->d);
    closed_tell_down(&h->d, t, o, text, 1024);
    fake_hosts_run(&h, 1);
    return o;
}

static void down_says(struct fake_host *h, const char *name, const char *says)
{
    char text[1024];
    json_t *o = down(h, name, text);
    assert_string_equal(text, says);
    json_decref(o);
}

static void wanted_is_closed_and_down_opens(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
    apply(h, TUNNEL("a", "10.1.0.0/16", "start = always") TUNNEL("d", "10.2.0.0/16", "start = demand")
                 TUNNEL("m", "10.3.0.0/16", "start = manual"));
    assert_true(closed(h, "10.1.0.0/16"));
    assert_true(closed(h, "10.2.0.0/16"));
    assert_false(closed(h, "10.3.0.0/16"));
    up(h, "m");
    assert_true(closed(h, "10.3.0.0/16"));
    down_says(h, "m", "down; 10.3.0.0/16 goes out in the clear now");
    down_says(h, "a", "down; 10.1.0.0/16 goes out in the clear now");
    assert_false(closed(h, "10.3.0.0/16"));
    assert_false(closed(h, "10.1.0.0/16"));
    assert_true(closed(h, "10.2.0.0/16"));
    fake_host_free(h);
}

static void always_and_no(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
    apply(h, TUNNEL("a", "10.1.0.0/16", "closed = always")
                 TUNNEL("m", "10.2.0.0/16", "closed = always start = manual")
                     TUNNEL("n", "10.3.0.0/16", "closed = no start = demand"));
    assert_true(closed(h, "10.1.0.0/16"));
    assert_true(closed(h, "10.2.0.0/16")); /* before any `up` */
    assert_false(closed(h, "10.3.0.0/16"));
    assert_true(has(h, DT_HOST_ROUTE, "10.3.0.0/16"));
    down_says(h, "a", "down; 10.1.0.0/16 stays closed by closed = always");
    down_says(h, "n", "down; 10.3.0.0/16 goes out in the clear now");
    assert_true(closed(h, "10.1.0.0/16"));
    /* A reload applies it at once, whatever was said by hand. */
    apply(h, TUNNEL("a", "10.1.0.0/16", "closed = no")
                 TUNNEL("n", "10.3.0.0/16", "closed = always start = demand"));
    assert_false(closed(h, "10.1.0.0/16"));
    assert_false(closed(h, "10.2.0.0/16"));
    assert_true(closed(h, "10.3.0.0/16"));
    /* The daemon's end leaves what is always closed, and what leads there. */
    routes_end(&h->d);
    assert_true(closed(h, "10.3.0.0/16"));
    assert_false(has(h, DT_HOST_ROUTE, "10.3.0.0/16"));
    assert_true(ruled4(h));
    fake_host_free(h);
}

static void an_end_opens_what_is_wanted_and_a_failed_start_opens_nothing(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
    apply(h, TUNNEL("a", "10.1.0.0/16", ""));
    assert_true(closed(h, "10.1.0.0/16") && ruled4(h));
    h->d.routes.said = false; /* as before the first want */
    routes_end(&h->d);
    assert_true(closed(h, "10.1.0.0/16") && ruled4(h));
    assert_false(h->d.routes.begun);
    fake_host_free(h);
    h = fake_host_new(HERE);
    apply(h, TUNNEL("a", "10.1.0.0/16", ""));
    routes_end(&h->d);
    assert_false(closed(h, "10.1.0.0/16"));
    assert_false(ruled4(h));
    fake_host_free(h);
}

static void a_gateway_closes_pool_and_networks(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
#define GATE(more)                                                                                           \
    "gateway \"g\" { identity = vpn.example.net psk = secret-one-of-sixteen protect = 10.0.0.0/8 "           \
    "pool = 10.9.0.0/16 remote = 192.168.0.0/16 " more "}\n"                                                 \
    "client \"north.example.net\" { networks = 192.168.0.0/16 }\n"
    apply(h, GATE(""));
    assert_true(closed(h, "10.9.0.0/16") && closed(h, "192.168.0.0/16"));
    apply(h, GATE("closed = no "));
    assert_false(closed(h, "10.9.0.0/16") || closed(h, "192.168.0.0/16"));
    assert_true(has(h, DT_HOST_ROUTE, "10.9.0.0/16"));
    apply(h, GATE("closed = always "));
    routes_end(&h->d);
    assert_true(closed(h, "10.9.0.0/16") && closed(h, "192.168.0.0/16"));
    fake_host_free(h);
}

/* What one lets go, another may keep. */
static unsigned behind(const struct fake_host *h, const char *prefix)
{
    struct dt_prefix p;
    unsigned n = 0, rules = 0;
    assert_int_equal(dt_prefix_parse(&p, prefix, false), 0);
    for (size_t i = 0; i < h->nfact; i++) {
        const struct dt_host_fact *f = &h->fact[i];
        n += f->kind == DT_HOST_BARRIER && f->table == DT_HOST_TABLE_BEHIND &&
             dt_addr_eq(&f->prefix.addr, &p.addr) && f->prefix.len == p.len;
        rules += f->kind == DT_HOST_STEER && f->rule.priority >= DT_HOST_PRIORITY_BEHIND;
    }
    assert_true(rules == 0 || rules == 4); /* two for the device, two for what the host itself sends */
    return rules == 4 ? n : 0;
}

/* What once had a route of its own does not get the default route instead. */
static void a_network_whose_link_is_down_does_not_follow_the_default_route(void **state)
{
    static const char conf[] = "gateway \"g\" { identity = vpn.example.net psk = secret-one-of-sixteen "
                               "protect = { 10.0.0.0/8, 172.16.0.0/12 } pool = 192.168.9.0/24 %s}\n";
    struct fake_host *h = fake_host_new(HERE);
    char text[256];
    snprintf(text, sizeof(text), conf, "");
    apply(h, text);
    assert_false(behind(h, "10.3.0.0/16")); /* all by the default route, for all that is known */
    assert_int_equal(dt_addr_parse(&h->host_addr[0], "10.3.0.1"), 0);
    assert_int_equal(dt_prefix_parse(&h->routed, "172.16.0.0/12", false), 0);
    routes_reconcile(&h->d);
    assert_true(behind(h, "10.3.0.0/16") && behind(h, "172.16.0.0/12"));
    assert_false(behind(h, "10.0.0.0/8"));
    h->host_addr[0].ver = 0; /* the link is down, and the routes with it */
    h->routed.len = 0;
    routes_reconcile(&h->d);
    assert_true(behind(h, "10.3.0.0/16") && behind(h, "172.16.0.0/12"));
    snprintf(text, sizeof(text), conf, "closed = no ");
    apply(h, text);
    assert_false(behind(h, "10.3.0.0/16") || behind(h, "172.16.0.0/12"));
    fake_host_free(h);
}

/* One that is a single host too: the network that it lies in is wider than `protect`, and is not looked at. */
static void a_single_host_behind_a_gateway_does_not_follow_the_default_route(void **state)
{
    static const char conf[] = "gateway \"g\" { identity = vpn.example.net psk = secret-one-of-sixteen "
                               "protect = { %s } pool = 192.168.9.0/24 }\n";
    static const char *const host[] = {"10.3.0.10/32", "10.3.0.254/31", "fd01::10/128"};
    static const char *const route[] = {"10.3.0.0/16", "10.3.0.0/16", "fd01::/64"};
    for (size_t i = 0; i < DT_ARRAY_LEN(host); i++) {
        struct fake_host *h = fake_host_new(HERE);
        char text[256];
        snprintf(text, sizeof(text), conf, host[i]);
        assert_int_equal(dt_prefix_parse(&h->routed, route[i], false), 0);
        apply(h, text);
        assert_true(behind(h, host[i]));
        h->routed.len = 0; /* the link is down */
        routes_reconcile(&h->d);
        assert_true(behind(h, host[i]));
        fake_host_free(h);
    }
}

/* The same on the other side: a site that a tunnel brings. */
static void a_site_whose_link_is_down_does_not_follow_the_default_route(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
    char text[512];
    snprintf(text, sizeof(text), TUNNEL("branch", "10.0.0.0/16", "inside = { 10.3.0.0/16, 10.4.0.1 } %s"),
             "");
    apply(h, text);
    assert_false(behind(h, "10.3.0.0/16"));
    assert_int_equal(dt_addr_parse(&h->host_addr[0], "10.3.0.1"), 0);
    routes_reconcile(&h->d);
    assert_true(behind(h, "10.3.0.0/16"));
    h->host_addr[0].ver = 0;
    routes_reconcile(&h->d);
    assert_true(behind(h, "10.3.0.0/16"));
    snprintf(text, sizeof(text), TUNNEL("branch", "10.0.0.0/16", "inside = { 10.3.0.0/16, 10.4.0.1 } %s"),
             "closed = no");
    apply(h, text);
    assert_false(behind(h, "10.3.0.0/16"));
    fake_host_free(h);
}

static void the_union_stays_closed(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
    char text[1024];
    apply(h, TUNNEL("one", "10.0.0.0/8", "") TUNNEL("two", "10.128.0.0/9", "closed = always")
                 TUNNEL("three", "10.64.0.0-10.64.0.9", "") TUNNEL("open", "10.32.0.0/16", "closed = no")
                     TUNNEL("port", "10.16.0.0/16[tcp/443]", ""));
    json_t *o = down(h, "one", text);
    assert_string_equal(text, "down; 10.128.0.0/9 stays closed by tunnel \"two\"; "
                              "10.64.0.0-10.64.0.9 stays closed by tunnel \"three\"; "
                              "10.0.0.0/10 goes out in the clear now; "
                              "10.64.0.10-10.127.255.255 goes out in the clear now");
    assert_int_equal(json_array_size(json_object_get(o, "clear")), 2);
    assert_int_equal(json_array_size(json_object_get(o, "closed")), 2);
    json_decref(o);
    assert_false(closed(h, "10.0.0.0/8"));
    assert_true(closed(h, "10.128.0.0/9"));
    down_says(h, "port", "down; 10.16.0.0/16[tcp/443] goes out in the clear now");
    fake_host_free(h);
}

/* ---- narrowed ---- */

static size_t steers(const struct fake_host *h, uint8_t proto, uint16_t port, uint32_t *table)
{
    size_t n = 0;
    for (size_t i = 0; i < h->nfact; i++) {
        const struct dt_host_fact *f = &h->fact[i];
        if (f->kind != DT_HOST_STEER || f->rule.proto != proto || f->rule.dport[0] != port ||
            f->rule.action != DT_NL_RULE_TABLE || (proto == 0 && f->rule.mark != DT_HOST_FRAGMENT_MARK))
            continue;
        assert_true(dt_host_fact_ok(f)); /* the keeper takes it */
        assert_int_equal(f->closed, proto != 0);
        if (table != NULL)
            *table = f->rule.table;
        n++;
    }
    return n;
}

/* A barrier and a route of that table, and none of the table of what is whole. */
static bool in_table(const struct fake_host *h, uint32_t table, const char *prefix)
{
    struct dt_prefix p;
    bool barrier = false, route = false, whole = false;
    assert_int_equal(dt_prefix_parse(&p, prefix, false), 0);
    for (size_t i = 0; i < h->nfact; i++) {
        const struct dt_host_fact *f = &h->fact[i];
        bool same = dt_addr_eq(&f->prefix.addr, &p.addr) && f->prefix.len == p.len;
        barrier = barrier || (same && f->kind == DT_HOST_BARRIER && f->table == table);
        route = route || (same && f->kind == DT_HOST_ROUTE && f->table == table);
        whole = whole || (same && f->table == 0);
    }
    return barrier && route && !whole;
}

static void a_port_is_routed_and_closed_by_that_port(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
    uint32_t one = 0, two = 0, udp = 0;
    size_t passes = 0;
    apply(h, TUNNEL("one", "10.1.0.0/16[tcp/443]", "start = demand")
                 TUNNEL("two", "{ 10.1.0.0/16[udp/53], 10.1.0.0/16[icmp/2048], 10.1.0.0/16[0/80-90] }",
                        "start = demand"));
    assert_false(ruled4(h));
    assert_int_equal(steers(h, 6, 443, &one), 1);
    assert_int_equal(steers(h, 17, 53, &two), 1);
    assert_int_equal(steers(h, 17, 80, &udp), 1); /* any protocol that has ports */
    assert_int_equal(steers(h, 132, 80, NULL), 1);
    assert_int_equal(steers(h, 1, 0, NULL), 1); /* of ICMP all */
    assert_int_equal(steers(h, 0, 0, NULL), 2); /* the fragments of each table's */
    assert_int_not_equal(one, two);             /* each speaks from its own address */
    assert_int_equal(two, udp);
    assert_true(in_table(h, one, "10.1.0.0/16") && in_table(h, two, "10.1.0.0/16"));
    for (size_t i = 0; i < h->nfact; i++)
        passes += h->fact[i].kind == DT_HOST_STEER && h->fact[i].rule.action == DT_NL_RULE_GOTO &&
                  h->fact[i].rule.mark == DT_DP_MARK;
    assert_int_equal(passes, 1);
    down_says(h, "one", "down; 10.1.0.0/16[tcp/443] goes out in the clear now");
    assert_int_equal(steers(h, 6, 443, NULL), 0);
    assert_int_equal(steers(h, 17, 53, NULL), 1);
    apply(h, TUNNEL("one", "10.1.0.0/16", ""));
    assert_true(closed(h, "10.1.0.0/16") && ruled4(h));
    for (size_t i = 0; i < h->nfact; i++)
        assert_true(h->fact[i].kind != DT_HOST_STEER && h->fact[i].table == 0);
    fake_host_free(h);
}

static void prefixes_are_aggregated(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
    apply(h, TUNNEL("a", "{ 10.1.1.0/24, 10.1.0.0/24, 10.1.0.64/26, 10.1.2.0-10.1.3.255, 10.8.0.0/16 }",
                    "start = demand"));
    assert_true(closed(h, "10.1.0.0/22") && has(h, DT_HOST_ROUTE, "10.1.0.0/22"));
    assert_true(closed(h, "10.8.0.0/16"));
    size_t n = 0;
    for (size_t i = 0; i < h->nfact; i++)
        n += h->fact[i].kind == DT_HOST_BARRIER || h->fact[i].kind == DT_HOST_ROUTE;
    assert_int_equal(n, 4);
    fake_host_free(h);
}

/* ---- IP versions ---- */

static const char *left_of(struct fake_host *h, const char *name, char out[32])
{
    json_t *o = families_json(tun_by_name(&h->d, name));
    snprintf(out, 32, "%d %s", (int)json_integer_value(json_object_get(o, "version")),
             json_is_null(o) ? "none" : json_string_value(json_object_get(o, "why")));
    json_decref(o);
    return out;
}

static void the_other_version_is_told(void **state)
{
    struct fake_host *h = fake_host_new(HERE);
    char text[32];
    apply(h, TUNNEL("a", "0.0.0.0/0", ""));
    assert_string_equal(left_of(h, "a", text), "6 clear");
    apply(h, TUNNEL("a", "{ 0.0.0.0/1, 128.0.0.0/1 }", "") TUNNEL("b", "{ ::/0, 10.0.0.0/8 }", ""));
    assert_string_equal(left_of(h, "a", text), "0 none"); /* another has it */
    apply(h, TUNNEL("b", "{ ::/0, 10.0.0.0/8 }", ""));
    assert_string_equal(left_of(h, "b", text), "4 clear");
    apply(h, TUNNEL("a", "{ 0.0.0.0/0, ::/0 }", "") TUNNEL("c", "10.0.0.0/8", ""));
    assert_string_equal(left_of(h, "a", text), "0 none");
    assert_string_equal(left_of(h, "c", text), "0 none");
    fake_host_free(h);
}

static void what_the_gateway_leaves_is_told_and_stays_closed(void **state)
{
    struct fake_host *n[] = {fake_host_new(HERE), fake_host_new(dt_addr4(0xcb007101))};
    char text[32];
    json_decref(fake_host_apply(n[1],
                                "gateway \"g\" { identity = vpn.example.net psk = secret-one-of-sixteen\n"
                                "protect = 0.0.0.0/0 pool = 10.9.0.0/16 }\n"));
    json_decref(fake_host_apply(n[0], TUNNEL("a", "{ 0.0.0.0/0, ::/0 }", "")));
    fake_hosts_run(n, 2);
    assert_true(fake_host_up(n[0], "a"));
    routes_reconcile(&n[0]->d);
    assert_string_equal(left_of(n[0], "a", text), "6 not_leased");
    assert_true(closed(n[0], "::/0"));
    fake_host_free(n[0]);
    fake_host_free(n[1]);
}

/* ---- on disk ---- */

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static struct fake_host *started(const char *dir, const char *conf)
{
    struct fake_host *h = fake_host_new(HERE);
    snprintf(h->d.cfg.leases, sizeof(h->d.cfg.leases), "%s/leases.db", dir);
    wants_load(&h->d);
    apply(h, conf);
    return h;
}

static void ended(struct fake_host *h)
{
    wants_close(&h->d);
    fake_host_free(h);
}

static void what_was_asked_for_survives_a_restart(void **state)
{
    char dir[] = "/tmp/dovetail-wants.XXXXXX", path[64], fresh[64];
    static const char conf[] =
        TUNNEL("m", "10.3.0.0/16", "start = manual") TUNNEL("k", "10.4.0.0/16", "start = manual");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/wants", dir);
    snprintf(fresh, sizeof(fresh), "%s/wants.new", dir);
    struct fake_host *h = started(dir, conf);
    assert_false(closed(h, "10.3.0.0/16"));
    assert_int_not_equal(access(path, F_OK), 0); /* nothing to say */
    up(h, "m");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    ended(h); /* as killed: nothing of the end is written */
    h = started(dir, conf);
    assert_true(tun_by_name(&h->d, "m")->wanted);
    assert_true(closed(h, "10.3.0.0/16"));
    assert_false(tun_by_name(&h->d, "k")->wanted || closed(h, "10.4.0.0/16"));
    down_says(h, "m", "down; 10.3.0.0/16 goes out in the clear now");
    ended(h);
    h = started(dir, conf);
    assert_false(tun_by_name(&h->d, "m")->wanted || closed(h, "10.3.0.0/16"));
    up(h, "m");
    apply(h, TUNNEL("k", "10.4.0.0/16", "start = manual")); /* it leaves the configuration, and comes back */
    apply(h, conf);
    assert_false(tun_by_name(&h->d, "m")->wanted);
    ended(h);
    h = started(dir, conf);
    assert_false(tun_by_name(&h->d, "m")->wanted);
    ended(h);
    assert_int_not_equal(access(fresh, F_OK), 0);
    unlink(path);
    rmdir(dir);
}

static void a_file_that_is_not_what_was_written_keeps_closed(void **state)
{
    char dir[] = "/tmp/dovetail-wants.XXXXXX", path[64];
    static const char conf[] = TUNNEL("m", "10.3.0.0/16", "start = manual")
        TUNNEL("k", "10.4.0.0/16", "start = manual") TUNNEL("n", "10.5.0.0/16", "start = manual closed = no");
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"up\": {}, \"closed\": {}}",
        "{\"up\": {}, \"closed\": {}, \"sum\": 7}",
        "{\"up\": {\"m\": true}, \"closed\": {}, \"sum\": \"0123456789abcdef\"}",
        "{\"up\": [\"m\"], \"closed\": {}, \"sum\": \"0123456789abcdef\"}"};
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/wants", dir);
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++) {
        write_file(path, bad[i]);
        struct fake_host *h = started(dir, conf);
        assert_false(tun_by_name(&h->d, "m")->wanted);
        assert_true(closed(h, "10.3.0.0/16") && closed(h, "10.4.0.0/16"));
        assert_false(closed(h, "10.5.0.0/16"));
        json_t *o = status_tunnel(&h->d, tun_by_name(&h->d, "m"));
        assert_non_null(strstr(json_string_value(json_object_get(o, "why")), "is not known"));
        json_decref(o);
        ended(h);
        h = started(dir, conf); /* and again after the next start */
        assert_true(closed(h, "10.3.0.0/16") && closed(h, "10.4.0.0/16"));
        down_says(h, "m", "down; 10.3.0.0/16 goes out in the clear now");
        up(h, "k");
        ended(h);
        h = started(dir, conf); /* both have been decided */
        assert_false(closed(h, "10.3.0.0/16"));
        assert_true(closed(h, "10.4.0.0/16") && tun_by_name(&h->d, "k")->wanted);
        ended(h);
    }
    unlink(path);
    mkdir(path, 0700); /* it cannot be read at all */
    struct fake_host *h = started(dir, conf);
    assert_true(closed(h, "10.3.0.0/16"));
    ended(h);
    rmdir(path);
    unlink(strcat(path, ".new"));
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wanted_is_closed_and_down_opens),
        cmocka_unit_test(always_and_no),
        cmocka_unit_test(an_end_opens_what_is_wanted_and_a_failed_start_opens_nothing),
        cmocka_unit_test(a_gateway_closes_pool_and_networks),
        cmocka_unit_test(a_network_whose_link_is_down_does_not_follow_the_default_route),
        cmocka_unit_test(a_single_host_behind_a_gateway_does_not_follow_the_default_route),
        cmocka_unit_test(a_site_whose_link_is_down_does_not_follow_the_default_route),
        cmocka_unit_test(the_union_stays_closed),
        cmocka_unit_test(a_port_is_routed_and_closed_by_that_port),
        cmocka_unit_test(prefixes_are_aggregated),
        cmocka_unit_test(the_other_version_is_told),
        cmocka_unit_test(what_the_gateway_leaves_is_told_and_stays_closed),
        cmocka_unit_test(what_was_asked_for_survives_a_restart),
        cmocka_unit_test(a_file_that_is_not_what_was_written_keeps_closed),
    };
    return TEST_RUN(tests);
}
