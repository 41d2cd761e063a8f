/* The same random packets through the program in the kernel and through the rules in user space: no verdict, rule,
 * addressee or source may differ. As many sequences as fit into the time (DT_DIFF_SECONDS, 30 by default). */
#include "masq/kern_rig.h"

#include "base/bytes.h"
#include "base/rand.h"

static struct kern_rig rig;
static const char *missing;

enum { SEQUENCE = 2000 };

static struct dt_masq_facts any_packet(const struct dt_rand *rnd, unsigned n_out)
{
    uint32_t c = dt_rand_below(rnd, 60) ? C1 + (uint32_t)dt_rand_below(rnd, 5) : OUT;
    uint32_t s = S1 + (uint32_t)dt_rand_below(rnd, 3);
    uint32_t spi =
        dt_rand_below(rnd, 80) ? 0x1000 + (uint32_t)dt_rand_below(rnd, 8) : (uint32_t)dt_rand_below(rnd, 300);
    uint64_t ic = dt_rand_below(rnd, 50) ? 1 + dt_rand_below(rnd, 6) : 0, rc = dt_rand_below(rnd, 4);
    uint32_t to = dt_rand_below(rnd, n_out) ? OUT2 : OUT;
    struct dt_masq_facts f;
    switch (dt_rand_below(rnd, 5)) {
    case 0:
        f = dt_masq_esp_out(c, s, spi);
        break;
    case 1:
    case 2:
        f = dt_masq_esp_in(s, to, spi);
        break;
    case 3:
        f = dt_masq_ike_out(c, s, ic, rc);
        break;
    default:
        f = dt_masq_ike_in(s, to, ic, rc);
    }
    if (f.side == DT_MASQ_INSIDE && !dt_rand_below(rnd, 4)) { /* the router's own */
        f.side = DT_MASQ_ROUTER;
        f.src = to;
    }
    f.ip_id = (uint16_t)dt_rand_below(rnd, 6);
    uint64_t kind = dt_rand_below(rnd, 16);
    if (kind == 0) { /* a first fragment */
        f.flags = DT_MASQ_F_MORE;
        f.len = 400;
    } else if (kind == 1) { /* a later one */
        f.frag_off = (uint16_t)(8 * (1 + dt_rand_below(rnd, 100)));
        f.flags = dt_rand_below(rnd, 2) ? DT_MASQ_F_MORE : 0;
        f.spi = 0;
        f.icookie = f.rcookie = 0;
    } else if (kind == 2 &&
               f.side != DT_MASQ_ROUTER) { /* an ICMP error about such a packet from the other side */
        struct dt_masq_facts q = f;
        q.qsrc = f.side == DT_MASQ_INSIDE ? to : s;
        q.qdst = f.side == DT_MASQ_INSIDE ? s : c;
        q.src = f.side == DT_MASQ_INSIDE ? 0xc6336401u : c;
        q.dst = q.qsrc;
        q.side = f.side == DT_MASQ_INSIDE ? DT_MASQ_OUTSIDE : DT_MASQ_INSIDE;
        q.flags = DT_MASQ_F_QUOTE;
        if (q.proto == 17 && !dt_rand_below(rnd, 3)) {
            q.flags |= DT_MASQ_F_NO_COOKIES;
            q.icookie = q.rcookie = 0;
        }
        q.len = 0;
        return q;
    } else if (kind == 3 && !dt_rand_below(rnd, 4)) {
        f.flags = DT_MASQ_F_TRUNCATED;
        f.len = f.proto == 50 ? 4 : 20;
    }
    return f;
}

static struct dt_masq_config any_config(const struct dt_rand *rnd)
{
    struct dt_masq_config c = rig_config();
    struct dt_masq_params *p = &c.params;
    p->n_out = (uint32_t)dt_rand_below(rnd, 4);
    p->share_esp = dt_rand_below(rnd, 3) ? 1000 : 3;
    p->share_ike = dt_rand_below(rnd, 3) ? 1000 : 3;
    p->share_frag = dt_rand_below(rnd, 2) ? 64 : 2;
    p->require_ike = !dt_rand_below(rnd, 4);
    p->multicast = dt_rand_below(rnd, 5) != 0;
    p->multicast_burst = 1 + (uint32_t)dt_rand_below(rnd, 5);
    p->multicast_interval = dt_rand_below(rnd, 2) ? DT_SEC : DT_MSEC;
    p->multicast_cap = 1 + (uint32_t)dt_rand_below(rnd, 5);
    p->t_ike = dt_rand_below(rnd, 2) ? 600 * DT_SEC : 20 * DT_SEC;
    p->n_outside = 2;
    p->outside[1] = OUT2;
    /* so that entries give way */
    c.sizes = (struct dt_masq_sizes){.esp = 256, .ike = 128, .clients = 64, .servers = 64, .frags = 64};
    return c;
}

static dt_time step(const struct dt_rand *rnd)
{
    switch (dt_rand_below(rnd, 12)) {
    case 0:
        return 0;
    case 1:
        return DT_SEC; /* so that timers are met exactly */
    case 2:
        return 5 * DT_SEC;
    case 3:
        return dt_rand_below(rnd, 12) ? 1 : 60 * DT_SEC;
    default:
        return dt_rand_below(rnd, 300 * DT_MSEC);
    }
}

static void compare(uint64_t seed, int i, const struct dt_masq_facts *f, const struct dt_masq_verdict *a,
                    const struct dt_masq_verdict *b)
{
    bool same = a->verdict == b->verdict && a->rule == b->rule && a->n == b->n && a->nat == b->nat &&
                !memcmp(a->to, b->to, a->n * sizeof(a->to[0]));
    if (!same)
        fail_msg("sequence %#llx, packet %d (side %u proto %u %08x > %08x spi %x flags %u off %u): kernel %s "
                 "by %s to "
                 "%u (%08x), user space %s by %s to %u (%08x)",
                 (unsigned long long)seed, i, f->side, f->proto, f->src, f->dst, f->spi, f->flags,
                 f->frag_off, dt_masq_verdict_name(a->verdict), dt_masq_rule_name(a->rule), a->n,
                 a->n ? a->to[0] : 0, dt_masq_verdict_name(b->verdict), dt_masq_rule_name(b->rule), b->n,
                 b->n ? b->to[0] : 0);
}

/* Any client, any server; cookies that most of them share. */
static void forge(const struct dt_rand *rnd, struct dt_masq_facts *f)
{
    uint32_t server = dt_rand_below(rnd, 2) ? S1 : S1 + (uint32_t)dt_rand_below(rnd, 200);
    if (f->side == DT_MASQ_INSIDE)
        f->src = C1 + (uint32_t)dt_rand_below(rnd, 200);
    *(f->side == DT_MASQ_OUTSIDE ? &f->src : &f->dst) = server;
    if (f->icookie)
        f->icookie = 1 + dt_rand_below(rnd, 300);
}

static void one_sequence(uint64_t seed)
{
    struct dt_prng p;
    dt_prng_seed(&p, seed);
    struct dt_rand rnd = dt_prng_rand(&p);
    struct dt_masq_config c = any_config(&rnd);
    rig.rig.start(&rig.rig, &c);
    struct dt_masq *m = dt_masq_new(&c);
    dt_time now = 1000 * DT_SEC;
    bool flood = !dt_rand_below(&rnd, 3); /* of forged inside sources, some of which somebody answers */
    for (int i = 0; i < SEQUENCE; i++) {
        now += flood ? step(&rnd) / 64 : step(&rnd);
        struct dt_masq_facts f = any_packet(&rnd, 3);
        if (flood && !(f.flags & DT_MASQ_F_QUOTE) && dt_rand_below(&rnd, 2))
            forge(&rnd, &f);
        struct dt_masq_verdict a, b;
        rig.rig.packet(&rig.rig, now, &f, &a);
        dt_masq_packet(m, now, &f, &b);
        compare(seed, i, &f, &a, &b);
        if (i % 100 ==
            0) { /* what has expired is forgotten on both sides at the same time: shares are equal again */
            rig.rig.sweep(&rig.rig, now);
            dt_masq_tick(m, now);
        }
    }
    dt_masq_free(m);
    if (rig.sum_errors)
        fail_msg("sequence %#llx: %d packets came out wrong; the first: %s", (unsigned long long)seed,
                 rig.sum_errors, rig.wrong);
}

static double seconds(void)
{
    return dt_time_seconds(dt_kernel_now());
}

static void no_different_verdict(void **state)
{
    if (missing) {
        print_message("needs %s\n", missing);
        skip();
    }
    const char *s = getenv("DT_DIFF_SECONDS");
    double until = seconds() + (s ? atof(s) : 30);
    uint64_t seed = test_seed("no_different_verdict"), n = 0;
    do
        one_sequence(seed + n++);
    while (seconds() < until);
    uint64_t yielded = dt_kernel_count(rig.k, DT_MASQ_RULE_COUNT + NAT_YIELDED);
    printf("# %llu packets in %llu sequences, no different verdict; %llu entries gave way\n",
           (unsigned long long)(n * SEQUENCE), (unsigned long long)n, (unsigned long long)yielded);
    assert_true(yielded > n || n < 20);
}

int main(void)
{
    missing = kern_rig_open(&rig);
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_different_verdict)};
    int failed = TEST_RUN(tests);
    kern_rig_close(&rig);
    return failed;
}
