/* Processors at once: two threads send to the same few items while lifetimes of milliseconds run out and the sweeper
 * sweeps. Afterwards nothing may be left behind: no half of an item, no share that was not given back. */
#include "masq/kern_rig.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/bytes.h"
#include "base/rand.h"
#include "masq/packets.h"
#include "masq/tables.h"

#define PACKETS 60000

static struct kern_rig rig;
static const char *missing;

struct sender {
    pthread_t thread;
    uint64_t seed;
    int cpu;
    uint32_t clients, servers;
    unsigned redirected, dropped, other;
};

static struct dt_masq_facts any_packet(const struct dt_rand *rnd, uint32_t clients, uint32_t servers)
{
    uint32_t c = C1 + (uint32_t)dt_rand_below(rnd, clients), s = S1 + (uint32_t)dt_rand_below(rnd, servers);
    uint32_t spi = 0x1000 + (uint32_t)dt_rand_below(rnd, 4);
    uint64_t ic = 1 + dt_rand_below(rnd, 3), rc = dt_rand_below(rnd, 3);
    struct dt_masq_facts f;
    switch (dt_rand_below(rnd, 6)) {
    case 0:
    case 1:
        f = dt_masq_esp_out(c, s, spi);
        break;
    case 2:
    case 3:
        f = dt_masq_esp_in(s, OUT, spi);
        break;
    case 4:
        f = dt_masq_ike_out(c, s, ic, rc);
        break;
    default:
        f = dt_masq_ike_in(s, OUT, ic, rc);
    }
    f.ip_id = (uint16_t)dt_rand_below(rnd, 4);
    if (!dt_rand_below(rnd, 10))
        f.flags = DT_MASQ_F_MORE;
    return f;
}

static void *send_all(void *arg)
{
    struct sender *s = arg;
    struct dt_prng p;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(s->cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
    dt_prng_seed(&p, s->seed);
    struct dt_rand rnd = dt_prng_rand(&p);
    for (int i = 0; i < PACKETS; i++) {
        uint8_t in[PACKET_MAX];
        struct dt_masq_facts f = any_packet(&rnd, s->clients, s->servers);
        size_t len = packet_build(in, &f);
        memcpy(in, rig.mac[f.side], 6);
        struct __sk_buff ctx = {.ifindex = f.side == DT_MASQ_INSIDE ? rig.inside : rig.outside};
        LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in, .data_size_in = (__u32)len, .ctx_in = &ctx,
                    .ctx_size_in = sizeof(ctx), .repeat = 1);
        bpf_prog_test_run_opts(
            dt_kernel_prog_fd(rig.k, f.side == DT_MASQ_INSIDE ? DT_KERNEL_INSIDE : DT_KERNEL_OUTSIDE), &o);
        s->redirected += o.retval == 7;
        s->dropped += o.retval == 2;
        /* from outside, what is of no client is left to the stack (TC_ACT_UNSPEC) */
        s->other += o.retval != 7 && o.retval != 2 && !((int)o.retval == -1 && f.side == DT_MASQ_OUTSIDE);
    }
    return NULL;
}

static void run_race(struct dt_masq_config c, uint64_t seed, uint32_t clients, uint32_t servers)
{
    c.params.t_out = c.params.t_ike_out = DT_MSEC;
    c.params.t_ei = c.params.t_ike = 3 * DT_MSEC;
    c.params.t_frag = 2 * DT_MSEC;
    c.params.share_esp = c.params.share_ike = 6;
    c.params.multicast = 0;
    rig.rig.start(&rig.rig, &c);
    dt_kernel_setup(rig.k)->clock = 0; /* the real one */
    struct sender s[2] = {{.seed = seed, .clients = clients, .servers = servers},
                          {.seed = seed + 1, .clients = clients, .servers = servers}};
    s[1].cpu = rig.cpus > 1;
    for (int i = 0; i < 2; i++)
        pthread_create(&s[i].thread, NULL, send_all, &s[i]);
    for (int i = 0; i < 200; i++) {
        usleep(2000);
        dt_kernel_sweep(rig.k, dt_kernel_now());
    }
    for (int i = 0; i < 2; i++)
        pthread_join(s[i].thread, NULL);
    printf("# %u packets went, %u were dropped\n", s[0].redirected + s[1].redirected,
           s[0].dropped + s[1].dropped);
    assert_int_equal(s[0].other + s[1].other, 0);
    assert_true(s[0].redirected > 1000 && s[0].dropped > 1000);
    for (int i = 0; i < 3; i++)
        rig.rig.sweep(&rig.rig, dt_kernel_now() + (100 + 20 * (unsigned)i) * DT_SEC);
    static const char *const name[] = {
#define X(n, id) #n,
        MQ_TABLES(X)
#undef X
    };
    for (unsigned t = 0; t < MQ_TABLE_COUNT; t++)
        if (dt_kernel_entries(rig.k, t))
            fail_msg("%zu entries are left in %s", dt_kernel_entries(rig.k, t), name[t]);
}

static void nothing_left_behind(void **state)
{
    if (missing) {
        print_message("needs %s\n", missing);
        skip();
    }
    run_race(rig_config(), test_seed("nothing_left_behind"), 4, 2);
}

/* Small tables: entries give way at every moment, while the other processor has them in hand. */
static void nothing_left_of_who_gave_way(void **state)
{
    if (missing) {
        print_message("needs %s\n", missing);
        skip();
    }
    struct dt_masq_config c = rig_config();
    c.sizes = (struct dt_masq_sizes){.esp = 64, .ike = 16, .clients = 8, .servers = 8, .frags = 16};
    run_race(c, test_seed("nothing_left_of_who_gave_way"), 12, 12);
    uint64_t yielded = dt_kernel_count(rig.k, DT_MASQ_RULE_COUNT + NAT_YIELDED);
    printf("# %llu entries gave way\n", (unsigned long long)yielded);
    assert_true(yielded > 1000);
}

int main(void)
{
    missing = kern_rig_open(&rig);
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_left_behind),
                                       cmocka_unit_test(nothing_left_of_who_gave_way)};
    int failed = TEST_RUN(tests);
    kern_rig_close(&rig);
    return failed;
}
