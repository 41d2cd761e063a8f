/* Random rules and packets out of small universes, so that they meet. */
#ifndef DT_TEST_POLICY_GEN_H
#define DT_TEST_POLICY_GEN_H

#include "base/bytes.h"
#include "base/rand.h"
#include "policy/match.h"
#include "support/test.h"

struct gen {
    struct dt_prng prng;
    struct dt_rand r;
    unsigned hosts; /* addresses of each version that packets use */
};

static inline void gen_init(struct gen *g, uint64_t seed)
{
    dt_prng_seed(&g->prng, seed);
    g->r = dt_prng_rand(&g->prng);
    g->hosts = 64;
}

static inline uint64_t gen_below(struct gen *g, uint64_t n)
{
    return dt_rand_below(&g->r, n);
}

/* Host k of a version. They are spread, so that prefixes of every length and both halves of IPv6 tell them
 * apart; the first and the last are the ends of the address space. */
static inline struct dt_addr gen_host(const struct gen *g, bool v6, unsigned k)
{
    struct dt_addr a = {.ver = v6 ? 6 : 4};
    if (k == g->hosts - 1) {
        memset(a.b, 0xff, v6 ? 16 : 4);
        return a;
    }
    if (!k)
        return a;
    uint64_t x = (k % 8) | (uint64_t)(k / 8) << 29;
    if (v6) {
        dt_put_be64(a.b, k & 1 ? 0x20010db800000000u : 0x20010db800000000u + (k / 8));
        dt_put_be64(a.b + 8, x);
    } else {
        dt_put_be32(a.b, (uint32_t)x);
    }
    return a;
}

static inline struct dt_range gen_range(struct gen *g, bool v6)
{
    struct dt_addr a = gen_host(g, v6, (unsigned)gen_below(g, g->hosts));
    unsigned bits = v6 ? 128 : 32;
    switch (gen_below(g, 4)) {
    case 0:
        return (struct dt_range){a, a};
    case 1: {
        struct dt_addr b = gen_host(g, v6, (unsigned)gen_below(g, g->hosts));
        return dt_addr_cmp(&a, &b) < 0 ? (struct dt_range){a, b} : (struct dt_range){b, a};
    }
    default: {
        struct dt_prefix p = {a, (uint8_t)gen_below(g, bits + 1)};
        for (unsigned i = p.len; i < bits; i++)
            p.addr.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
        return dt_prefix_range(&p);
    }
    }
}

static inline uint8_t gen_proto(struct gen *g)
{
    static const uint8_t protos[] = {6, 17, 50, 1};
    return protos[gen_below(g, DT_ARRAY_LEN(protos))];
}

static inline uint16_t gen_port(struct gen *g)
{
    static const uint16_t ports[] = {0, 1, 53, 80, 443, 8080, 65534, 65535};
    return ports[gen_below(g, DT_ARRAY_LEN(ports))];
}

static inline struct dt_ports gen_ports(struct gen *g)
{
    uint16_t a = gen_port(g), b = gen_below(g, 2) ? gen_port(g) : a;
    return a < b ? (struct dt_ports){a, b} : (struct dt_ports){b, a};
}

struct gen_rule {
    struct dt_rule r;
    struct dt_range from[12], to[12];
    struct dt_ports sport[4], dport[4];
};

static inline size_t gen_set(struct gen *g, struct dt_range *v, size_t cap)
{
    size_t n = gen_below(g, 3) ? gen_below(g, 8) ? gen_below(g, 2) : gen_below(g, cap + 1) : 0;
    for (size_t i = 0; i < n; i++)
        v[i] = gen_range(g, gen_below(g, 3) == 0);
    return n;
}

/* gateways: how many hosts (from 1) serve as such. */
static inline void gen_rule(struct gen *g, struct gen_rule *out, unsigned line, unsigned gateways)
{
    struct dt_rule *r = &out->r;
    *r = (struct dt_rule){.line = line, .name = (char *)"r", .sport = out->sport, .dport = out->dport};
    unsigned kind = (unsigned)gen_below(g, 8);
    r->kind = kind < 2 ? DT_RULE_TRANSPORT : kind == 2 ? DT_RULE_PASS : DT_RULE_TUNNEL;
    if (r->kind == DT_RULE_TUNNEL)
        r->gateway = gen_host(g, gen_below(g, 6) == 0, 1 + (unsigned)gen_below(g, gateways));
    r->from = (struct dt_addrset){out->from, gen_set(g, out->from, DT_ARRAY_LEN(out->from))};
    r->to = (struct dt_addrset){out->to, gen_set(g, out->to, DT_ARRAY_LEN(out->to))};
    for (size_t n = gen_below(g, 2) ? 0 : gen_below(g, 3); r->nproto < n;)
        r->proto[r->nproto++] = gen_proto(g);
    if (gen_below(g, 3) == 0)
        for (size_t n = gen_below(g, 4); r->nsport < n;)
            out->sport[r->nsport++] = gen_ports(g);
    if (gen_below(g, 3) == 0)
        for (size_t n = gen_below(g, 4); r->ndport < n;)
            out->dport[r->ndport++] = gen_ports(g);
}

static inline struct dt_rules *gen_rules(struct gen *g, size_t n, unsigned gateways)
{
    struct dt_rules *rs = dt_rules_new("gen.conf");
    assert_non_null(rs);
    for (size_t i = 0; i < n; i++) {
        struct gen_rule r;
        struct dt_err err = {0};
        gen_rule(g, &r, (unsigned)i + 1, gateways);
        if (dt_rules_add(rs, &r.r, &err))
            fail_msg("%s", err.text);
    }
    return rs;
}

static inline struct dt_flow gen_flow(struct gen *g)
{
    bool v6 = gen_below(g, 4) == 0;
    struct dt_flow f = {.src = gen_host(g, v6, (unsigned)gen_below(g, g->hosts)),
                        .dst = gen_host(g, v6, (unsigned)gen_below(g, g->hosts)),
                        .proto = gen_below(g, 16) ? gen_proto(g) : 0};
    if ((f.proto == 6 || f.proto == 17) && gen_below(g, 8)) {
        f.ports = true;
        f.sport = gen_port(g);
        f.dport = gen_port(g);
    }
    return f;
}

/* The reading that cannot be wrong: one rule after the other. */
static inline uint32_t gen_first(const struct dt_rules *rs, const struct dt_flow *f, bool transport)
{
    for (size_t i = 0; i < rs->n; i++)
        if ((rs->v[i].kind == DT_RULE_TRANSPORT) == transport && dt_rule_matches(&rs->v[i], f))
            return (uint32_t)i;
    return DT_NO_RULE;
}

#endif
