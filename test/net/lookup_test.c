/* The look-up against a model that tries every tunnel. */
#include "support/test.h"

#include "base/rand.h"
#include "net/dp.h"

#define TUNNELS 300

static struct dt_dp *dp;
static struct dp_tunnel *tunnel[TUNNELS];

static int open_tables(void **state)
{
    rcu_register_thread();
    dp = calloc(1, sizeof *dp);
    dp->cfg.natt_port = DT_PORT_NATT;
    return dp_lookup_init(dp);
}

static int close_tables(void **state)
{
    for (int i = 0; i < TUNNELS; i++)
        if (tunnel[i]) {
            dp_lookup_remove(dp, tunnel[i], tunnel[i]->desc);
            free(tunnel[i]->desc);
            free(tunnel[i]);
            tunnel[i] = NULL;
        }
    rcu_barrier();
    dp_lookup_free(dp);
    free(dp);
    rcu_unregister_thread();
    return 0;
}

static struct dt_addr small_addr(struct dt_rand *r, bool v6)
{
    struct dt_addr a = dt_addr4(0x0a000000u | (uint32_t)dt_rand_below(r, 512));
    if (v6) {
        uint8_t b[16] = {0xfd};
        b[14] = (uint8_t)dt_rand_below(r, 2);
        b[15] = (uint8_t)dt_rand_below(r, 256);
        a = dt_addr6_bytes(b);
    }
    return a;
}

static struct dt_selector any_selector(struct dt_rand *r)
{
    bool v6 = dt_rand_below(r, 3) == 0;
    struct dt_addr a = small_addr(r, v6), b = small_addr(r, v6);
    struct dt_range range = {a, b};
    if (dt_addr_cmp(&a, &b) > 0)
        range = (struct dt_range){b, a};
    if (dt_rand_below(r, 3) == 0)
        range.to = range.from;
    struct dt_selector s = dt_selector_range(&range);
    if (dt_rand_below(r, 4) == 0)
        s.proto = dt_rand_below(r, 2) ? 6 : 17;
    if (s.proto && dt_rand_below(r, 2)) {
        s.port_from = (uint16_t)dt_rand_below(r, 100);
        s.port_to = (uint16_t)(s.port_from + dt_rand_below(r, 100));
    }
    return s;
}

static void add(int i, struct dt_rand *r)
{
    struct dp_tunnel *t = calloc(1, sizeof *t);
    struct dp_desc *d = calloc(1, sizeof *d);
    struct dt_selector all4 = dt_selector_all4(), all6 = dt_selector_all6();
    t->id = (uint64_t)i + 1;
    t->age = (uint64_t)i;
    t->desc = d;
    d->t.order = (uint32_t)dt_rand_below(r, 3);
    dt_selectors_add(&d->t.local, &all4);
    dt_selectors_add(&d->t.local, &all6);
    for (uint64_t n = 1 + dt_rand_below(r, 3); n > 0; n--) {
        struct dt_selector s = any_selector(r);
        dt_selectors_add(&d->t.remote, &s);
    }
    struct dt_err err;
    assert_int_equal(dp_lookup_add(dp, t, d, &err), 0);
    tunnel[i] = t;
}

/* Longest prefix of its decomposition that holds the address, found the slow way. */
static int model_length(const struct dp_tunnel *t, const struct dt_addr *a)
{
    int best = -1;
    for (size_t i = 0; i < t->desc->t.remote.n; i++) {
        const struct dt_range *range = &t->desc->t.remote.v[i].range;
        if (!dt_range_has(range, a))
            continue;
        int len = a->ver == 4 ? 32 : 128;
        for (; len > 0; len--) { /* the largest block round a that begins and ends inside */
            struct dt_prefix p = {.addr = *a, .len = (uint8_t)(len - 1)};
            char text[DT_ADDR_STRLEN], with[DT_PREFIX_STRLEN + 8];
            snprintf(with, sizeof with, "%s/%d", dt_addr_str(text, a), len - 1);
            assert_int_equal(dt_prefix_parse(&p, with, true), 0);
            struct dt_range block = dt_prefix_range(&p);
            if (dt_addr_cmp(&block.from, &range->from) < 0 || dt_addr_cmp(&block.to, &range->to) > 0)
                break;
        }
        best = len > best ? len : best;
    }
    return best;
}

static struct dp_tunnel *model(const struct dt_ip *ip, const struct dt_tunnel_ports *ports)
{
    struct dp_tunnel *best = NULL;
    int best_len = -1;
    for (int i = 0; i < TUNNELS; i++) {
        struct dp_tunnel *t = tunnel[i];
        if (!t || !dt_tunnel_selects(&t->desc->t.local, &t->desc->t.remote, true, ip, ports))
            continue;
        int len = model_length(t, &ip->dst);
        if (len > best_len || (len == best_len && t->desc->t.order < best->desc->t.order)) {
            best = t;
            best_len = len;
        }
    }
    return best;
}

static void against_model(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("lookup"));
    struct dt_rand r = dt_prng_rand(&prng);
    int hits = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < TUNNELS; i++)
            if (!tunnel[i] && dt_rand_below(&r, 3))
                add(i, &r);
        for (int k = 0; k < 700; k++) {
            struct dt_ip ip = {.proto = dt_rand_below(&r, 2) ? 6 : 17};
            struct dt_tunnel_ports ports = {
                .sport = 1, .dport = (uint16_t)dt_rand_below(&r, 200), .known = dt_rand_below(&r, 4) != 0};
            bool v6 = dt_rand_below(&r, 3) == 0;
            ip.src = small_addr(&r, v6);
            ip.dst = small_addr(&r, v6);
            ip.ver = ip.dst.ver;
            rcu_read_lock();
            struct dp_tunnel *got = dp_lookup(dp, &ip, &ports, NULL);
            rcu_read_unlock();
            assert_ptr_equal(got, model(&ip, &ports));
            hits += got != NULL;
        }
        for (int i = 0; i < TUNNELS; i++)
            if (tunnel[i] && dt_rand_below(&r, 2)) {
                dp_lookup_remove(dp, tunnel[i], tunnel[i]->desc);
                free(tunnel[i]->desc);
                free(tunnel[i]);
                tunnel[i] = NULL;
            }
    }
    assert_true(hits > 500);
}

static void whole_address_space(void **state)
{
    struct dp_tunnel *t = calloc(1, sizeof *t);
    t->desc = calloc(1, sizeof *t->desc);
    struct dt_selector all = dt_selector_all4();
    dt_selectors_add(&t->desc->t.local, &all);
    dt_selectors_add(&t->desc->t.remote, &all);
    assert_int_equal(dp_lookup_add(dp, t, t->desc, NULL), 0);
    assert_int_equal(dp->length_count4[0], 1); /* one prefix, not many */
    dp_lookup_remove(dp, t, t->desc);
    assert_int_equal(dp->length_count4[0], 0);
    /* A range that comes to too many prefixes is refused with a reason. */
    t->desc->t.remote.n = 0;
    for (int i = 0; i < DT_SELECTORS_MAX; i++) {
        struct dt_range range = {dt_addr4(0x0a000001u + (uint32_t)i * 0x10000000u),
                                 dt_addr4(0x0bfffffeu + (uint32_t)i * 0x10000000u)};
        struct dt_selector s = dt_selector_range(&range);
        dt_selectors_add(&t->desc->t.remote, &s);
    }
    struct dt_err err = {.text = ""};
    assert_int_equal(dp_lookup_add(dp, t, t->desc, &err), -1);
    assert_non_null(strstr(err.text, "prefixes"));
    free(t->desc);
    free(t);
}

static struct dp_tunnel *owned(int i, uint64_t owner, const char *remote)
{
    struct dp_tunnel *t = calloc(1, sizeof *t);
    struct dt_selector all = dt_selector_all4(), s;
    t->desc = calloc(1, sizeof *t->desc);
    t->id = t->age = (uint64_t)i + 1;
    t->desc->t.owner = owner;
    assert_int_equal(dt_selector_parse(&s, remote), 0);
    dt_selectors_add(&t->desc->t.local, &all);
    dt_selectors_add(&t->desc->t.remote, &s);
    return t;
}

/* 0: it has it now; -1: refused. */
static int claim(int i, uint64_t owner, const char *remote)
{
    struct dp_tunnel *t = owned(i, owner, remote);
    struct dt_err err = {0};
    int rc = dp_lookup_add(dp, t, t->desc, &err);
    if (rc == 0) {
        tunnel[i] = t;
        return 0;
    }
    assert_non_null(strstr(err.text, "another peer"));
    free(t->desc);
    free(t);
    return rc;
}

static uint64_t carrier(uint32_t to)
{
    struct dt_ip ip = {.proto = 6, .ver = 4, .src = dt_addr4(1), .dst = dt_addr4(to)};
    struct dt_tunnel_ports ports = {1, 2, true};
    rcu_read_lock();
    const struct dp_tunnel *t = dp_lookup(dp, &ip, &ports, NULL);
    rcu_read_unlock();
    return t ? t->id : 0;
}

/* No owner gets what is another's: not the same prefix, no part of it, and nothing round it. */
static void a_prefix_is_one_owners(void **state)
{
    assert_int_equal(claim(0, 7, "10.2.0.0/16"), 0);
    assert_int_equal(claim(1, 8, "10.2.0.0/16"), -1);
    assert_int_equal(claim(1, 8, "10.2.0.0/17"), -1);
    assert_int_equal(claim(1, 8, "10.2.9.9/32"), -1);
    assert_int_equal(claim(1, 8, "10.0.0.0/8"), -1);
    assert_int_equal(claim(1, 8, "10.1.255.0-10.2.0.3"), -1);
    assert_int_equal(carrier(0x0a020909), 1);
    assert_int_equal(claim(1, 8, "10.3.0.0/16"), 0);
    assert_int_equal(claim(2, 7, "10.2.128.0/17"), 0); /* the same owner may */
    assert_int_equal(claim(3, 0, "10.2.0.0/24"), 0);   /* and what the administrator configured as a client */
    assert_int_equal(carrier(0x0a020009), 4);
    dp_lookup_remove(dp, tunnel[0], tunnel[0]->desc);
    dp_lookup_remove(dp, tunnel[2], tunnel[2]->desc);
    assert_int_equal(claim(4, 8, "10.2.0.0/16"), 0); /* it was given back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(against_model, open_tables, close_tables),
        cmocka_unit_test_setup_teardown(whole_address_space, open_tables, close_tables),
        cmocka_unit_test_setup_teardown(a_prefix_is_one_owners, open_tables, close_tables),
    };
    return TEST_RUN(tests);
}
