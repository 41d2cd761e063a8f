#include "masq/kern_rig.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/bytes.h"
#include "masq/packets.h"
#include "masq/tables.h"

#define TC_OK       (-1) /* TC_ACT_UNSPEC: filters behind ours look at it, too */
#define TC_SHOT     2
#define TC_REDIRECT 7

static int sh(const char *cmd)
{
    char line[1024];
    snprintf(line, sizeof(line), "%s >/dev/null 2>&1", cmd);
    return system(line);
}

static void mac_of(const char *ifname, uint8_t mac[6])
{
    char path[128];
    unsigned b[6] = {0};
    snprintf(path, sizeof(path), "ip -o link show %s | sed 's/.*ether //'", ifname);
    FILE *f = popen(path, "r");
    if (f && fscanf(f, "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
        b[0] = 0;
    if (f)
        pclose(f);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
}

static void configure(struct rig *rig, const struct dt_masq_config *c)
{
    dt_kernel_configure(((struct kern_rig *)rig->ctx)->k, &c->params);
}

static void start(struct rig *rig, const struct dt_masq_config *c)
{
    struct kern_rig *r = rig->ctx;
    if (memcmp(&r->sizes, &c->sizes, sizeof(c->sizes))) { /* other tables: another program */
        struct dt_err err;
        struct dt_kernel_opts o = {.sizes = c->sizes};
        dt_kernel_close(r->k);
        r->k = dt_kernel_open(&o, &err);
        if (!r->k)
            fail_msg("%s", err.text);
        dt_kernel_setup(r->k)->outside = r->outside;
        dt_kernel_setup(r->k)->clock = DT_SEC;
        r->sizes = c->sizes;
    }
    dt_kernel_flush(r->k);
    configure(rig, c);
}

static void sweep(struct rig *rig, dt_time now)
{
    struct kern_rig *r = rig->ctx;
    dt_kernel_setup(r->k)->clock = now;
    dt_kernel_sweep(r->k, now);
}

int kern_rig_frame(struct kern_rig *r, dt_time now, enum dt_masq_side side, const void *frame, size_t len)
{
    uint8_t in[PACKET_MAX];
    memcpy(in, frame, len);
    memcpy(in, r->mac[side == DT_MASQ_INSIDE ? DT_MASQ_INSIDE : DT_MASQ_OUTSIDE], 6);
    if (now)
        dt_kernel_setup(r->k)->clock = now;
    struct nat_last *last = (struct nat_last *)(uintptr_t)dt_kernel_last(r->k);
    *last = (struct nat_last){.verdict = DT_MASQ_PASS, .rule = DT_MASQ_RULE_PASS};
    struct __sk_buff ctx = {.ingress_ifindex = side == DT_MASQ_INSIDE ? r->inside : r->outside,
                            .ifindex = side == DT_MASQ_INSIDE ? r->inside : r->outside};
    ctx.ingress_ifindex = 0; /* only ifindex may be given */
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = (__u32)len, .data_out = r->out,
                .data_size_out = sizeof(r->out), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
    int fd = dt_kernel_prog_fd(r->k, side == DT_MASQ_INSIDE    ? DT_KERNEL_INSIDE
                                     : side == DT_MASQ_OUTSIDE ? DT_KERNEL_OUTSIDE
                                                               : DT_KERNEL_EGRESS);
    if (bpf_prog_test_run_opts(fd, &opts))
        return KERN_RIG_FAILED;
    r->out_len = opts.data_size_out;
    r->ret = (int)opts.retval;
    return r->ret;
}

/* Does the frame that came out say what the verdict says? */
static void check_out(struct kern_rig *r, const uint8_t *in, const struct dt_masq_facts *f,
                      const struct dt_masq_verdict *v)
{
    const uint8_t *ip = r->out + 14;
    const char *bad = NULL;
    if (v->verdict == DT_MASQ_PASS && (r->ret != TC_OK || memcmp(in + 14, ip, r->out_len - 14)))
        bad = "passed, but touched";
    else if (v->verdict == DT_MASQ_DROP && r->ret != TC_SHOT)
        bad = "dropped, but not by TC_ACT_SHOT";
    else if (v->verdict == DT_MASQ_FORWARD && r->ret != TC_REDIRECT)
        bad = "forwarded, but not redirected";
    if (!bad && v->verdict == DT_MASQ_FORWARD) {
        uint32_t src = f->side == DT_MASQ_INSIDE ? v->nat : f->src;
        uint32_t dst = f->side == DT_MASQ_INSIDE ? f->dst : v->to[0];
        bad = packet_checksums(r->out, r->out_len);
        if (!bad && (dt_get_be32(ip + 12) != src || dt_get_be32(ip + 16) != dst))
            bad = "other addresses than the verdict's";
        else if (!bad && ip[8] != in[14 + 8] - 1)
            bad = "TTL";
        else if (!bad && !(f->flags & DT_MASQ_F_QUOTE) && memcmp(in + 14 + 20, ip + 20, 6))
            bad = "ports or SPI changed";
        else if (!bad && !(f->flags & DT_MASQ_F_QUOTE) && r->out_len > 14 + 28 &&
                 memcmp(in + 14 + 28, ip + 28, r->out_len - 14 - 28))
            bad = "payload changed";
        else if (!bad && f->flags & DT_MASQ_F_QUOTE &&
                 (dt_get_be32(ip + 28 + 12) != (f->side == DT_MASQ_OUTSIDE ? v->to[0] : f->qsrc) ||
                  dt_get_be32(ip + 28 + 16) != (f->side == DT_MASQ_OUTSIDE ? f->qdst : v->nat)))
            bad = "other addresses in the quote";
    }
    if (bad && !r->sum_errors++)
        snprintf(r->wrong, sizeof(r->wrong), "%s (rule %s)", bad, dt_masq_rule_name(v->rule));
}

static void packet(struct rig *rig, dt_time now, const struct dt_masq_facts *f, struct dt_masq_verdict *v)
{
    struct kern_rig *r = rig->ctx;
    uint8_t in[PACKET_MAX];
    size_t len = packet_build(in, f);
    memcpy(in, r->mac[f->side == DT_MASQ_INSIDE ? DT_MASQ_INSIDE : DT_MASQ_OUTSIDE], 6);
    if (kern_rig_frame(r, now, f->side, in, len) == KERN_RIG_FAILED)
        fail_msg("BPF_PROG_TEST_RUN: %s", strerror(errno));
    const struct nat_last *last = dt_kernel_last(r->k);
    *v = (struct dt_masq_verdict){.verdict = last->verdict, .rule = last->rule};
    if (last->verdict == DT_MASQ_FORWARD) {
        v->n = 1;
        v->to[0] = last->to;
        v->nat = f->side == DT_MASQ_INSIDE ? last->nat : 0;
    } else if (last->verdict == DT_MASQ_MULTICAST) {
        static struct {
            struct mq_peer_list list;
            uint32_t pad; /* the kernel rounds each processor's value up to eight bytes */
        } all[256];
        uint32_t zero = 0;
        unsigned cpu = 0;
        getcpu(&cpu, NULL);
        v->n = last->n;
        if (r->cpus <= 256 && !bpf_map_lookup_elem(dt_kernel_peers_fd(r->k), &zero, all))
            memcpy(v->to, all[cpu].list.client, v->n * sizeof(v->to[0]));
    }
    check_out(r, in, f, v);
}

const char *kern_rig_open(struct kern_rig *r)
{
    *r = (struct kern_rig){.rig = {.name = "kernel",
                                   .start = start,
                                   .packet = packet,
                                   .configure = configure,
                                   .sweep = sweep,
                                   .base = 1000 * DT_SEC}};
    r->rig.ctx = r;
    if (geteuid())
        return "root, to load a BPF program";
    if (unshare(CLONE_NEWNET))
        return "a network namespace of its own (unshare)";
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one); /* per-processor maps are read where they were written */
    FILE *cpus = fopen("/sys/devices/system/cpu/possible", "r");
    int last_cpu = 0;
    if (!cpus || fscanf(cpus, "0-%d", &last_cpu) < 1)
        last_cpu = 0;
    if (cpus)
        fclose(cpus);
    r->cpus = last_cpu + 1;
    if (sh("ip link set lo up && ip link add dtin type veth peer name dtin2 &&"
           " ip link add dtout type veth peer name dtout2 && ip link set dtin up && ip link set dtin2 up &&"
           " ip link set dtout up && ip link set dtout2 up && ip addr add 10.0.255.254/16 dev dtin &&"
           " ip addr add 203.0.113.5/24 dev dtout && ip addr add 203.0.113.6/24 dev dtout &&"
           " ip route add default via 203.0.113.1 &&"
           " ip neigh add 203.0.113.1 lladdr 02:00:00:00:00:01 dev dtout nud permanent &&"
           " for i in $(seq 1 1023); do echo neigh add 10.0.$((i / 256)).$((i % 256)) lladdr "
           "02:00:00:00:01:02"
           " dev dtin nud permanent; done | ip -batch - &&"
           " sysctl -qw net.ipv4.ip_forward=1"))
        return "veth interfaces";
    r->inside = if_nametoindex("dtin");
    r->outside = if_nametoindex("dtout");
    mac_of("dtin", r->mac[DT_MASQ_INSIDE]);
    mac_of("dtout", r->mac[DT_MASQ_OUTSIDE]);
    struct dt_masq_config c = rig_config();
    struct dt_kernel_opts o = {.sizes = c.sizes};
    static struct dt_err err;
    r->k = dt_kernel_open(&o, &err);
    if (!r->k)
        return err.text;
    r->sizes = c.sizes;
    dt_kernel_setup(r->k)->outside = r->outside;
    dt_kernel_setup(r->k)->clock = DT_SEC;
    return NULL;
}

void kern_rig_close(struct kern_rig *r)
{
    dt_kernel_close(r->k);
    r->k = NULL;
}
