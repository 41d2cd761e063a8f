/* Plans of hundreds of layers, over a data path and a network that only remember. */
#include "daemon/fake_host.h"
#include "support/text.h"

#define CLIENT_AT  dt_addr4(0xc6336402)
#define GATEWAY_AT dt_addr4(0xcb007101) /* 203.0.113.1 */
#define LAYERS     300                  /* more than once had a place */

static const char gateway_conf[] = "gateway \"g\" { identity = vpn.example.net psk = secret-one-of-sixteen\n"
                                   "protect = { 10.0.0.0/8, 198.51.0.0/16 } pool = 10.9.0.0/16 }\n";

static void say_tunnel(struct text *t, const char *name, const struct dt_addr *gateway, const char *more)
{
    char a[DT_ADDR_STRLEN];
    say(t,
        "tunnel \"%s\" { gateway = %s local = %s@example.net remote = vpn.example.net psk = "
        "secret-one-of-sixteen "
        "%s }\n",
        name, dt_addr_str(a, gateway), name, more);
}

/* Gateways that nobody is at: 198.51.K.I. */
static struct dt_addr far_gateway(unsigned i)
{
    return dt_addr4(0xc6330000 | (i / 200 + 10) << 8 | (i % 200 + 1));
}

static void packet(struct fake_host *h, struct dt_addr src, struct dt_addr dst)
{
    struct dt_dp_event ev = {.kind = DT_DP_NEED_TUNNEL, .flow = {.src = src, .dst = dst, .proto = 17}};
    plans_need(&h->d, &ev);
}

static void run(struct fake_host *c, struct fake_host *g)
{
    fake_hosts_run((struct fake_host *[]){c, g}, 2);
}

static struct tun *tunnel(struct fake_host *h, unsigned i)
{
    char name[16];
    snprintf(name, sizeof(name), "t%u", i);
    return tun_by_name(&h->d, name);
}

/* n tunnels to gateways that nobody is at, each with a rule for 10.100.K.I/32 from 10.1/16. */
static void say_far_tunnels(struct text *t, unsigned n)
{
    char name[16], gw[DT_ADDR_STRLEN];
    for (unsigned i = 0; i < n; i++) {
        struct dt_addr a = far_gateway(i);
        snprintf(name, sizeof(name), "t%u", i);
        say_tunnel(t, name, &a, "encap = udp inside = 10.1.0.0/16 protect = 10.100.0.0/16");
        say(t,
            "rule \"r%u\" { action = tunnel use = t%u gateway = %s from = 10.1.0.0/16 to = 10.100.%u.%u }\n",
            i, i, dt_addr_str(gw, &a), i / 200, i % 200 + 1);
    }
}

static struct dt_addr far_host(unsigned i)
{
    return dt_addr4(0x0a640000 | (i / 200) << 8 | (i % 200 + 1));
}

static void every_layer_is_run(void **state)
{
    static struct text t;
    struct fake_host *c = fake_host_new(CLIENT_AT), *g = fake_host_new(GATEWAY_AT);
    t.len = 0;
    say(&t, "plans { building_max = %u }\n", LAYERS);
    say_far_tunnels(&t, LAYERS);
    json_decref(fake_host_apply(c, t.v));
    for (unsigned i = 0; i < LAYERS; i++)
        packet(c, dt_addr4(0x0a010005), far_host(i));
    for (unsigned i = 0; i < LAYERS; i++)
        assert_int_not_equal(tunnel(c, i)->layer, 0);
    /* What is news of the last one reaches its plan, as it does of the first. */
    plans_refuse(&c->d, tunnel(c, 0), "it does not want to");
    plans_refuse(&c->d, tunnel(c, LAYERS - 1), "it does not want to");
    run(c, g);
    assert_int_equal(tunnel(c, 0)->layer, 0);
    assert_int_equal(tunnel(c, LAYERS - 1)->layer, 0);
    assert_int_not_equal(tunnel(c, 1)->layer, 0);
    fake_host_free(c);
    fake_host_free(g);
}

/* The workers are told of every layer that lies in another one, however many there are. */
static void every_nested_layer_is_told(void **state)
{
    static struct text t;
    enum { NESTED = 100 };
    const struct dt_addr at = GATEWAY_AT;
    struct fake_host *c = fake_host_new(CLIENT_AT), *g = fake_host_new(GATEWAY_AT);
    t.len = 0;
    json_decref(fake_host_apply(g, gateway_conf));
    say(&t, "plans { building_max = 200 }\n");
    say_tunnel(&t, "outer", &at, "protect = 198.51.0.0/16");
    say(&t, "rule \"outer\" { action = tunnel use = outer gateway = 203.0.113.1 from = 10.1.0.0/16 to = "
            "198.51.0.0/16 }\n");
    say_far_tunnels(&t, NESTED);
    json_decref(fake_host_apply(c, t.v));
    for (unsigned i = 0; i < NESTED; i++) {
        packet(c, dt_addr4(0x0a010005), far_host(i));
        run(c, g);
    }
    const struct tun *outer = tun_by_name(&c->d, "outer");
    assert_true(fake_host_up(c, "outer"));
    for (unsigned i = 0; i < NESTED; i++) {
        struct dt_dp_flow ike = {.src = CLIENT_AT,
                                 .dst = far_gateway(i),
                                 .proto = 17,
                                 .sport = DT_PORT_NATT,
                                 .dport = DT_PORT_NATT};
        assert_int_equal(tunnel(c, i)->below, outer->id);
        assert_int_equal(plans_choose(&c->d, &ike).tunnel, outer->id);
    }
    fake_host_free(c);
    fake_host_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_is_run),
        cmocka_unit_test(every_nested_layer_is_told),
    };
    return TEST_RUN(tests);
}
