/* bench-policy [TIMES [KIND]]: how long it takes to find the first matching rule, and the plan, with 10, 1,000 and 100,000 rules.
 *
 * Three kinds of rule sets: "sites" looks like what people write (a prefix or two, sometimes protocol and ports),
 * "random" is random in every field, prefixes from /8 to /32 and ranges of ports; "nested" is the same from /0 on, so
 * that every address lies in a dozen prefixes. Each in random order, where early wide rules hide most of what follows,
 * and with the narrow rules first, where nothing is hidden and most rules overlap: the worst that there is. "sites6" is
 * sites in IPv6. Packets: half are drawn from a random rule, half at random. All sizes run interleaved, several rounds;
 * the median is told. "lookup" is with a warm cache, over 4,096 packets; "scattered" over 262,144 packets, no two of
 * them alike, so that the processor's caches help little. There is no cache of flows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/rand.h"
#include "policy/match.h"
#include "policy/plan.h"
#include "median.h"

#define FLOWS     4096
#define ROUNDS    9
#define SCATTERED 262144

static const size_t sizes[] = {10, 1000, 100000};
#define NSIZES DT_ARRAY_LEN(sizes)

struct run {
    struct dt_rules *rules;
    struct dt_match *match;
    struct dt_flow flow[SCATTERED]; /* the first FLOWS of them are the warm ones */
    double build_s, ns[ROUNDS], plan_ns[ROUNDS], cold_ns[ROUNDS], scan_ns;
};

/* Of this thread: what else runs on the machine is not counted. */
static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static struct dt_range prefix(struct dt_rand *r, uint32_t base, unsigned base_len, unsigned len)
{
    uint32_t host =
        base | (uint32_t)((uint64_t)dt_rand_u32(r) & (base_len ? 0xffffffffu >> base_len : 0xffffffffu));
    struct dt_prefix p = {dt_addr4(len ? host & 0xffffffffu << (32 - len) : 0), (uint8_t)len};
    return dt_prefix_range(&p);
}

struct room {
    struct dt_range from, to;
    struct dt_ports sport, dport;
};

static void sites_rule(struct dt_rand *r, struct dt_rule *out, struct room *m)
{
    static const unsigned lens[] = {24, 24, 24, 16, 32, 28};
    static const uint16_t ports[] = {22, 53, 80, 443, 993, 3306, 5432, 8443};
    m->to = prefix(r, 0x0a000000, 8, lens[dt_rand_below(r, DT_ARRAY_LEN(lens))]);
    out->to = (struct dt_addrset){&m->to, 1};
    if (dt_rand_below(r, 4)) {
        m->from = prefix(r, 0xac100000, 12, dt_rand_below(r, 2) ? 16 : 24);
        out->from = (struct dt_addrset){&m->from, 1};
    }
    if (!dt_rand_below(r, 3)) {
        out->nproto = 1;
        out->proto[0] = dt_rand_below(r, 3) ? 6 : 17;
        uint16_t p = ports[dt_rand_below(r, DT_ARRAY_LEN(ports))];
        m->dport = (struct dt_ports){p, p};
        out->ndport = 1;
    }
}

static void random_rule(struct dt_rand *r, struct dt_rule *out, struct room *m, unsigned shortest)
{
    m->from = prefix(r, 0, 0, shortest + (unsigned)dt_rand_below(r, 33 - shortest));
    m->to = prefix(r, 0, 0, shortest + (unsigned)dt_rand_below(r, 33 - shortest));
    out->from = (struct dt_addrset){&m->from, 1};
    out->to = (struct dt_addrset){&m->to, 1};
    if (dt_rand_below(r, 2)) {
        out->nproto = 1;
        out->proto[0] = dt_rand_below(r, 2) ? 6 : 17;
        uint16_t a = (uint16_t)dt_rand_u32(r), b = (uint16_t)dt_rand_u32(r);
        m->dport = a < b ? (struct dt_ports){a, b} : (struct dt_ports){b, a};
        out->ndport = 1;
        if (!dt_rand_below(r, 4)) {
            m->sport = (struct dt_ports){1024, 65535};
            out->nsport = 1;
        }
    }
}

static void random8_rule(struct dt_rand *r, struct dt_rule *out, struct room *m)
{
    random_rule(r, out, m, 8);
}

static void random0_rule(struct dt_rand *r, struct dt_rule *out, struct room *m)
{
    random_rule(r, out, m, 0);
}

static struct dt_range prefix6(struct dt_rand *r, uint64_t base, unsigned base_len, unsigned len)
{
    struct dt_prefix p = {{.ver = 6}, (uint8_t)len};
    uint64_t high = base | dt_rand_u64(r) >> base_len;
    dt_put_be64(p.addr.b, len < 64 ? high & ~(uint64_t)0 << (64 - len) : high);
    if (len > 64)
        dt_put_be64(p.addr.b + 8, dt_rand_u64(r) & ~(uint64_t)0 << (128 - len));
    return dt_prefix_range(&p);
}

static void sites6_rule(struct dt_rand *r, struct dt_rule *out, struct room *m)
{
    static const unsigned lens[] = {64, 64, 64, 48, 128, 56};
    sites_rule(r, out, m);
    m->to = prefix6(r, 0x20010db800000000, 32, lens[dt_rand_below(r, DT_ARRAY_LEN(lens))]);
    m->from = prefix6(r, 0xfd00000000000000, 44, dt_rand_below(r, 2) ? 48 : 64);
}

static const struct kind {
    const char *name;
    void (*rule)(struct dt_rand *r, struct dt_rule *out, struct room *m);
    bool narrow_first;
} kinds[] = {{"sites", sites_rule, false},
             {"sites narrow first", sites_rule, true},
             {"sites6 narrow first", sites6_rule, true},
             {"random", random8_rule, false},
             {"random narrow first", random8_rule, true},
             {"nested", random0_rule, false},
             {"nested narrow first", random0_rule, true}};

/* How narrow a rule is: bits of both prefixes. */
static unsigned narrowness(const struct dt_rule *r)
{
    const struct dt_addrset *s[2] = {&r->from, &r->to};
    unsigned bits = 0;
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; s[i]->n && k < (s[i]->v[0].from.ver == 6 ? 16u : 4u); k++)
            bits += 8u - (unsigned)__builtin_popcount(s[i]->v[0].from.b[k] ^ s[i]->v[0].to.b[k]);
    return bits;
}

static int by_narrowness(const void *a, const void *b)
{
    const struct dt_rule *x = *(struct dt_rule *const *)a, *y = *(struct dt_rule *const *)b;
    unsigned p = narrowness(x), q = narrowness(y);
    return p != q ? (p > q ? -1 : 1) : x->index < y->index ? -1 : x->index > y->index;
}

/* The same rules, narrow ones first. */
static struct dt_rules *narrow_first(struct dt_rules *rs)
{
    const struct dt_rule **v = malloc((rs->n + 1) * sizeof *v);
    struct dt_rules *out = dt_rules_new("bench");
    struct dt_err err;
    for (size_t i = 0; i < rs->n; i++)
        v[i] = &rs->v[i];
    qsort(v, rs->n, sizeof *v, by_narrowness);
    for (size_t i = 0; i < rs->n; i++)
        dt_rules_add(out, v[i], &err);
    free(v);
    dt_rules_unref(rs);
    return out;
}

static struct dt_rules *make_rules(struct dt_rand *r, size_t n, const struct kind *kind)
{
    struct dt_rules *rs = dt_rules_new("bench");
    for (size_t i = 0; i < n; i++) {
        struct room m;
        struct dt_err err;
        /* The gateways stand where no rule leads, so that a plan is one tunnel deep. */
        struct dt_rule rule = {.kind = DT_RULE_TUNNEL,
                               .name = (char *)"r",
                               .sport = &m.sport,
                               .dport = &m.dport,
                               .gateway = dt_addr4(0xc6336401 + (uint32_t)(i % 64)),
                               .line = (unsigned)i + 1};
        kind->rule(r, &rule, &m);
        if (dt_rules_add(rs, &rule, &err)) {
            fprintf(stderr, "bench-policy: %s\n", err.text);
            exit(1);
        }
    }
    return kind->narrow_first ? narrow_first(rs) : rs;
}

static struct dt_addr inside(struct dt_rand *r, const struct dt_addrset *s)
{
    if (s->v[0].from.ver == 6) {
        struct dt_addr x = s->v[0].from;
        for (unsigned i = 0; i < 16; i++)
            x.b[i] |= (uint8_t)dt_rand_u32(r) & (x.b[i] ^ s->v[0].to.b[i]);
        return x;
    }
    uint32_t a = dt_addr4_host(&s->v[0].from), b = dt_addr4_host(&s->v[0].to);
    return dt_addr4(a + (uint32_t)dt_rand_below(r, (uint64_t)b - a + 1));
}

static struct dt_flow make_flow(struct dt_rand *r, const struct dt_rules *rs)
{
    const struct dt_rule *rule = &rs->v[dt_rand_below(r, rs->n)];
    struct dt_flow f = {.src = dt_addr4(dt_rand_u32(r)),
                        .dst = dt_addr4(dt_rand_u32(r)),
                        .proto = 6,
                        .ports = true,
                        .sport = (uint16_t)(1024 + dt_rand_below(r, 60000)),
                        .dport = (uint16_t)dt_rand_u32(r)};
    if (rule->to.n && rule->to.v[0].from.ver == 6)
        for (unsigned i = 0; i < 2; i++) {
            struct dt_range x =
                i ? prefix6(r, 0x20010db800000000, 32, 128) : prefix6(r, 0xfd00000000000000, 44, 128);
            *(i ? &f.dst : &f.src) = x.from;
        }
    if (dt_rand_below(r, 2)) {
        f.src = rule->from.n ? inside(r, &rule->from) : f.src;
        f.dst = rule->to.n ? inside(r, &rule->to) : f.dst;
        if (rule->nproto)
            f.proto = rule->proto[0];
        if (rule->ndport)
            f.dport = (uint16_t)(rule->dport[0].from +
                                 dt_rand_below(r, rule->dport[0].to - rule->dport[0].from + 1u));
    }
    return f;
}

static uint64_t sink;

static double round_lookup(const struct run *r, unsigned times)
{
    double t = now_ns();
    for (unsigned k = 0; k < times; k++)
        for (unsigned i = 0; i < FLOWS; i++)
            sink += dt_match_tunnel(r->match, &r->flow[i]);
    return (now_ns() - t) / (FLOWS * (double)times);
}

static double round_scattered(const struct run *r)
{
    double t = now_ns();
    for (unsigned i = 0; i < SCATTERED; i++)
        sink += dt_match_tunnel(r->match, &r->flow[i]);
    return (now_ns() - t) / SCATTERED;
}

static double round_plan(const struct run *r, unsigned times)
{
    struct dt_plan p;
    double t = now_ns();
    for (unsigned k = 0; k < times; k++)
        for (unsigned i = 0; i < FLOWS; i++) {
            dt_plan_make(&p, r->match, &r->flow[i], NULL);
            sink += p.n;
        }
    return (now_ns() - t) / (FLOWS * (double)times);
}

/* The rules one after the other, on few packets: what the index is compared with. */
static double round_scan(const struct run *r)
{
    unsigned flows = r->rules->n > 1000 ? 16 : FLOWS;
    double t = now_ns();
    for (unsigned i = 0; i < flows; i++)
        for (size_t k = 0; k < r->rules->n; k++)
            if (dt_rule_matches(&r->rules->v[k], &r->flow[i])) {
                sink += k;
                break;
            }
    return (now_ns() - t) / flows;
}

static void line(const char *kind, const char *what, size_t n, double value, const char *unit)
{
    printf("{\"bench\": \"policy\", \"case\": \"%s %s, %zu rules\", \"value\": %.6g, \"unit\": \"%s\"}\n",
           kind, what, n, value, unit);
}

static void report(const char *kind, struct run *r, size_t i, double ns[])
{
    ns[i] = median(r->ns, ROUNDS);
    printf("{\"bench\": \"policy\", \"case\": \"%s lookup, %zu rules\", \"value\": %.1f, \"unit\": \"ns\", "
           "\"peer\": \"rule by rule\", \"peer_value\": %.1f, \"ratio\": %.3f}\n",
           kind, sizes[i], ns[i], r->scan_ns, r->scan_ns / ns[i]);
    line(kind, "lookups a second", sizes[i], 1e9 / ns[i], "1/s");
    line(kind, "scattered", sizes[i], median(r->cold_ns, ROUNDS), "ns");
    line(kind, "plan", sizes[i], median(r->plan_ns, ROUNDS), "ns");
    line(kind, "build", sizes[i], r->build_s * 1e3, "ms");
    line(kind, "memory", sizes[i], (double)dt_match_bytes(r->match), "B");
    uint64_t hit = 0;
    for (unsigned k = 0; k < FLOWS; k++)
        hit += dt_match_tunnel(r->match, &r->flow[k]) != DT_NO_RULE;
    line(kind, "packets that match", sizes[i], (double)hit / FLOWS, "share");
}

static void kind_run(const struct kind *kind, unsigned times)
{
    struct run *r = calloc(NSIZES, sizeof *r);
    struct dt_prng prng;
    dt_prng_seed(&prng, 3);
    struct dt_rand rand = dt_prng_rand(&prng);
    for (size_t i = 0; r && i < NSIZES; i++) {
        struct dt_err err = {0};
        r[i].rules = make_rules(&rand, sizes[i], kind);
        double t = now_ns();
        r[i].match = dt_match_new(r[i].rules, &err);
        r[i].build_s = (now_ns() - t) / 1e9;
        if (!r[i].match) {
            fprintf(stderr, "bench-policy: %s\n", err.text);
            exit(1);
        }
        for (unsigned k = 0; k < SCATTERED; k++)
            r[i].flow[k] = make_flow(&rand, r[i].rules);
        r[i].scan_ns = round_scan(&r[i]);
    }
    for (unsigned k = 0; r && k < ROUNDS; k++)
        for (size_t i = 0; i < NSIZES; i++) {
            r[i].cold_ns[k] = round_scattered(&r[i]);
            round_lookup(&r[i], 1);
            r[i].ns[k] = round_lookup(&r[i], times);
            r[i].plan_ns[k] = round_plan(&r[i], times);
        }
    double ns[NSIZES] = {0};
    for (size_t i = 0; r && i < NSIZES; i++)
        report(kind->name, &r[i], i, ns);
    printf("{\"bench\": \"policy\", \"case\": \"%s lookup, 100000 rules against 1000\", \"value\": %.2f, "
           "\"unit\": \"times\"}\n",
           kind->name, ns[2] / ns[1]);
    for (size_t i = 0; r && i < NSIZES; i++) {
        dt_match_free(r[i].match);
        dt_rules_unref(r[i].rules);
    }
    free(r);
}

int main(int argc, char **argv)
{
    unsigned times = argc > 1 ? (unsigned)atoi(argv[1]) : 40;
    for (size_t i = 0; i < DT_ARRAY_LEN(kinds); i++) {
        if (argc > 2 && strcmp(argv[2], kinds[i].name) != 0)
            continue;
        kind_run(&kinds[i], times ? times : 1);
        fflush(stdout);
    }
    return sink == 1;
}
