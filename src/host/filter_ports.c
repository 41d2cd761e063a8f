/* Protocols and ports, and pairs of networks: one rule for each. A look-up of its networks comes before them (filter.c). */
#include "host/filter_ports.h"

#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

/* ---- what is wanted ---- */

static struct filter_port *next_port(struct filter_ports *l, const struct dt_host_fact *x)
{
    struct filter_port *p = &l->v[l->n++];
    memset(p, 0, sizeof *p); /* it is digested as octets */
    p->net.addr = x->rule.dst.addr;
    p->net.len = x->rule.dst.len;
    p->ver = x->rule.ver;
    p->proto = x->rule.proto;
    p->closed = x->closed;
    memcpy(p->ports, x->rule.dport, sizeof p->ports);
    return p;
}

/* Ports without a protocol are those of all that have ports. */
static enum filter_added add_pair(struct filter_ports *l, const struct dt_host_fact *x)
{
    static const uint8_t with_ports[] = {6, 17, 33, 132, 136};
    const struct dt_nl_rule *rule = &x->rule;
    bool each = !rule->proto && (rule->dport[1] || rule->sport[1]);
    if (dt_grow(l->v, l->cap, l->n + sizeof with_ports - 1, 16))
        return FILTER_NO_MEMORY;
    for (size_t i = 0; i < (each ? sizeof with_ports : 1); i++) {
        struct filter_port *p = next_port(l, x);
        p->from.addr = rule->src.addr;
        p->from.len = rule->src.len;
        p->pair = true;
        memcpy(p->from_ports, rule->sport, sizeof p->from_ports);
        if (each)
            p->proto = with_ports[i];
    }
    l->pairs = true;
    return FILTER_PAIR;
}

static enum filter_added pair_side_add(struct filter_ports *l, const struct dt_prefix *own)
{
    for (size_t i = 0; i < l->nside; i++)
        if (dt_prefix_covers(&l->side[i], own))
            return FILTER_NOTHING;
    if (dt_grow(l->side, l->side_cap, l->nside, 8))
        return FILTER_NO_MEMORY;
    l->side[l->nside++] = *own;
    return FILTER_NOTHING;
}

enum filter_added filter_ports_add(struct filter_ports *l, const struct dt_host_fact *x)
{
    const struct dt_nl_rule *r = &x->rule;
    if (r->action == DT_NL_RULE_GOTO && r->priority == DT_HOST_PRIORITY_DISCOVER && r->dst.len)
        return pair_side_add(l, &r->dst);
    if (r->action != DT_NL_RULE_TABLE || r->mark) /* a mark is that of fragments */
        return FILTER_NOTHING;
    if (r->priority == DT_HOST_PRIORITY_DISCOVER + 1)
        return add_pair(l, x);
    if (!r->proto || r->src.len)
        return FILTER_NOTHING;
    if (dt_grow(l->v, l->cap, l->n, 16))
        return FILTER_NO_MEMORY;
    next_port(l, x);
    l->narrowed = true;
    return FILTER_NARROWED;
}

void filter_ports_forget(struct filter_ports *l)
{
    l->n = l->nside = 0;
    l->narrowed = l->pairs = false;
}

void filter_ports_free(struct filter_ports *l)
{
    free(l->v);
    free(l->side);
}

void filter_ports_digest(const struct filter_ports *l, struct dt_digest *d)
{
    if (l->n)
        dt_digest_bytes(d, l->v, l->n * sizeof *l->v);
    dt_digest_u64(d, l->nside);
    for (size_t i = 0; i < l->nside; i++) {
        dt_digest_u64(d, l->side[i].len);
        dt_digest_bytes(d, l->side[i].addr.b, 16);
    }
}

/* ---- rules ---- */

enum { QUOTED = 8 }; /* where an ICMP error has the packet that it is about (RFC 792, RFC 4443) */

struct port_rule {
    struct nlmsghdr *h;
    struct nlattr *list;
};

static struct port_rule port_rule_begin(struct dt_nft *n, const char *chain)
{
    struct port_rule r = {.h = dt_nft_message(n, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND)};
    if (!r.h)
        return r;
    mnl_attr_put_strz(r.h, NFTA_RULE_TABLE, DT_HOST_FILTER_TABLE);
    mnl_attr_put_strz(r.h, NFTA_RULE_CHAIN, chain);
    r.list = mnl_attr_nest_start(r.h, NFTA_RULE_EXPRESSIONS);
    return r;
}

static void end_rule(struct dt_nft *n, struct port_rule r)
{
    mnl_attr_nest_end(r.h, r.list);
    dt_nft_next(n);
}

static void match_family(struct nlmsghdr *h, bool four)
{
    uint8_t family = four ? NFPROTO_IPV4 : NFPROTO_IPV6;
    dt_nft_meta(h, NFT_META_NFPROTO);
    dt_nft_is(h, &family, 1);
}

static void match_field(struct nlmsghdr *h, uint32_t base, uint32_t at, const void *v, uint32_t len)
{
    dt_nft_payload(h, base, at, len);
    dt_nft_is(h, v, len);
}

/* An address of the IP header that begins at `at` of `base`. */
static void match_net_at(struct nlmsghdr *h, uint32_t base, uint32_t at, const struct dt_prefix *p,
                         bool source)
{
    bool four = p->addr.ver == 4;
    uint8_t mask[16] = {0};
    for (unsigned bit = 0; bit < p->len; bit++)
        mask[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    if (!p->len)
        return;
    dt_nft_payload(h, base, at + (four ? 12 : 8) + (source ? 0 : four ? 4 : 16), four ? 4 : 16);
    dt_nft_mask(h, mask, four ? 4 : 16);
    dt_nft_is(h, p->addr.b, four ? 4 : 16);
}

static void match_net(struct nlmsghdr *h, const struct dt_prefix *p, bool source)
{
    match_net_at(h, NFT_PAYLOAD_NETWORK_HEADER, 0, p, source);
}

static void match_proto(struct nlmsghdr *h, uint8_t proto)
{
    dt_nft_meta(h, NFT_META_L4PROTO);
    dt_nft_is(h, &proto, 1);
}

static void match_ports(struct nlmsghdr *h, const uint16_t p[2], bool source)
{
    const uint8_t from[2] = {(uint8_t)(p[0] >> 8), (uint8_t)p[0]},
                  to[2] = {(uint8_t)(p[1] >> 8), (uint8_t)p[1]};
    dt_nft_payload(h, NFT_PAYLOAD_TRANSPORT_HEADER, source ? 0 : 2, 2);
    dt_nft_is_between(h, from, to, 2);
}

static bool has_ports(const struct filter_port *p)
{
    return p->ports[1] != 0 || p->from_ports[1] != 0;
}

/* Of those that go there, or of those that come from there. */
static void match_networks(struct nlmsghdr *h, const struct filter_port *p, bool out)
{
    match_family(h, p->ver == 4);
    match_net(h, &p->net, !out);
    match_net(h, &p->from, out);
}

/* A fragment, or one that is not the first. (IPv6: where the fragment header is the first, as hosts send it.) */
static void match_parts(struct nlmsghdr *h, bool four, bool later)
{
    static const uint8_t any4[2] = {0x3f, 0xff}, later4[2] = {0x1f, 0xff}, later6[2] = {0xff, 0xf8}, none[2],
                         header = 44;
    if (!four)
        match_field(h, NFT_PAYLOAD_NETWORK_HEADER, 6, &header, 1);
    if (!four && !later)
        return;
    dt_nft_payload(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 6 : 42, 2);
    dt_nft_mask(h, !four ? later6 : later ? later4 : any4, 2);
    dt_nft_is_not(h, none, 2);
}

static void match_fragment(struct nlmsghdr *h, const struct filter_port *p, bool later)
{
    bool four = p->ver == 4;
    match_networks(h, p, true);
    match_parts(h, four, later);
    match_field(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 9 : 40, &p->proto, 1);
}

/* What is no fragment is through after two looks. */
static void jump_fragments(struct dt_nft *n, bool four)
{
    struct port_rule r = port_rule_begin(n, "fragments");
    if (!r.h)
        return;
    match_family(r.h, four);
    match_parts(r.h, four, false);
    dt_nft_jump(r.h, "fragment_marks");
    end_rule(n, r);
}

void filter_ports_mark(struct dt_nft *n, const struct filter_ports *l)
{
    const struct filter_port *v = l->v;
    jump_fragments(n, true);
    jump_fragments(n, false);
    for (size_t i = 0; i < l->n; i++) {
        struct port_rule r =
            has_ports(&v[i]) ? port_rule_begin(n, "fragment_marks") : (struct port_rule){.h = NULL};
        if (!r.h)
            continue;
        match_fragment(r.h, &v[i], false);
        dt_nft_set_mark(r.h, v[i].pair ? DT_HOST_DISCOVER_FRAGMENT_MARK : DT_HOST_FRAGMENT_MARK);
        end_rule(n, r);
    }
}

/* Of what goes to our own side, comes from it, or is quoted as coming from it. */
static void return_own(struct dt_nft *n, const char *chain, uint32_t base, uint32_t at,
                       const struct dt_prefix *own, bool source)
{
    struct port_rule r = port_rule_begin(n, chain);
    if (!r.h)
        return;
    match_family(r.h, own->addr.ver == 4);
    match_net_at(r.h, base, at, own, source);
    dt_nft_verdict(r.h, NFT_RETURN);
    end_rule(n, r);
}

void filter_ports_return(struct dt_nft *n, const char *chain, bool out, const struct filter_ports *l)
{
    for (size_t i = 0; i < l->nside; i++)
        return_own(n, chain, NFT_PAYLOAD_NETWORK_HEADER, 0, &l->side[i], !out);
}

static void match_traffic(struct nlmsghdr *h, const struct filter_port *p, bool out)
{
    match_networks(h, p, out);
    if (p->proto)
        match_proto(h, p->proto);
    if (p->ports[1])
        match_ports(h, p->ports, !out);
    if (p->from_ports[1])
        match_ports(h, p->from_ports, out);
}

void filter_ports_drop(struct dt_nft *n, const char *chain, bool out, bool pair, const char *counter,
                       const struct filter_ports *l)
{
    const struct filter_port *v = l->v;
    for (size_t i = 0; i < l->n; i++) {
        if (!v[i].closed || v[i].pair != pair)
            continue;
        int rules = out && has_ports(&v[i]) ? 2 : 1; /* the second for fragments */
        for (int fragment = 0; fragment < rules; fragment++) {
            struct port_rule r = port_rule_begin(n, chain);
            if (!r.h)
                return;
            if (fragment)
                match_fragment(r.h, &v[i], true);
            else
                match_traffic(r.h, &v[i], out);
            dt_nft_count(r.h, counter);
            dt_nft_verdict(r.h, NF_DROP);
            end_rule(n, r);
        }
    }
}

/* ---- what is quoted ---- */

static void jump_errors(struct dt_nft *n, bool four, uint8_t from, uint8_t to)
{
    struct port_rule r = port_rule_begin(n, "out");
    if (!r.h)
        return;
    match_family(r.h, four);
    match_proto(r.h, four ? 1 : 58);
    dt_nft_payload(r.h, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    dt_nft_is_between(r.h, &from, &to, 1);
    dt_nft_jump(r.h, "quoted");
    end_rule(n, r);
}

static void match_quoted_ports(struct nlmsghdr *h, bool four, const uint16_t p[2], bool source)
{
    const uint8_t from[2] = {(uint8_t)(p[0] >> 8), (uint8_t)p[0]},
                  to[2] = {(uint8_t)(p[1] >> 8), (uint8_t)p[1]};
    dt_nft_payload(h, NFT_PAYLOAD_TRANSPORT_HEADER, QUOTED + (four ? 20 : 40) + (source ? 0 : 2), 2);
    dt_nft_is_between(h, from, to, 2);
}

/* How a quoted packet is looked at: IPv4 with options, or a later fragment, and IPv6 with another header before, do not say their ports
 * where they are looked for, and count as of the port. */
enum quoted_look { QUOTED_PLAIN, QUOTED_LATER, QUOTED_OPTIONS };

static void match_quoted_look(struct nlmsghdr *h, const struct filter_port *p, enum quoted_look look)
{
    static const uint8_t plain4 = 0x45, later4[2] = {0x1f, 0xff}, none[2], fragment6 = 44;
    const bool four = p->ver == 4;
    if (four && has_ports(p) && look != QUOTED_LATER) {
        dt_nft_payload(h, NFT_PAYLOAD_TRANSPORT_HEADER, QUOTED, 1);
        (look == QUOTED_PLAIN ? dt_nft_is : dt_nft_is_not)(h, &plain4, 1);
    }
    if (four && look == QUOTED_LATER) {
        dt_nft_payload(h, NFT_PAYLOAD_TRANSPORT_HEADER, QUOTED + 6, 2);
        dt_nft_mask(h, later4, 2);
        dt_nft_is_not(h, none, 2);
    }
    if (p->proto && (four || look == QUOTED_PLAIN))
        match_field(h, NFT_PAYLOAD_TRANSPORT_HEADER, QUOTED + (four ? 9 : 6), &p->proto, 1);
    else if (p->proto)
        match_field(h, NFT_PAYLOAD_TRANSPORT_HEADER, QUOTED + 6, &fragment6, 1);
    if (look == QUOTED_PLAIN && p->ports[1])
        match_quoted_ports(h, four, p->ports, true);
    if (look == QUOTED_PLAIN && p->from_ports[1])
        match_quoted_ports(h, four, p->from_ports, false);
}

static void drop_quoted(struct dt_nft *n, const char *counter, const struct filter_port *p,
                        enum quoted_look look)
{
    struct port_rule r = port_rule_begin(n, "quoted");
    if (!r.h)
        return;
    match_family(r.h, p->ver == 4);
    match_net_at(r.h, NFT_PAYLOAD_TRANSPORT_HEADER, QUOTED, &p->net, true);
    match_net_at(r.h, NFT_PAYLOAD_TRANSPORT_HEADER, QUOTED, &p->from, false);
    match_quoted_look(r.h, p, look);
    dt_nft_count(r.h, counter);
    dt_nft_verdict(r.h, NF_DROP);
    end_rule(n, r);
}

void filter_ports_quoted(struct dt_nft *n, const char *counter, const struct filter_ports *l)
{
    const struct filter_port *v = l->v;
    jump_errors(n, true, 3, 5);
    jump_errors(n, true, 11, 12);
    jump_errors(n, false, 1, 4);
    for (size_t i = 0; i < l->nside; i++)
        return_own(n, "quoted", NFT_PAYLOAD_TRANSPORT_HEADER, QUOTED, &l->side[i], true);
    for (size_t i = 0; i < l->n; i++) {
        if (!v[i].closed)
            continue;
        drop_quoted(n, counter, &v[i], QUOTED_PLAIN);
        if (v[i].ver == 4 ? has_ports(&v[i]) : v[i].proto != 0)
            drop_quoted(n, counter, &v[i], QUOTED_LATER);
        if (v[i].ver == 4 && has_ports(&v[i]))
            drop_quoted(n, counter, &v[i], QUOTED_OPTIONS);
    }
}
