/* The NAT in the kernel: TC programs for the inside and the outside interface. Each parses, asks the rules (rules.h,
 * the same source as user space), rewrites addresses, and sends the packet out of the other interface itself, so that
 * neither connection tracking nor masquerade ever sees it. What only the kernel can do (ICMP errors for a TTL or MTU
 * that is too small, fragmenting, resolving a neighbour) is left to the kernel. Everything else passes untouched.
 *
 * Needs Linux 5.15: only stable interfaces (struct __sk_buff, helpers), no field of a kernel struct. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __s32 int32_t;
typedef __u64 uint64_t;

#include "masq/kern/shared.h"
#include "masq/tables.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* ---- tables (their sizes are set before they are made) --------------------------------------- */

#define X(name, id)                                                                                          \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_HASH);                                                                     \
        __uint(max_entries, 1024);                                                                           \
        __type(key, struct mq_##name##_key);                                                                 \
        __type(value, struct mq_##name);                                                                     \
    } t_##name SEC(".maps");
MQ_HASHES(X)
#undef X

/* Of established ESP items only those for which there is no room in the slots; memory as it is needed. */
#define X(name)                                                                                              \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_HASH);                                                                     \
        __uint(map_flags, BPF_F_NO_PREALLOC);                                                                \
        __uint(max_entries, 1024);                                                                           \
        __type(key, struct mq_##name##_key);                                                                 \
        __type(value, struct mq_##name);                                                                     \
    } t_##name SEC(".maps");
X(esp)
X(esp_in)
#undef X

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, DT_MASQ_RULE_COUNT + NAT_COUNTERS);
    __type(key, uint32_t);
    __type(value, uint64_t);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 18);
} events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct mq_peer_list);
} scratch SEC(".maps");

/* The last routes of this processor, by destination; believed for a second. */
struct hop {
    uint64_t until;
    uint32_t dst, gen, ifindex;
    uint16_t mtu;
    uint8_t kind; /* enum hop_kind */
    uint8_t pad;
    uint8_t mac[12]; /* destination, source */
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, NAT_HOPS);
    __type(key, uint32_t);
    __type(value, struct hop);
} hops SEC(".maps");

/* The queues of queue.h: how many turns each has given, and the places of all, one behind the other. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MQ_QUEUE_COUNT);
    __type(key, uint32_t);
    __type(value, uint64_t);
} turns SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, union mq_place);
} places SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct mq_yields);
} yields SEC(".maps");
const volatile uint32_t queue_room[MQ_QUEUE_MASK + 1], queue_first[MQ_QUEUE_MASK + 1];

struct nat_setup setup;
struct dt_masq_params params;
struct nat_last last;
const volatile uint8_t zero_server[sizeof(struct mq_server)] __attribute__((aligned(8)));

/* ---- what the rules want --------------------------------------------------------------------- */

struct mq;
#define X(name, id)                                                                                          \
    static __always_inline struct mq_##name *lookup_##name(const struct mq_##name##_key *k)                  \
    {                                                                                                        \
        return bpf_map_lookup_elem(&t_##name, k);                                                            \
    }                                                                                                        \
    static __always_inline long insert_##name(const struct mq_##name##_key *k, const struct mq_##name *v)    \
    {                                                                                                        \
        return bpf_map_update_elem(&t_##name, k, v, BPF_NOEXIST);                                            \
    }                                                                                                        \
    static __always_inline long delete_##name(const struct mq_##name##_key *k)                               \
    {                                                                                                        \
        return bpf_map_delete_elem(&t_##name, k);                                                            \
    }
MQ_HASHES(X)
#undef X

#define MQ_EXISTS                     (-17)
#define MQ_NOROOM                     (-7)
#define MQ_LOOKUP(m, table, key)      lookup_##table(key)
#define MQ_INSERT(m, table, key, val) insert_##table(key, val)
#define MQ_DELETE(m, table, key)      delete_##table(key)
#define MQ_TOUCH(m, table, val)       (void)(val)
#define MQ_LOCK(p)                    bpf_spin_lock(&(p)->lock)
#define MQ_UNLOCK(p)                  bpf_spin_unlock(&(p)->lock)
#define MQ_ADD(p, n)                  __sync_fetch_and_add(p, n)
#define MQ_P(m)                       ((const struct dt_masq_params *)&params)
#define MQ_NEW_SERVER(m)              ((const struct mq_server *)&zero_server)
#define MQ_FAULT(m, name)             0

#define MQ_ROOM(m, queue)        queue_room[(queue)&MQ_QUEUE_MASK]
#define MQ_TURN(m, queue)        next_turn(queue)
#define MQ_PLACE(m, queue, turn) place_of(queue, turn)
#define MQ_YIELDS(m)             yields_of()
#define MQ_YIELDED(m)            count(DT_MASQ_RULE_COUNT + NAT_YIELDED, 1)

#include "masq/kern/slots.bpf.h"

static __always_inline struct mq_yields *yields_of(void)
{
    uint32_t zero = 0;
    return bpf_map_lookup_elem(&yields, &zero);
}

static __always_inline uint64_t next_turn(uint32_t queue)
{
    uint64_t *n = bpf_map_lookup_elem(&turns, &queue);
    return n ? __sync_fetch_and_add(n, 1) + 1 : 0;
}

static __always_inline union mq_place *place_of(uint32_t queue, uint64_t turn)
{
    uint32_t room = queue_room[queue & MQ_QUEUE_MASK], at = queue_first[queue & MQ_QUEUE_MASK];
    if (!room)
        return 0;
    at += (uint32_t)(turn % room);
    return bpf_map_lookup_elem(&places, &at);
}

static __always_inline struct mq_peer_list *scratch_peers(void)
{
    uint32_t zero = 0;
    return bpf_map_lookup_elem(&scratch, &zero);
}
#define MQ_PEERS(m) scratch_peers()

static __always_inline void count(uint32_t which, uint64_t n)
{
    uint64_t *c = bpf_map_lookup_elem(&counters, &which);
    if (c)
        *c += n;
}

static __always_inline void tell(struct dt_masq_event *ev)
{
    if (!setup.watch)
        return;
    if (bpf_ringbuf_output(&events, ev, sizeof(*ev), 0))
        count(DT_MASQ_RULE_COUNT + NAT_EVENTS_LOST, 1);
}
#define MQ_EVENT(m, ev) tell(ev)

#include "masq/packet.h"
#include "masq/parse.h"

/* ---- bytes ----------------------------------------------------------------------------------- */

#define IP_OFF  14
#define IP_SRC  12
#define IP_DST  16
#define IP_CSUM 10

/* RFC 1624, equation 3, for a 32-bit change; all in network byte order. */
static __always_inline uint16_t csum_fix(uint16_t csum, uint32_t from, uint32_t to)
{
    uint32_t sum = (uint16_t)~csum;
    sum += (uint16_t)~from;
    sum += (uint16_t) ~(from >> 16);
    sum += (uint16_t)to;
    sum += (uint16_t)(to >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static __always_inline uint64_t clock_now(void)
{
    return setup.clock ? setup.clock : bpf_ktime_get_ns();
}

/* ---- routes ---------------------------------------------------------------------------------- */

enum hop_kind {
    HOP_NONE,  /* the kernel shall find out, and tell the sender */
    HOP_KNOWN, /* interface and link addresses are known */
    HOP_NEIGH, /* the neighbour is to be resolved */
};

/* Slow part: asks the kernel's tables. */
static __attribute__((noinline)) void hop_find(struct __sk_buff *skb, struct hop *h, uint64_t now,
                                               uint32_t src)
{
    struct bpf_fib_lookup fib = {
        .family = 2 /* AF_INET */, .l4_protocol = IPPROTO_ESP, .tot_len = 20, .ifindex = skb->ifindex};
    fib.ipv4_src = bpf_htonl(src);
    fib.ipv4_dst = bpf_htonl(h->dst);
    long rc = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
    h->kind = rc == BPF_FIB_LKUP_RET_SUCCESS    ? HOP_KNOWN
              : rc == BPF_FIB_LKUP_RET_NO_NEIGH ? HOP_NEIGH
                                                : HOP_NONE;
    h->gen = params.gen;
    h->until = now + (h->kind == HOP_KNOWN ? NAT_HOP_LIFE : 0);
    h->ifindex = fib.ifindex;
    h->mtu = h->kind == HOP_KNOWN ? fib.mtu_result : 0; /* not told without a neighbour */
    __builtin_memcpy(h->mac, fib.dmac, 6);
    __builtin_memcpy(h->mac + 6, fib.smac, 6);
}

static __always_inline struct hop *hop_get(struct __sk_buff *skb, uint64_t now, uint32_t src, uint32_t dst)
{
    uint32_t at = (dst * 0x9e3779b1u) >> (32 - NAT_HOPS_LOG2);
    struct hop *h = bpf_map_lookup_elem(&hops, &at);
    if (!h)
        return 0;
    if (h->dst != dst || h->gen != params.gen || now >= h->until || now + NAT_HOP_LIFE < h->until) {
        h->dst = dst;
        hop_find(skb, h, now, src);
    }
    return h;
}

/* The packet is translated: away with it. */
static __always_inline int hop_send(struct __sk_buff *skb, const struct hop *h)
{
    if (h->kind == HOP_NEIGH)
        return (int)bpf_redirect_neigh(h->ifindex, 0, 0, 0);
    uint8_t *data = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
    if (data + 12 > end)
        return TC_ACT_SHOT;
    __builtin_memcpy(data, h->mac, 12);
    return (int)bpf_redirect(h->ifindex, 0);
}

/* ---- rewriting ------------------------------------------------------------------------------- */

/* Replaces one address of the IPv4 header (`at`: IP_SRC or IP_DST), and with `hop` takes one from the TTL.
 * The header checksum follows, and that of UDP where its header is in this packet. -1: cannot be written. */
static __always_inline int rewrite(struct __sk_buff *skb, const struct dt_masq_facts *f, uint32_t at,
                                   uint32_t from, uint32_t to, bool hop)
{
    uint32_t old = bpf_htonl(from), new = bpf_htonl(to);
    uint8_t *data = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
    if (data + IP_OFF + 20 > end)
        return -1;
    uint32_t l4 = IP_OFF + (data[IP_OFF] & 15u) * 4;
    if (f->proto == IPPROTO_UDP && !f->frag_off && !(f->flags & DT_MASQ_F_QUOTE)) {
        if (bpf_l4_csum_replace(skb, l4 + 6, old, new, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | 4))
            return -1;
        data = (uint8_t *)(long)skb->data;
        end = (uint8_t *)(long)skb->data_end;
        if (data + IP_OFF + 20 > end)
            return -1;
    }
    uint8_t *ip = data + IP_OFF;
    uint16_t csum = csum_fix(*(uint16_t *)(ip + IP_CSUM), old, new);
    if (hop) {
        uint16_t ttl = *(uint16_t *)(ip + 8);
        csum = csum_fix(csum, ttl, (uint16_t)(ttl - bpf_htons(0x0100)));
        ip[8]--;
    }
    *(uint16_t *)(ip + IP_CSUM) = csum;
    *(uint32_t *)(ip + at) = new;
    return 0;
}

/* The packet inside an ICMP error: address at `at` of the quoted header, its checksum, UDP's, and ICMP's own. */
static __attribute__((noinline)) int rewrite_quote(struct __sk_buff *skb, uint32_t at, uint32_t from,
                                                   uint32_t to, uint32_t proto)
{
    uint32_t old = bpf_htonl(from), new = bpf_htonl(to);
    uint8_t hl = 0, qhl = 0;
    if (bpf_skb_load_bytes(skb, IP_OFF, &hl, 1))
        return -1;
    uint32_t icmp = IP_OFF + (hl & 15u) * 4, q = icmp + 8;
    uint16_t csum, fixed;
    if (bpf_skb_load_bytes(skb, q, &qhl, 1) || bpf_skb_load_bytes(skb, q + IP_CSUM, &csum, 2))
        return -1;
    /* Address and header checksum change by opposite amounts: ICMP's checksum does not notice. */
    fixed = csum_fix(csum, old, new);
    if (bpf_skb_store_bytes(skb, q + IP_CSUM, &fixed, 2, BPF_F_RECOMPUTE_CSUM) ||
        bpf_skb_store_bytes(skb, q + at, &new, 4, BPF_F_RECOMPUTE_CSUM))
        return -1;
    if (proto != IPPROTO_UDP)
        return 0;
    uint32_t l4 = q + (qhl & 15u) * 4;
    if (bpf_skb_load_bytes(skb, l4 + 6, &csum, 2))
        return -1;
    if (!csum)
        return 0;
    fixed = csum_fix(csum, old, new);
    if (!fixed)
        fixed = 0xffff;
    if (bpf_skb_store_bytes(skb, l4 + 6, &fixed, 2, BPF_F_RECOMPUTE_CSUM) ||
        bpf_l4_csum_replace(skb, icmp + 2, csum, fixed, 2))
        return -1;
    return 0;
}

/* ---- the packet ------------------------------------------------------------------------------ */

/* Facts, with the headers pulled into reach when they are not. */
static __always_inline int facts_of(struct __sk_buff *skb, struct dt_masq_facts *f, uint8_t side)
{
    if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present)
        return MQ_OTHER;
    uint8_t *data = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
    f->side = side;
    int got = mq_parse(f, data + IP_OFF, end);
    if (got != MQ_SHORT)
        return got;
    uint32_t want = skb->len < NAT_PULL ? skb->len : NAT_PULL;
    if (bpf_skb_pull_data(skb, want))
        return MQ_OTHER;
    data = (uint8_t *)(long)skb->data;
    end = (uint8_t *)(long)skb->data_end;
    *f = (struct dt_masq_facts){.side = side};
    got = mq_parse(f, data + IP_OFF, end);
    return got == MQ_SHORT ? MQ_OTHER : got;
}

static __attribute__((noinline)) void event_report(const struct dt_masq_facts *f, const struct mq_out *v,
                                                   uint64_t now)
{
    struct dt_masq_event ev = {.at = now, .rule = v->rule};
    mq_describe(&ev, f, v);
    tell(&ev);
}

static __always_inline void settle(const struct dt_masq_facts *f, const struct mq_out *v, uint64_t now)
{
    count(v->rule, 1);
    if (setup.watch && (v->verdict == DT_MASQ_DROP || v->verdict == DT_MASQ_MULTICAST))
        event_report(f, v, now);
    if (setup.clock) {
        last.verdict = v->verdict;
        last.rule = v->rule;
        last.n = v->n;
        last.nat = v->nat;
        last.to = v->to;
    }
}

struct header {
    uint16_t len; /* total length */
    bool df;
    uint8_t ttl;
};

static __always_inline struct header header_of(struct __sk_buff *skb)
{
    struct header h = {};
    uint8_t *data = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
    if (data + IP_OFF + 20 > end)
        return h;
    h.len = bpf_ntohs(*(uint16_t *)(data + IP_OFF + 2));
    h.df = data[IP_OFF + 6] & 0x40;
    h.ttl = data[IP_OFF + 8];
    return h;
}

/* Too large for the next link, and not one of those that the device will cut up itself. */
static __always_inline bool too_large(struct __sk_buff *skb, const struct header *h, const struct hop *hop)
{
    return hop->mtu && h->len > hop->mtu && !skb->gso_segs;
}

/* A large packet that may be fragmented goes, translated, once through the kernel: by way of a device of ours that
 * accepts our own address as a source. */
static __attribute__((noinline)) int send_slowly(struct __sk_buff *skb)
{
    if (!setup.slow_ifindex)
        return TC_ACT_SHOT;
    if (bpf_skb_store_bytes(skb, 0, setup.slow_mac, 6, 0))
        return TC_ACT_SHOT;
    return (int)bpf_redirect(setup.slow_ifindex, BPF_F_INGRESS);
}

static __always_inline int from_inside(struct __sk_buff *skb)
{
    struct dt_masq_facts f = {};
    if (facts_of(skb, &f, DT_MASQ_INSIDE) != MQ_OURS)
        return TC_ACT_UNSPEC;
    if (skb->pkt_type != 0 /* PACKET_HOST */)
        return TC_ACT_UNSPEC;
    struct header h = header_of(skb);
    uint64_t now = clock_now();
    if (h.ttl <= 1)
        return TC_ACT_UNSPEC; /* the kernel answers it */
    struct hop *hop = hop_get(skb, now, f.src, f.dst);
    if (!hop || hop->kind == HOP_NONE || hop->ifindex != setup.outside)
        return TC_ACT_UNSPEC; /* not on its way through us */
    bool large = too_large(skb, &h, hop);
    if (large && h.df)
        return TC_ACT_UNSPEC; /* so that the client learns the path MTU */
    struct mq_out v = {.verdict = DT_MASQ_PASS};
    mq_from_inside(0, now, &f, &v);
    settle(&f, &v, now);
    if (v.verdict == DT_MASQ_DROP)
        return TC_ACT_SHOT;
    if (v.verdict != DT_MASQ_FORWARD || !v.nat)
        return TC_ACT_UNSPEC;
    if ((f.flags & DT_MASQ_F_QUOTE) && rewrite_quote(skb, IP_DST, f.qdst, v.nat, f.proto))
        return TC_ACT_SHOT;
    if (rewrite(skb, &f, IP_SRC, f.src, v.nat, !large))
        return TC_ACT_SHOT;
    skb->tc_index = NAT_TRANSLATED;
    if (large)
        return send_slowly(skb);
    return hop_send(skb, hop);
}

SEC("tc")
int nat_inside(struct __sk_buff *skb)
{
    return from_inside(skb);
}

/* One copy to each addressee. The packet's destination is rewritten in place, again and again. Where the router itself
 * is one of them, the packet goes to its stack in the end. */
static __attribute__((noinline)) int multicast(struct __sk_buff *skb, const struct dt_masq_facts *f,
                                               uint64_t now, uint32_t n)
{
    uint32_t was = f->dst;
    bool own = false, first = true;
    struct header h = header_of(skb);
    if (h.ttl <= 1)
        return TC_ACT_SHOT;
    for (uint32_t i = 0; i < DT_MASQ_PEERS_MAX; i++) {
        struct mq_peer_list *list = scratch_peers();
        if (i >= n || !list)
            break;
        uint32_t to = list->client[i & (DT_MASQ_PEERS_MAX - 1)];
        if (to == f->dst) {
            own = true;
            continue;
        }
        if (rewrite(skb, f, IP_DST, was, to, first))
            return TC_ACT_SHOT;
        was = to;
        first = false;
        struct hop *hop = hop_get(skb, now, f->src, to);
        if (!hop || hop->kind == HOP_NONE || too_large(skb, &h, hop)) {
            count(DT_MASQ_RULE_COUNT + NAT_MULTICAST_UNROUTED, 1);
            continue;
        }
        if (hop->kind == HOP_KNOWN) {
            if (bpf_skb_store_bytes(skb, 0, hop->mac, 12, 0) || bpf_clone_redirect(skb, hop->ifindex, 0))
                continue;
        } else if (bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS)) {
            continue; /* else the kernel resolves the neighbour and forwards this copy */
        }
        count(DT_MASQ_RULE_COUNT + NAT_MULTICAST_COPIES, 1);
    }
    if (own && !rewrite(skb, f, IP_DST, was, f->dst, false))
        return TC_ACT_UNSPEC;
    return TC_ACT_SHOT; /* the copies are on their way */
}

static __always_inline int from_outside(struct __sk_buff *skb)
{
    struct dt_masq_facts f = {};
    if (facts_of(skb, &f, DT_MASQ_OUTSIDE) != MQ_OURS)
        return TC_ACT_UNSPEC;
    if (skb->pkt_type != 0)
        return TC_ACT_UNSPEC;
    uint64_t now = clock_now();
    struct mq_out v = {.verdict = DT_MASQ_PASS};
    mq_from_outside(0, now, &f, &v);
    settle(&f, &v, now);
    if (v.verdict == DT_MASQ_DROP)
        return TC_ACT_SHOT;
    if (v.verdict == DT_MASQ_MULTICAST)
        return multicast(skb, &f, now, v.n);
    if (v.verdict != DT_MASQ_FORWARD)
        return TC_ACT_UNSPEC;
    struct header h = header_of(skb);
    struct hop *hop = hop_get(skb, now, f.src, v.to);
    if ((f.flags & DT_MASQ_F_QUOTE) && rewrite_quote(skb, IP_SRC, f.qsrc, v.to, f.proto))
        return TC_ACT_SHOT;
    if (hop && hop->kind != HOP_NONE && hop->ifindex == setup.outside) {
        count(DT_MASQ_RULE_COUNT + NAT_CLIENT_UNROUTED, 1);
        return TC_ACT_SHOT; /* by the default route it would leave again, for a client that nobody outside knows */
    }
    /* Where the kernel must answer (nat_egress mends what it quotes) or fragment, it gets the packet translated. */
    bool slow = h.ttl <= 1 || !hop || hop->kind == HOP_NONE || too_large(skb, &h, hop);
    if (rewrite(skb, &f, IP_DST, f.dst, v.to, !slow))
        return TC_ACT_SHOT;
    return slow ? TC_ACT_UNSPEC : hop_send(skb, hop);
}

SEC("tc")
int nat_outside(struct __sk_buff *skb)
{
    return from_outside(skb);
}

static __attribute__((noinline)) int from_router(struct __sk_buff *skb, const struct dt_masq_facts *f)
{
    struct mq_out v = {.verdict = DT_MASQ_PASS};
    uint64_t now = clock_now();
    mq_from_router(0, now, f, &v);
    settle(f, &v, now);
    return v.verdict == DT_MASQ_DROP ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/* What leaves by the outside interface and was not translated by nat_inside is the router's own: its IPsec, which has items
 * as a client's has (else a client's that must not leave so); and ICMP errors about a packet from a server, which quote it as translated: that is undone. */
SEC("tc")
int nat_egress(struct __sk_buff *skb)
{
    if (skb->tc_index == NAT_TRANSLATED) {
        skb->tc_index = 0;
        return TC_ACT_UNSPEC;
    }
    struct dt_masq_facts f = {};
    if (facts_of(skb, &f, DT_MASQ_ROUTER) != MQ_OURS)
        return TC_ACT_UNSPEC;
    if (skb->ingress_ifindex)
        f.flags |= DT_MASQ_F_FORWARDED;
    if (!(f.flags & DT_MASQ_F_QUOTE))
        return from_router(skb, &f);
    struct mq_out v = {.verdict = DT_MASQ_PASS};
    mq_quote_in(0, clock_now(), &f, &v);
    if (v.verdict != DT_MASQ_FORWARD || !v.nat)
        return TC_ACT_UNSPEC;
    count(DT_MASQ_RULE_ICMP_ERROR, 1);
    if (rewrite_quote(skb, IP_DST, f.qdst, v.nat, f.proto))
        return TC_ACT_SHOT;
    return TC_ACT_UNSPEC;
}

/* ---- forgetting, at the sweeper's request ---------------------------------------------------- */

/* Run by BPF_PROG_TEST_RUN with a struct nat_reap as its packet; looks at each key again before it forgets. */
SEC("tc")
int nat_reap(struct __sk_buff *skb)
{
    uint32_t head[2];
    uint64_t now = clock_now();
    if (bpf_skb_load_bytes(skb, NAT_REAP_OFF, head, sizeof(head)))
        return TC_ACT_SHOT;
    for (uint32_t i = 0; i < NAT_REAP_MAX && i < head[1]; i++) {
        uint64_t key[NAT_REAP_KEY / 8];
        if (bpf_skb_load_bytes(skb, NAT_REAP_OFF + sizeof(head) + i * NAT_REAP_KEY, key, sizeof(key)))
            return TC_ACT_SHOT;
        switch (head[0]) {
#define X(name, id)                                                                                          \
    case id:                                                                                                 \
        mq_reap_##name(0, now, (const struct mq_##name##_key *)key);                                         \
        break;
            MQ_TABLES(X)
#undef X
        case NAT_REAP_FORGET + MQ_T_esp:
            delete_esp((const struct mq_esp_key *)key);
            break;
        case NAT_REAP_FORGET + MQ_T_esp_in:
            delete_esp_in((const struct mq_esp_in_key *)key);
            break;
        }
    }
    return TC_ACT_OK;
}

/* ---- the benchmark: loaded by it alone ------------------------------------------------------- */

struct nat_bench bench;
uint64_t bench_sunk;

/* BPF_PROG_TEST_RUN repeats with the packet as the last run left it: make it a client's (a server's) again. */
static __always_inline void bench_prepare(struct __sk_buff *skb)
{
    uint8_t *data = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
    if (data + 42 > end)
        return;
    uint32_t i = bench.hot;
    if (bench.random) {
        uint32_t x = bench.state;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        bench.state = x;
        i = (uint32_t)(((uint64_t)x * bench.items) >> 32);
    }
    uint32_t client = bench.client + i % bench.clients;
    *(uint32_t *)(data + IP_OFF + IP_SRC) = bpf_htonl(bench.inwards ? bench.server : client);
    *(uint32_t *)(data + IP_OFF + IP_DST) = bpf_htonl(bench.inwards ? bench.own : bench.server);
    data[IP_OFF + 8] = 64;
    *(uint32_t *)(data + 34) = bpf_htonl(nat_bench_spi(bench.spi + i));
}

SEC("?tc")
int nat_bench_inside(struct __sk_buff *skb)
{
    bench_prepare(skb);
    return from_inside(skb);
}

SEC("?tc")
int nat_bench_outside(struct __sk_buff *skb)
{
    bench_prepare(skb);
    return from_outside(skb);
}

SEC("?tc")
int nat_bench_empty(struct __sk_buff *skb)
{
    bench_prepare(skb);
    return TC_ACT_OK;
}

/* No more than the one slot that a packet of any item has to see: what memory costs. */
SEC("?tc")
int nat_bench_slot(struct __sk_buff *skb)
{
    bench_prepare(skb);
    uint8_t *data = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
    if (data + 42 > end)
        return TC_ACT_OK;
    struct mq_esp_key k = {bpf_ntohl(*(uint32_t *)(data + IP_OFF + IP_SRC)), bench.server,
                           bpf_ntohl(*(uint32_t *)(data + 34))};
    return slot_esp(k.client, k.server, k.spi_out) < 0 && !bench.server ? TC_ACT_SHOT : TC_ACT_OK;
}

/* At the far end of the router: counts and drops. */
SEC("?tc")
int nat_bench_sink(struct __sk_buff *skb)
{
    __sync_fetch_and_add(&bench_sunk, 1);
    return TC_ACT_SHOT;
}

/* Feeds the router's inside interface with frames (BPF_F_TEST_XDP_LIVE_FRAMES): headers anew, as pages come back. */
SEC("?xdp")
int nat_bench_source(struct xdp_md *ctx)
{
    uint8_t *data = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
    if (data + 42 > end)
        return XDP_DROP;
    __builtin_memcpy(data, bench.head, 42);
    return XDP_PASS;
}
