/* The table "inet dovetail": its rules, and what the kernel says of it. */
#include "host/filter.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/hash.h"
#include "host/filter_ports.h"
#include "host/host.h"
#include "host/ranges.h"
#include "net/nft.h"

#define ROOM           (8u << 20) /* of a transaction: some 60,000 ranges */
#define PER_MESSAGE    256        /* elements */
#define BEFORE_FILTERS (-150)     /* prerouting: behind connection tracking, before most people's own */
#define BEFORE_ALL                                                                                           \
    (-300)        /* prerouting: before others look up the way back (firewalld does), and before routing */
#define CHANGED 1 /* of dt_host_filter_read: a table that we did not set like this */

/* The sets, by IP version. */
enum filter_set { CLOSED4, CLOSED6, INSIDE4, INSIDE6, PORTS4, PORTS6, OWN4, OWN6, OTHERS4, OTHERS6, SETS };
static const char *const set_name[SETS] = {"closed4", "closed6", "inside4", "inside6", "ports4",
                                           "ports6",  "own4",    "own6",    "others4", "others6"};

static bool is_set4(enum filter_set set)
{
    return set % 2 == 0;
}

struct range_list {
    struct dt_range *v;
    size_t n, cap;
};

struct dt_host_filter {
    struct dt_nft *nft;
    char device[16];
    uint32_t mark;
    uint16_t ike_port, natt_port;
    struct range_list set[SETS];
    struct filter_ports ports;           /* what is narrowed, and discovery's */
    bool no_socket_mark;                 /* this kernel cannot tell the socket that a packet is for */
    uint64_t want;                       /* digest of what is to be there */
    uint64_t stands;                     /* of what was set last */
    uint64_t as_told;                    /* of what the kernel said of that */
    struct dt_host_filter_counters past; /* of tables that were replaced */
};

/* Room for one more, and for what dt_host_ranges_merge may add. */
static int list_room(struct range_list *l)
{
    return dt_grow(l->v, l->cap, l->n + 7, 32);
}

static int list_add(struct range_list *l, const struct dt_range *r)
{
    if (list_room(l) < 0)
        return -1;
    l->v[l->n++] = *r;
    return 0;
}

/* ---- what is wanted ------------------------------------------------------------------------------- */

struct dt_host_filter *dt_host_filter_open(const struct dt_host_filter_cfg *cfg, struct dt_err *err)
{
    struct dt_host_filter *f = calloc(1, sizeof *f);
    if (!f) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    f->nft = dt_nft_open(ROOM, err);
    if (!f->nft) {
        free(f);
        return NULL;
    }
    snprintf(f->device, sizeof f->device, "%s", cfg->device);
    f->mark = cfg->mark;
    f->ike_port = cfg->ike_port;
    f->natt_port = cfg->natt_port;
    return f;
}

void dt_host_filter_close(struct dt_host_filter *f)
{
    if (!f)
        return;
    dt_nft_close(f->nft);
    for (int i = 0; i < SETS; i++)
        free(f->set[i].v);
    filter_ports_free(&f->ports);
    free(f);
}

/* What leads elsewhere is not closed, except for what is closed inside it: as with routes, the longest prefix decides. */
static int open_exception(struct dt_host_filter *f, const struct dt_host_facts *want,
                          const struct dt_host_fact *x)
{
    enum filter_set set = x->prefix.addr.ver == 6 ? x->table ? PORTS6 : CLOSED6 : x->table ? PORTS4 : CLOSED4;
    struct range_list *l = &f->set[set];
    struct dt_range hole = dt_prefix_range(&x->prefix);
    l->n = dt_host_ranges_merge(l->v, l->n, l->cap);
    if (list_room(l) < 0)
        return -1;
    l->n = dt_host_ranges_without(l->v, l->n, l->cap, &hole);
    for (size_t i = 0; i < want->n; i++) {
        const struct dt_host_fact *b = dt_host_facts_at(want, &dt_host_sort, i);
        struct dt_range r = dt_prefix_range(&b->prefix);
        if (b->kind == DT_HOST_BARRIER && (b->table != 0) == (x->table != 0) &&
            dt_prefix_covers(&x->prefix, &b->prefix) && list_add(l, &r) < 0)
            return -1;
    }
    return 0;
}

static int open_exceptions(struct dt_host_filter *f, const struct dt_host_facts *want)
{
    for (unsigned len = 0; len <= 128; len++) /* the widest first */
        for (size_t i = 0; i < want->n; i++) {
            const struct dt_host_fact *x = dt_host_facts_at(want, &dt_host_sort, i);
            if (x->kind == DT_HOST_ELSEWHERE && x->prefix.len == len && open_exception(f, want, x) < 0)
                return -1;
        }
    return 0;
}

/* A rule for packets of a protocol to a network, or of discovery's: networks go into sets, the rest becomes rules. */
static int filter_rule_add(struct dt_host_filter *f, const struct dt_host_fact *x)
{
    const struct dt_nl_rule *r = &x->rule;
    const bool six = r->ver == 6;
    struct dt_range own = dt_prefix_range(r->src.len ? &r->src : &(struct dt_prefix){.addr.ver = r->ver}),
                    others = dt_prefix_range(r->dst.len ? &r->dst : &(struct dt_prefix){.addr.ver = r->ver});
    switch (filter_ports_add(&f->ports, x)) {
    case FILTER_NARROWED:
        return x->closed ? list_add(&f->set[six ? PORTS6 : PORTS4], &others) : 0;
    case FILTER_PAIR:
        return list_add(&f->set[six ? OWN6 : OWN4], &own) < 0 ||
                       list_add(&f->set[six ? OTHERS6 : OTHERS4], &others) < 0
                   ? -1
                   : 0;
    case FILTER_NOTHING:
        return 0;
    default:
        return -1;
    }
}

static void digest_list(struct dt_digest *d, const struct range_list *l)
{
    dt_digest_u64(d, l->n);
    for (size_t i = 0; i < l->n; i++) {
        dt_digest_bytes(d, l->v[i].from.b, 16);
        dt_digest_bytes(d, l->v[i].to.b, 16);
    }
}

int dt_host_filter_want(struct dt_host_filter *f, struct dt_host_facts *want)
{
    struct dt_digest d;
    bool any = false, open = false;
    for (int i = 0; i < SETS; i++)
        f->set[i].n = 0;
    filter_ports_forget(&f->ports);
    for (size_t i = 0; i < want->n; i++) {
        const struct dt_host_fact *x = dt_host_facts_at(want, &dt_host_sort, i);
        bool six = x->prefix.addr.ver == 6;
        any = any || x->kind == DT_HOST_SYSCTL;
        open = open || x->kind == DT_HOST_ELSEWHERE;
        struct dt_range r = dt_prefix_range(&x->prefix);
        if (x->kind == DT_HOST_STEER && filter_rule_add(f, x) < 0)
            return -1;
        if (x->kind == DT_HOST_BARRIER && !x->table && list_add(&f->set[six ? CLOSED6 : CLOSED4], &r) < 0)
            return -1;
        if (x->kind == DT_HOST_ADDR && !x->open && list_add(&f->set[six ? INSIDE6 : INSIDE4], &r) < 0)
            return -1;
    }
    if (open && open_exceptions(f, want) < 0)
        return -1;
    dt_digest_init(&d);
    dt_digest_bytes(&d, f->device, sizeof f->device);
    for (int i = 0; i < SETS; i++) {
        f->set[i].n = dt_host_ranges_merge(f->set[i].v, f->set[i].n, f->set[i].cap);
        digest_list(&d, &f->set[i]);
    }
    filter_ports_digest(&f->ports, &d);
    f->want = dt_digest_value(&d) | 2; /* neither "none" nor CHANGED */
    struct dt_host_fact fact = {.kind = DT_HOST_FILTER, .value = f->want};
    any =
        any || f->ports.n || f->set[CLOSED4].n || f->set[CLOSED6].n || f->set[INSIDE4].n || f->set[INSIDE6].n;
    return any ? dt_host_facts_add(want, &fact) : 0;
}

/* ---- the rules ------------------------------------------------------------------------------------ */

struct rule {
    struct nlmsghdr *h;
    struct nlattr *list;
};

static struct rule rule_begin(struct dt_host_filter *f, const char *chain)
{
    struct rule r = {.h = dt_nft_message(f->nft, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND)};
    if (!r.h)
        return r;
    mnl_attr_put_strz(r.h, NFTA_RULE_TABLE, DT_HOST_FILTER_TABLE);
    mnl_attr_put_strz(r.h, NFTA_RULE_CHAIN, chain);
    r.list = mnl_attr_nest_start(r.h, NFTA_RULE_EXPRESSIONS);
    return r;
}

static void rule_end(struct dt_host_filter *f, struct rule r, int32_t verdict)
{
    dt_nft_verdict(r.h, verdict);
    mnl_attr_nest_end(r.h, r.list);
    dt_nft_next(f->nft);
}

static void pass_device(struct dt_host_filter *f, const char *chain, uint32_t key, const char *device)
{
    char name[16] = {0};
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    snprintf(name, sizeof name, "%s", device);
    dt_nft_meta(r.h, key);
    dt_nft_is(r.h, name, sizeof name);
    rule_end(f, r, NFT_RETURN);
}

static void pass_mark(struct dt_host_filter *f)
{
    struct rule r = rule_begin(f, "out");
    if (!r.h)
        return;
    dt_nft_meta(r.h, NFT_META_MARK);
    dt_nft_is(r.h, &f->mark, sizeof f->mark);
    rule_end(f, r, NFT_RETURN);
}

static void match_l4(struct nlmsghdr *h, uint8_t proto)
{
    dt_nft_meta(h, NFT_META_L4PROTO);
    dt_nft_is(h, &proto, 1);
}

static void match_dport(struct nlmsghdr *h, uint16_t port)
{
    uint8_t be[2] = {(uint8_t)(port >> 8), (uint8_t)port};
    dt_nft_payload(h, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
    dt_nft_is(h, be, 2);
}

enum { SRC4 = 12, DST4 = 16, SRC6 = 8, DST6 = 24 }; /* of an IP header */

/* What has an address of the set at `at` of its IP header. */
static void match_set(struct nlmsghdr *h, enum filter_set set, uint32_t at)
{
    bool four = is_set4(set);
    uint8_t family = four ? NFPROTO_IPV4 : NFPROTO_IPV6;
    dt_nft_meta(h, NFT_META_NFPROTO);
    dt_nft_is(h, &family, 1);
    dt_nft_payload(h, NFT_PAYLOAD_NETWORK_HEADER, at, four ? 4 : 16);
    dt_nft_in_set(h, set_name[set]);
}

/* What comes to this host from outside of every tunnel, and belongs there: `early` gives it the data path's mark, so that the way
 * back is looked up as that of our own outer packets (rp_filter); `judge` lets it through. */
static void exempt(struct dt_host_filter *f, struct rule r, const char *chain)
{
    if (strcmp(chain, "early") != 0) {
        rule_end(f, r, NFT_RETURN);
        return;
    }
    dt_nft_set_mark(r.h, f->mark);
    mnl_attr_nest_end(r.h, r.list);
    dt_nft_next(f->nft);
}

/* ESP (port 0), or UDP to a port of ours, to this host. */
static void exempt_peers(struct dt_host_filter *f, const char *chain, uint8_t proto, uint16_t port)
{
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    match_l4(r.h, proto);
    if (port)
        match_dport(r.h, port);
    dt_nft_to_this_host(r.h);
    exempt(f, r, chain);
}

/* Later fragments of UDP have no ports. To this host they are harmless: it is the first that is judged. */
static void exempt_fragments(struct dt_host_filter *f, const char *chain, uint8_t family)
{
    static const uint8_t mask[2] = {0x1f, 0xff}, first[2];
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    dt_nft_meta(r.h, NFT_META_NFPROTO);
    dt_nft_is(r.h, &family, 1);
    match_l4(r.h, 17);
    if (family == NFPROTO_IPV4) {
        dt_nft_payload(r.h, NFT_PAYLOAD_NETWORK_HEADER, 6, 2);
        dt_nft_mask(r.h, mask, sizeof mask);
        dt_nft_is_not(r.h, first, sizeof first);
    } else {
        dt_nft_later_fragment6(r.h);
    }
    dt_nft_to_this_host(r.h);
    exempt(f, r, chain);
}

static void match_icmp(struct nlmsghdr *h, uint8_t proto, uint8_t from, uint8_t to)
{
    match_l4(h, proto);
    dt_nft_payload(h, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    dt_nft_is_between(h, &from, &to, 1);
}

static void exempt_errors(struct dt_host_filter *f, const char *chain, uint8_t proto, uint8_t from,
                          uint8_t to)
{
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    match_icmp(r.h, proto, from, to);
    dt_nft_to_this_host(r.h);
    exempt(f, r, chain);
}

/* The answer to a packet that the host itself exempts: it is for a socket that bears the mark. A socket is looked for only for
 * what comes from a closed network. */
static void exempt_answers(struct dt_host_filter *f, const char *chain, enum filter_set set, uint32_t at)
{
    struct rule r = {.h = NULL};
    if (!f->no_socket_mark)
        r = rule_begin(f, chain);
    if (!r.h)
        return;
    match_set(r.h, set, at);
    dt_nft_socket_mark(r.h, f->mark);
    exempt(f, r, chain);
}

static void exempt_outer_packets(struct dt_host_filter *f, const char *chain)
{
    exempt_peers(f, chain, 50, 0);
    exempt_peers(f, chain, 17, f->natt_port);
    exempt_peers(f, chain, 17, f->ike_port);
    exempt_fragments(f, chain, NFPROTO_IPV4);
    exempt_fragments(f, chain, NFPROTO_IPV6);
    exempt_errors(f, chain, 1, 3, 3); /* destination unreachable; time exceeded and parameter problem */
    exempt_errors(f, chain, 1, 11, 12);
    exempt_errors(f, chain, 58, 1, 4);
    exempt_answers(f, chain, CLOSED4, SRC4);
    exempt_answers(f, chain, CLOSED6, SRC6);
    if (f->ports.narrowed) {
        exempt_answers(f, chain, PORTS4, SRC4);
        exempt_answers(f, chain, PORTS6, SRC6);
    }
    if (f->ports.pairs) {
        exempt_answers(f, chain, OTHERS4, SRC4);
        exempt_answers(f, chain, OTHERS6, SRC6);
    }
}

/* Neighbour and router discovery. */
static void pass_neighbours(struct dt_host_filter *f, const char *chain, uint8_t from, uint8_t to)
{
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    match_icmp(r.h, 58, from, to);
    rule_end(f, r, NFT_RETURN);
}

/* To this host or to everybody on the link: what is for another host has come through a tunnel. */
static void pass_dhcp(struct dt_host_filter *f, const char *chain, uint16_t sport, uint16_t dport)
{
    uint8_t be[4] = {(uint8_t)(sport >> 8), (uint8_t)sport, (uint8_t)(dport >> 8), (uint8_t)dport};
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    match_l4(r.h, 17);
    dt_nft_payload(r.h, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 4);
    dt_nft_is(r.h, be, 4);
    dt_nft_not_to_another(r.h);
    rule_end(f, r, NFT_RETURN);
}

static void jump_of_set(struct dt_host_filter *f, const char *chain, enum filter_set set, uint32_t at,
                        const char *to)
{
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    match_set(r.h, set, at);
    dt_nft_jump(r.h, to);
    mnl_attr_nest_end(r.h, r.list);
    dt_nft_next(f->nft);
}

/* Drops it, and counts it under `counter`. */
static void drop_of_set(struct dt_host_filter *f, const char *chain, const char *counter, enum filter_set set,
                        uint32_t at)
{
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    match_set(r.h, set, at);
    dt_nft_count(r.h, counter);
    rule_end(f, r, NF_DROP);
}

static void put_exemptions(struct dt_host_filter *f, const char *chain)
{
    exempt_outer_packets(f, chain);
    pass_neighbours(f, chain, 133, 137); /* RFC 4861 */
    pass_dhcp(f, chain, 67, 68);
    pass_dhcp(f, chain, 547, 546);
}

/* Most packets are of no closed network: two look-ups, and they are through. The rest is judged. */
static void put_rules(struct dt_host_filter *f)
{
    pass_device(f, "early", NFT_META_IIFNAME, f->device);
    exempt_outer_packets(f, "early");

    pass_device(f, "out", NFT_META_OIFNAME, f->device);
    pass_mark(f);
    pass_device(f, "out", NFT_META_OIFNAME, "lo");
    pass_neighbours(f, "out", 135, 136); /* one that is protected itself is answered by unicast */
    drop_of_set(f, "out", "out", CLOSED4, DST4);
    drop_of_set(f, "out", "out", CLOSED6, DST6);

    pass_device(f, "in", NFT_META_IIFNAME, f->device);
    pass_device(f, "in", NFT_META_IIFNAME, "lo");
    jump_of_set(f, "in", CLOSED4, SRC4, "judge");
    jump_of_set(f, "in", CLOSED6, SRC6, "judge");
    drop_of_set(f, "in", "in", INSIDE4, DST4);
    drop_of_set(f, "in", "in", INSIDE6, DST6);

    put_exemptions(f, "judge");
    drop_of_set(f, "judge", "in", CLOSED4, SRC4);
    drop_of_set(f, "judge", "in", CLOSED6, SRC6);
}

/* What is narrowed to a protocol or a port. */
static void put_port_rules(struct dt_host_filter *f)
{
    jump_of_set(f, "out", PORTS4, DST4, "ports_out");
    jump_of_set(f, "out", PORTS6, DST6, "ports_out");
    filter_ports_drop(f->nft, "ports_out", true, false, "out", &f->ports);
    jump_of_set(f, "in", PORTS4, SRC4, "ports_in");
    jump_of_set(f, "in", PORTS6, SRC6, "ports_in");
    put_exemptions(f, "ports_in");
    filter_ports_drop(f->nft, "ports_in", false, false, "in", &f->ports);
}

static void jump_of_pair(struct dt_host_filter *f, const char *chain, bool four, bool out, const char *to)
{
    uint32_t src = four ? SRC4 : SRC6, dst = four ? DST4 : DST6;
    struct rule r = rule_begin(f, chain);
    if (!r.h)
        return;
    match_set(r.h, four ? OWN4 : OWN6, out ? src : dst);
    match_set(r.h, four ? OTHERS4 : OTHERS6, out ? dst : src);
    dt_nft_jump(r.h, to);
    mnl_attr_nest_end(r.h, r.list);
    dt_nft_next(f->nft);
}

/* What discovery's proxies describe: by both sides, except for what stays on our own, as its routing rules have it. */
static void put_pair_rules(struct dt_host_filter *f)
{
    for (int way = 0; way < 2; way++) {
        const bool out = way == 0;
        const char *name = out ? "pairs_out" : "pairs_in";
        jump_of_pair(f, out ? "out" : "in", true, out, name);
        jump_of_pair(f, out ? "out" : "in", false, out, name);
        if (!out)
            put_exemptions(f, name);
        filter_ports_return(f->nft, name, out, &f->ports);
        filter_ports_drop(f->nft, name, out, true, out ? "out" : "in", &f->ports);
    }
}

/* ---- the table ------------------------------------------------------------------------------------ */

static void filter_put_table(struct dt_host_filter *f, uint8_t what, uint16_t flags)
{
    struct nlmsghdr *h = dt_nft_message(f->nft, what, flags);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, DT_HOST_FILTER_TABLE);
    if (what == NFT_MSG_NEWTABLE)
        dt_nft_be32(h, NFTA_TABLE_FLAGS, 0);
    dt_nft_next(f->nft);
}

/* A chain that others jump to. */
static void put_plain_chain(struct dt_host_filter *f, const char *name)
{
    struct nlmsghdr *h = dt_nft_message(f->nft, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, DT_HOST_FILTER_TABLE);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
    dt_nft_next(f->nft);
}

static void put_chain(struct dt_host_filter *f, const char *name, uint32_t hook, int32_t priority)
{
    struct nlmsghdr *h = dt_nft_message(f->nft, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, DT_HOST_FILTER_TABLE);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
    dt_nft_be32(h, NFTA_CHAIN_POLICY, NF_ACCEPT);
    struct nlattr *nest = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    dt_nft_be32(h, NFTA_HOOK_HOOKNUM, hook);
    dt_nft_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    mnl_attr_nest_end(h, nest);
    dt_nft_next(f->nft);
}

static void filter_put_counter(struct dt_host_filter *f, const char *name)
{
    struct nlmsghdr *h = dt_nft_message(f->nft, NFT_MSG_NEWOBJ, NLM_F_CREATE);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_OBJ_TABLE, DT_HOST_FILTER_TABLE);
    mnl_attr_put_strz(h, NFTA_OBJ_NAME, name);
    dt_nft_be32(h, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
    mnl_attr_nest_end(h, mnl_attr_nest_start(h, NFTA_OBJ_DATA));
    dt_nft_next(f->nft);
}

static void put_set(struct dt_host_filter *f, enum filter_set set)
{
    enum { TYPE_IPV4_ADDR = 7, TYPE_IPV6_ADDR = 8 }; /* as nft(8) shows them */
    bool four = is_set4(set);
    struct nlmsghdr *h = dt_nft_message(f->nft, NFT_MSG_NEWSET, NLM_F_CREATE);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_SET_TABLE, DT_HOST_FILTER_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_NAME, set_name[set]);
    dt_nft_be32(h, NFTA_SET_ID, (uint32_t)set + 1);
    dt_nft_be32(h, NFTA_SET_FLAGS, NFT_SET_INTERVAL);
    dt_nft_be32(h, NFTA_SET_KEY_TYPE, four ? TYPE_IPV4_ADDR : TYPE_IPV6_ADDR);
    dt_nft_be32(h, NFTA_SET_KEY_LEN, four ? 4 : 16);
    dt_nft_next(f->nft);
}

static void put_element(struct nlmsghdr *h, const struct dt_addr *a, bool end)
{
    struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    if (end)
        dt_nft_be32(h, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
    dt_nft_value(h, NFTA_SET_ELEM_KEY, a->b, dt_addr_size(a));
    mnl_attr_nest_end(h, elem);
}

/* A range is an element at its start, and one that ends it behind its end. */
static void put_elements(struct dt_host_filter *f, enum filter_set set)
{
    const struct range_list *l = &f->set[set];
    for (size_t i = 0; i < l->n;) {
        struct nlmsghdr *h = dt_nft_message(f->nft, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
        if (!h)
            return;
        mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, DT_HOST_FILTER_TABLE);
        mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set_name[set]);
        dt_nft_be32(h, NFTA_SET_ELEM_LIST_SET_ID, (uint32_t)set + 1);
        struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
        for (size_t k = 0; i < l->n && k < PER_MESSAGE; i++, k++) {
            struct dt_addr end = l->v[i].to;
            put_element(h, &l->v[i].from, false);
            if (dt_addr_next(&end))
                put_element(h, &end, true);
        }
        mnl_attr_nest_end(h, list);
        dt_nft_next(f->nft);
    }
}

/* ---- what the kernel says ------------------------------------------------------------------------- */

int dt_host_filter_read(struct dt_host_filter *f, uint64_t *value, struct dt_err *err)
{
    uint64_t digest;
    if (dt_nft_digest(f->nft, DT_HOST_FILTER_TABLE, set_name, SETS, &digest) < 0)
        return dt_err_set(err, 0, "nftables cannot be read: %s", strerror(errno));
    *value = !digest ? 0 : digest == f->as_told ? f->stands : CHANGED;
    return 0;
}

struct counter_read {
    struct dt_host_filter_counters c;
};

static int read_counter(const struct nlmsghdr *h, void *ctx)
{
    struct counter_read *r = ctx;
    const struct nlattr *a, *x;
    const char *name = "";
    uint64_t packets = 0;
    mnl_attr_for_each(a, h, 4)
    {
        if (mnl_attr_get_type(a) == NFTA_OBJ_NAME)
            name = mnl_attr_get_str(a);
        else if (mnl_attr_get_type(a) == NFTA_OBJ_DATA)
            mnl_attr_for_each_nested(x, a) if (mnl_attr_get_type(x) == NFTA_COUNTER_PACKETS) packets =
                __builtin_bswap64(mnl_attr_get_u64(x));
    }
    if (strcmp(name, "out") == 0)
        r->c.out += packets;
    else if (strcmp(name, "in") == 0)
        r->c.in += packets;
    return 0;
}

static void forget_counters(void *ctx)
{
    *(struct counter_read *)ctx = (struct counter_read){.c = {0}};
}

int dt_host_filter_counters(struct dt_host_filter *f, struct dt_host_filter_counters *out)
{
    struct counter_read r = {.c = {0}};
    if (dt_nft_get(f->nft, NFT_MSG_GETOBJ, NLM_F_DUMP, DT_HOST_FILTER_TABLE, NULL, read_counter,
                   forget_counters, &r) < 0 &&
        errno != ENOENT)
        return -1;
    out->out = f->past.out + r.c.out;
    out->in = f->past.in + r.c.in;
    return 0;
}

static void put_all(struct dt_host_filter *f)
{
    dt_nft_begin(f->nft);
    /* Added first, so that it can be deleted whether it was there or not. */
    filter_put_table(f, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    filter_put_table(f, NFT_MSG_DELTABLE, 0);
    filter_put_table(f, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    filter_put_counter(f, "out");
    filter_put_counter(f, "in");
    for (int i = 0; i < SETS; i++) {
        put_set(f, i);
        put_elements(f, i);
    }
    put_chain(f, "early", NF_INET_PRE_ROUTING, BEFORE_ALL);
    put_chain(f, "out", NF_INET_POST_ROUTING, 0);
    put_chain(f, "in", NF_INET_PRE_ROUTING, BEFORE_FILTERS);
    put_plain_chain(f, "judge");
    if (f->ports.n) {
        put_chain(f, "fragments", NF_INET_PRE_ROUTING, BEFORE_ALL);
        put_plain_chain(f, "fragment_marks");
        put_plain_chain(f, "quoted");
        filter_ports_mark(f->nft, &f->ports);
    }
    if (f->ports.narrowed) {
        put_plain_chain(f, "ports_out");
        put_plain_chain(f, "ports_in");
    }
    if (f->ports.pairs) {
        put_plain_chain(f, "pairs_out");
        put_plain_chain(f, "pairs_in");
    }
    put_rules(f);
    if (f->ports.narrowed)
        put_port_rules(f);
    if (f->ports.pairs)
        put_pair_rules(f);
    if (f->ports.n)
        filter_ports_quoted(f->nft, "out", &f->ports);
}

int dt_host_filter_set(struct dt_host_filter *f, struct dt_err *err)
{
    struct dt_host_filter_counters past = f->past;
    dt_host_filter_counters(f, &past);
    put_all(f);
    int rc = dt_nft_commit(f->nft);
    if (rc < 0 && errno == ENOENT && !f->no_socket_mark) { /* it has no nft_socket */
        f->no_socket_mark = true;
        put_all(f);
        rc = dt_nft_commit(f->nft);
    }
    if (rc < 0)
        return dt_err_set(err, 0, "nftables does not take the table inet %s: %s", DT_HOST_FILTER_TABLE,
                          strerror(errno));
    f->past = past;
    f->stands = f->want;
    if (dt_nft_digest(f->nft, DT_HOST_FILTER_TABLE, set_name, SETS, &f->as_told) < 0)
        f->as_told = 0;
    return 0;
}

int dt_host_filter_remove(struct dt_host_filter *f, struct dt_err *err)
{
    struct dt_host_filter_counters past = f->past;
    dt_host_filter_counters(f, &past);
    dt_nft_begin(f->nft);
    filter_put_table(f, NFT_MSG_DELTABLE, 0);
    if (dt_nft_commit(f->nft) < 0 && errno != ENOENT)
        return dt_err_set(err, 0, "nftables keeps the table inet %s: %s", DT_HOST_FILTER_TABLE,
                          strerror(errno));
    f->past = past;
    f->as_told = 0;
    return 0;
}
