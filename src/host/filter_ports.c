/* Protocols and ports: one rule for each. A look-up of its network comes before them (filter.c). */
#include "host/filter_ports.h"

#include <linux/netfilter.h>

struct port_rule {
    struct nlmsghdr *h;
    struct nlattr *list;
};

static struct port_rule begin_rule(struct dt_nft *n, const char *chain)
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

static void match_net(struct nlmsghdr *h, const struct dt_prefix *p, bool source)
{
    bool four = p->addr.ver == 4;
    uint8_t mask[16] = {0};
    for (unsigned bit = 0; bit < p->len; bit++)
        mask[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    match_family(h, four);
    if (!p->len)
        return;
    dt_nft_payload(h, NFT_PAYLOAD_NETWORK_HEADER,
                   (four ? 12 : 8) + (source ? 0
                                      : four ? 4
                                             : 16),
                   four ? 4 : 16);
    dt_nft_mask(h, mask, four ? 4 : 16);
    dt_nft_is(h, p->addr.b, four ? 4 : 16);
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
    return p->ports[1] != 0;
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
    bool four = p->net.addr.ver == 4;
    match_net(h, &p->net, false);
    match_parts(h, four, later);
    match_field(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 9 : 40, &p->proto, 1);
}

/* What is no fragment is through after two looks. */
static void jump_fragments(struct dt_nft *n, bool four)
{
    struct port_rule r = begin_rule(n, "fragments");
    if (!r.h)
        return;
    match_family(r.h, four);
    match_parts(r.h, four, false);
    dt_nft_jump(r.h, "fragment_marks");
    end_rule(n, r);
}

void filter_ports_mark(struct dt_nft *n, const struct filter_port *v, size_t count)
{
    jump_fragments(n, true);
    jump_fragments(n, false);
    for (size_t i = 0; i < count; i++) {
        struct port_rule r =
            has_ports(&v[i]) ? begin_rule(n, "fragment_marks") : (struct port_rule){.h = NULL};
        if (!r.h)
            continue;
        match_fragment(r.h, &v[i], false);
        dt_nft_set_mark(r.h, DT_HOST_FRAGMENT_MARK);
        end_rule(n, r);
    }
}

void filter_ports_drop(struct dt_nft *n, const char *chain, bool out, const char *counter,
                       const struct filter_port *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!v[i].closed)
            continue;
        int rules = out && has_ports(&v[i]) ? 2 : 1; /* the second for fragments */
        for (int fragment = 0; fragment < rules; fragment++) {
            struct port_rule r = begin_rule(n, chain);
            if (!r.h)
                return;
            if (fragment) {
                match_fragment(r.h, &v[i], true);
            } else {
                match_net(r.h, &v[i].net, !out);
                match_proto(r.h, v[i].proto);
                if (has_ports(&v[i]))
                    match_ports(r.h, v[i].ports, !out);
            }
            dt_nft_count(r.h, counter);
            dt_nft_verdict(r.h, NF_DROP);
            end_rule(n, r);
        }
    }
}
