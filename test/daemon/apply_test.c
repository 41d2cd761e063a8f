/* A configuration is one want: after start(A), reload(B) everything is as after start(B), and what is the same in both was
 * not disturbed. */
#include "daemon/fake_host.h"

#include <unistd.h>

#include "base/rand.h"
#include "support/text.h"

#define CLIENT_AT  dt_addr4(0xc6336402)
#define GATEWAY_AT dt_addr4(0xcb007101)

static const char gateway_conf[] =
    "gateway \"g\" { identity = vpn.example.net psk = secret-one-of-sixteen\n"
    "protect = 10.0.0.0/8 pool = 10.9.0.0/16 }\n"
    "gateway \"sites\" { identity = sites.example.net psk = secret-one-of-sixteen\n"
    "protect = 10.0.0.0/8 remote = 192.168.0.0/16 }\n"
    "client \"*@example.net\" { gateway = sites networks = 192.168.0.0/16 }\n";

struct net {
    struct fake_host *c, *g;
};

static void run(struct net *n)
{
    fake_hosts_run((struct fake_host *[]){n->c, n->g}, 2);
}

static struct net net_new(const char *gateway)
{
    struct net n = {fake_host_new(CLIENT_AT), fake_host_new(GATEWAY_AT)};
    json_decref(fake_host_apply(n.g, gateway));
    return n;
}

static void net_free(struct net *n)
{
    fake_host_free(n->c);
    fake_host_free(n->g);
}

/* What `dovetail reload` tells, as "added changed removed unchanged". */
static void apply(struct net *n, struct fake_host *h, const char *text, const char *says)
{
    json_t *r = fake_host_apply(h, text);
    char said[64];
    snprintf(said, sizeof(said), "%zu %zu %zu %d", json_array_size(json_object_get(r, "added")),
             json_array_size(json_object_get(r, "changed")), json_array_size(json_object_get(r, "removed")),
             (int)json_integer_value(json_object_get(r, "unchanged")));
    if (says != NULL)
        assert_string_equal(said, says);
    json_decref(r);
    run(n);
}

/* ---- everything that a want decides, as text ---- */

static int compare_lines(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Which of its leases a client has is the gateway's matter. */
static void say_kernel(struct text *t, const struct fake_host *h)
{
    char line[FAKE_FACTS][DT_HOST_FACT_STRLEN + 64];
    for (size_t i = 0; i < h->nfact; i++) {
        struct dt_host_fact f = h->fact[i];
        bool given = f.src.ver != 0;
        if (f.kind == DT_HOST_ADDR)
            memset(&f.prefix.addr.b, 0, sizeof(f.prefix.addr.b));
        f.src.ver = 0;
        dt_host_fact_str(line[i], &f);
        strcat(line[i], given ? ", with a source" : "");
        strcat(line[i], f.mtu != 0 ? ", with an mtu" : "");
    }
    qsort(line, h->nfact, sizeof(line[0]), compare_lines);
    for (size_t i = 0; i < h->nfact; i++)
        say(t, "%s\n", line[i]);
}

static size_t routes(const struct fake_host *h)
{
    size_t n = 0;
    for (size_t i = 0; i < h->nfact; i++)
        n += h->fact[i].kind == DT_HOST_ROUTE;
    return n;
}

static void say_tunnel(struct text *t, struct fake_host *h, const char *name)
{
    struct dt_tunnel_info info = {0};
    const struct tun *x = tun_by_name(&h->d, name);
    const struct fake_tunnel *dp = fake_host_tunnel(h, name);
    char a[600], b[600];
    if (x == NULL)
        return;
    dt_endpoint_tunnel_info(h->d.ep, x->id, &info);
    say(t, "%s wanted %d taken_down %d ruled %d site %d started %d up %d", name, x->wanted, x->taken_down,
        x->ruled, x->site, info.started, info.up);
    if (dp == NULL)
        say(t, " unknown to the data path");
    else
        say(t, " state %s on_demand %d mtu %u carries %s to %s",
            dp->state == DT_DP_SEND   ? "send"
            : dp->state == DT_DP_HOLD ? "hold"
                                      : "drop",
            dp->set.on_demand, dp->set.mtu,
            info.inside.addr4.ver ? "its lease" : dt_selectors_str(a, sizeof(a), &dp->set.local),
            dt_selectors_str(b, sizeof(b), &dp->set.remote));
    if (info.started)
        say(t, " path %s", dt_addr_str(a, &info.path.local.addr));
    say(t, "\n");
}

static void snapshot(struct text *t, struct fake_host *h)
{
    t->len = 0;
    t->v[0] = '\0';
    for (char name[] = "t1"; name[1] <= '4'; name[1]++)
        say_tunnel(t, h, name);
    for (char name[] = "g1"; name[1] <= '2'; name[1]++) {
        const struct gate *g = gate_by_name(&h->d, name);
        if (g != NULL)
            say(t, "%s print %llx\n", name, (unsigned long long)g->cfg.print);
    }
    for (size_t i = 0; h->d.rules != NULL && i < h->d.rules->n; i++)
        say(t, "rule %s\n", h->d.rules->v[i].name);
    say_kernel(t, h);
}

/* ---- random configurations ---- */

static uint32_t below(struct dt_prng *p, uint32_t n)
{
    return (uint32_t)(dt_prng_u64(p) % n);
}

static const char *pick(struct dt_prng *p, const char *const *of, size_t n)
{
    return of[below(p, (uint32_t)n)];
}
#define PICK(p, ...)                                                                                         \
    pick(p, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void random_tunnel(struct text *t, struct dt_prng *p, int number)
{
    bool site = below(p, 2) == 0;
    say(t, "tunnel \"t%d\" {\n gateway = 203.0.113.1\n psk = secret-one-of-sixteen\n", number);
    bool ben = below(p, 2) == 0;
    say(t, " local = %s%d@example.net\n", ben ? "ben" : "anna", number);
    say(t, " remote = %s\n", site ? "sites.example.net" : "vpn.example.net");
    if (site)
        say(t, " inside = 192.168.%d%d.0/24\n", ben + 1, number); /* no two clients bring the same */
    say(t, PICK(p, " protect = 10.%d.0.0/16\n", " protect = { 10.%d.0.0/16, 10.10.%d.0/24 }\n"), number,
        number);
    say(t, " start = %s\n", PICK(p, "always", "always", "demand", "manual"));
    say(t, " encap = %s\n", PICK(p, "esp", "udp"));
    say(t, "%s", PICK(p, "", " mtu = 1300\n"));
    say(t, "%s", PICK(p, "", " closed = always\n", " closed = no\n"));
    say(t, "%s", PICK(p, "", " source = 198.51.100.2\n"));
    say(t, "%s", PICK(p, "", " probe = 10.1.0.1\n", " keylife = 2h\n"));
    say(t, "}\n");
}

static void random_conf(struct text *t, struct dt_prng *p)
{
    t->len = 0;
    say(t, "# generated\n");
    for (int i = 1; i <= 4; i++)
        if (below(p, 4) > 0)
            random_tunnel(t, p, i);
    for (int i = 1; i <= 2; i++)
        if (below(p, 2) == 0)
            say(t,
                "gateway \"g%d\" { identity = g%d.example.net psk = secret-one-of-sixteen protect = %s "
                "peers = branch%d.example.net %s = 10.%s%d.0.0/16 }\n",
                i, i, PICK(p, "10.20.0.0/16", "10.21.0.0/16"), i, PICK(p, "pool", "remote"),
                PICK(p, "3", "4"), i);
    if (below(p, 2) == 0)
        say(t, "rule \"r\" { action = tunnel gateway = 203.0.113.1 to = 10.1.0.0/16 %s }\n",
            strstr(t->v, "tunnel \"t1\"") != NULL ? PICK(p, "", "use = t1") : "");
}

/* A section of the second file that the first one has word for word. */
static bool has_section(const struct text *a, const struct text *b, int number)
{
    char head[32];
    snprintf(head, sizeof(head), "tunnel \"t%d\"", number);
    const char *x = strstr(a->v, head), *y = strstr(b->v, head);
    if (x == NULL || y == NULL)
        return false;
    size_t n = (size_t)(strstr(y, "\n}\n") - y);
    return strncmp(x, y, n + 3) == 0;
}

/* cmocka cuts long messages. */
static void differ(unsigned round, const struct text *const t[4])
{
    static const char *const what[] = {"the first file", "the second file", "after a reload",
                                       "after a start"};
    for (size_t i = 0; i < 4; i++)
        printf("# ---- %s\n%s", what[i], t[i]->v);
    fail_msg("round %u: a reload is not as a start", round);
}

/* A packet for each tunnel that waits for one: whether one came before the reload is no matter of the configuration. */
static void demand(struct net *n)
{
    for (char name[] = "t1"; name[1] <= '4'; name[1]++) {
        const struct tun *t = tun_by_name(&n->c->d, name);
        const struct fake_tunnel *dp = fake_host_tunnel(n->c, name);
        if (t == NULL || t->ruled || dp == NULL || dp->state != DT_DP_HOLD || !dp->set.on_demand)
            continue;
        struct dt_dp_event ev = {.kind = DT_DP_NEED_TUNNEL, .tunnel = dp->set.id};
        driver_dp_event(&n->c->d, &ev);
    }
    run(n);
}

static void a_reload_is_as_a_start(void **state)
{
    static struct text a, b, after, fresh;
    uint64_t seed = test_seed("a_reload_is_as_a_start");
    for (unsigned round = 0; round < 150; round++) {
        struct dt_prng p;
        uint32_t spi[5] = {0};
        dt_prng_seed(&p, seed + round);
        random_conf(&a, &p);
        random_conf(&b, &p);
        struct net n = net_new(gateway_conf);
        apply(&n, n.c, a.v, NULL);
        bool ruled = strstr(a.v, "rule \"") != NULL || strstr(b.v, "rule \"") != NULL;
        for (int i = 1; i <= 4; i++) {
            char name[] = {'t', (char)('0' + i), 0};
            spi[i] = !ruled && has_section(&a, &b, i) ? fake_host_spi(n.c, name) : 0;
        }
        apply(&n, n.c, b.v, NULL);
        demand(&n);
        snapshot(&after, n.c);
        for (int i = 1; i <= 4; i++) {
            char name[] = {'t', (char)('0' + i), 0};
            if (spi[i] != 0 && spi[i] != fake_host_spi(n.c, name))
                fail_msg("round %u: %s was disturbed\n%s----\n%s", round, name, a.v, b.v);
        }
        apply(&n, n.c, b.v, NULL); /* the same again */
        net_free(&n);
        n = net_new(gateway_conf);
        apply(&n, n.c, b.v, NULL);
        demand(&n);
        snapshot(&fresh, n.c);
        net_free(&n);
        if (strcmp(after.v, fresh.v) != 0)
            differ(round, (const struct text *[]){&a, &b, &after, &fresh});
    }
}

/* ---- one by one ---- */

#define TUNNEL(more)                                                                                         \
    "tunnel \"t1\" { gateway = 203.0.113.1 local = anna@example.net remote = vpn.example.net "               \
    "psk = secret-one-of-sixteen protect = 10.1.0.0/16 encap = esp " more "}\n"
#define RULE "rule \"r1\" { action = tunnel gateway = 203.0.113.1 to = 10.1.0.0/16 }\n"

static void a_rule_takes_a_working_tunnel_over(void **state)
{
    struct net n = net_new(gateway_conf);
    apply(&n, n.c, TUNNEL(""), "1 0 0 0");
    assert_true(fake_host_up(n.c, "t1"));
    apply(&n, n.c, TUNNEL("") RULE, "0 1 0 0");
    const struct fake_tunnel *dp = fake_host_tunnel(n.c, "t1");
    assert_non_null(dp);
    assert_int_equal(dp->state, DT_DP_HOLD); /* not drop: what comes now waits ... */
    assert_true(dp->set.on_demand);          /* ... and begins the plan */
    struct dt_dp_event ev = {.kind = DT_DP_NEED_TUNNEL,
                             .tunnel = dp->set.id,
                             .flow = {.src = dt_addr4(0xc6336402), .dst = dt_addr4(0x0a010001), .proto = 1}};
    driver_dp_event(&n.c->d, &ev);
    run(&n);
    assert_true(fake_host_up(n.c, "t1"));
    uint32_t spi = fake_host_spi(n.c, "t1");
    apply(&n, n.c, TUNNEL(""), "0 1 0 0"); /* and gives it back as it is */
    assert_true(fake_host_up(n.c, "t1"));
    assert_int_equal(fake_host_spi(n.c, "t1"), spi);
    assert_false(fake_host_tunnel(n.c, "t1")->set.on_demand);
    net_free(&n);
}

static void start_is_followed_both_ways(void **state)
{
    struct net n = net_new(gateway_conf);
    apply(&n, n.c, TUNNEL("start = manual"), "1 0 0 0");
    assert_false(fake_host_up(n.c, "t1"));
    apply(&n, n.c, TUNNEL("start = always"), "0 1 0 0");
    assert_true(fake_host_up(n.c, "t1"));
    apply(&n, n.c, TUNNEL("start = manual"), "0 1 0 0");
    assert_false(fake_host_up(n.c, "t1"));
    assert_int_equal(routes(n.c), 0);
    apply(&n, n.c, TUNNEL("start = demand"), "0 1 0 0");
    assert_true(fake_host_tunnel(n.c, "t1")->set.on_demand);
    assert_int_equal(fake_host_tunnel(n.c, "t1")->state, DT_DP_HOLD);
    assert_true(routes(n.c) > 0);
    net_free(&n);
}

static void what_was_asked_for_by_hand_stays(void **state)
{
    struct net n = net_new(gateway_conf);
    apply(&n, n.c, TUNNEL("start = manual"), NULL);
    tun_up(&n.c->d, tun_by_name(&n.c->d, "t1"));
    run(&n);
    assert_true(fake_host_up(n.c, "t1"));
    apply(&n, n.c, TUNNEL("start = manual mtu = 1300"), "0 1 0 0");
    assert_true(fake_host_up(n.c, "t1"));
    assert_int_equal(fake_host_tunnel(n.c, "t1")->set.mtu, 1300);
    tun_down(&n.c->d, tun_by_name(&n.c->d, "t1"));
    apply(&n, n.c, TUNNEL("start = manual mtu = 1200"), "0 1 0 0");
    assert_false(fake_host_up(n.c, "t1"));
    net_free(&n);
}

static void the_secret_of_a_tunnel(void **state)
{
    struct net n = net_new(gateway_conf);
    apply(&n, n.c, TUNNEL(""), NULL);
    uint32_t spi = fake_host_spi(n.c, "t1");
    char other[512];
    snprintf(other, sizeof(other), "%s", TUNNEL(""));
    memcpy(strstr(other, "secret-one"), "secret-two", 10);
    apply(&n, n.c, other, "0 1 0 0");
    assert_int_equal(fake_host_spi(n.c, "t1"), spi); /* the gateway does not take it: what is there goes on */
    assert_int_equal(n.g->d.top->refusals.newest[0].count > 0, 1);
    net_free(&n);
}

/* ---- a gateway's clients ---- */

#define GATEWAY(more) "gateway \"g\" { identity = vpn.example.net protect = 10.0.0.0/8 " more "}\n"

static void a_client_whose_secret_goes(void **state)
{
    static const struct {
        const char *conf, *why;
        size_t clients;
    } to[] = {
        {GATEWAY("psk = secret-one-of-sixteen pool = 10.9.0.0/16 clients_max = 5"), NULL, 1},
        {GATEWAY("psk = secret-two-of-sixteen pool = 10.9.0.0/16"), "its secret has changed", 0},
        {GATEWAY("psk = secret-one-of-sixteen pool = 10.7.0.0/16"),
         "its inside address is not of the pool any more", 0},
        {GATEWAY("psk = secret-one-of-sixteen pool = { 10.7.0.0/16, 10.9.0.0/16 }"), NULL, 1},
        {GATEWAY("psk = secret-one-of-sixteen pool = 10.9.0.0/16 peers = \"*@example.org\""),
         "it is not among the gateway's peers any more", 0},
        {GATEWAY("psk = secret-one-of-sixteen peers = anna@example.net remote = 192.168.0.0/16"),
         "leases no inside addresses", 0},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(to); i++) {
        struct net n = net_new(GATEWAY("psk = secret-one-of-sixteen pool = 10.9.0.0/16"));
        apply(&n, n.c, TUNNEL(""), NULL);
        assert_true(fake_host_up(n.c, "t1"));
        uint32_t spi = fake_host_spi(n.c, "t1");
        json_t *r = fake_host_apply(n.g, to[i].conf);
        assert_int_equal(fake_host_clients(n.g), to[i].clients);
        assert_int_equal(json_integer_value(json_object_get(r, "clients_ended")), 1 - to[i].clients);
        json_decref(r);
        run(&n);
        if (to[i].why == NULL) {
            assert_int_equal(fake_host_spi(n.c, "t1"), spi);
            assert_int_equal(n.g->gone, 0);
        } else {
            assert_int_equal(n.g->gone, 1);
            if (strstr(n.g->why, to[i].why) == NULL)
                fail_msg("\"%s\", and not \"%s\"", n.g->why, to[i].why);
            assert_int_equal(n.c->sessions_down > 0, 1); /* the client knows at once */
        }
        net_free(&n);
    }
}

static void a_secret_is_taken_out_of_the_file(void **state)
{
    char path[] = "/tmp/dovetail-apply-XXXXXX", conf[512];
    int fd = mkstemp(path);
    static const char both[] = "anna@example.net secret-one-of-sixteen\nben@example.net another-secret\n";
    static const char one[] = "ben@example.net another-secret\n";
    assert_int_equal(write(fd, both, sizeof(both) - 1), sizeof(both) - 1);
    snprintf(conf, sizeof(conf), GATEWAY("secrets = \"file:%s\" pool = 10.9.0.0/16"), path);
    struct net n = net_new(conf);
    apply(&n, n.c, TUNNEL(""), NULL);
    assert_int_equal(fake_host_clients(n.g), 1);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, one, sizeof(one) - 1, 0), sizeof(one) - 1);
    apply(&n, n.g, conf, "0 1 0 0"); /* the very same text: the file behind it has changed */
    assert_int_equal(fake_host_clients(n.g), 0);
    assert_string_equal(n.g->why, "there is no secret for it any more");
    close(fd);
    unlink(path);
    net_free(&n);
}

static void a_removed_gateway_ends_its_clients(void **state)
{
    struct net n = net_new(gateway_conf);
    apply(&n, n.c, TUNNEL(""), NULL);
    apply(&n, n.g, "", "0 0 2 0");
    assert_int_equal(fake_host_clients(n.g), 0);
    apply(&n, n.g, gateway_conf, "2 0 0 0");
    apply(&n, n.g, gateway_conf, "0 0 0 2");
    net_free(&n);
}

/* ---- where a session is opened from ---- */

static void no_other_address_is_tried(void **state)
{
    struct net n = net_new(gateway_conf);
    n.g->deaf = true;
    for (size_t i = 0; i < DT_ARRAY_LEN(n.c->host_addr); i++)
        n.c->host_addr[i] = dt_addr4(0xac110001 + ((uint32_t)i << 16)); /* bridges of containers */
    fake_strays = 0;
    apply(&n, n.c, TUNNEL("timeout = 20ms elimit = 0"), NULL);
    for (int i = 0; i < 2000 && n.c->sessions_opened < 12; i++) {
        usleep(5000);
        run(&n);
    }
    assert_true(n.c->sessions_opened >= 12);
    assert_int_equal(fake_strays, 0);
    net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_takes_a_working_tunnel_over),
        cmocka_unit_test(start_is_followed_both_ways),
        cmocka_unit_test(what_was_asked_for_by_hand_stays),
        cmocka_unit_test(the_secret_of_a_tunnel),
        cmocka_unit_test(a_client_whose_secret_goes),
        cmocka_unit_test(a_secret_is_taken_out_of_the_file),
        cmocka_unit_test(a_removed_gateway_ends_its_clients),
        cmocka_unit_test(no_other_address_is_tried),
        cmocka_unit_test(a_reload_is_as_a_start),
    };
    return TEST_RUN(tests);
}
