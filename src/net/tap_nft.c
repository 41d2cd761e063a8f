/* The table "dovetail_discovery" of nftables: probes for hosts of ours end here, one rule for each protected half, and
 * fragments that a proxy with ports may carry are marked. Put there in one transaction. The table belongs to our netlink socket (NFT_TABLE_F_OWNER, Linux 5.12), so that the kernel
 * removes it when the process ends; an older kernel's is removed at the next start. */
#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>

#include "net/nft.h"
#include "net/tap.h"
#include "wire/ip.h"
#include "wire/udp.h"

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 0x2
#endif

#define TABLE  "dovetail_discovery"
#define CHAIN  "probes"
#define BATCH  (512 * 1024)
#define IN_RAW (-300) /* before connection tracking */

struct tap_nft {
    struct dt_nft *nft;
    bool made, plain;
};

/* `len` bytes at `at` of the network or transport header, masked, are v. */
static void field_is(struct nlmsghdr *h, uint32_t base, uint32_t at, const void *mask, const void *v,
                     uint32_t len)
{
    dt_nft_payload(h, base, at, len);
    if (mask)
        dt_nft_mask(h, mask, len);
    dt_nft_is(h, v, len);
}

/* The same conditions as the socket filter's, so that nothing is held back that the tap does not see. */
static void put_rule(struct tap_nft *n, uint16_t port, const struct dt_tap_half *half)
{
    static const uint8_t udp = DT_IPPROTO_UDP, exchange = TAP_EXCHANGE, fragment[2] = {0x3f, 0xff},
                         none[2] = {0, 0};
    bool four = half->addr.ver == 4;
    uint8_t family = four ? NFPROTO_IPV4 : NFPROTO_IPV6, be_port[2] = {(uint8_t)(port >> 8), (uint8_t)port};
    struct nlmsghdr *h = dt_nft_message(n->nft, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, TABLE);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, CHAIN);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    dt_nft_meta(h, NFT_META_NFPROTO);
    dt_nft_is(h, &family, 1);
    field_is(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 9 : 6, NULL, &udp, 1);
    if (four)
        field_is(h, NFT_PAYLOAD_NETWORK_HEADER, 6, fragment, none, 2);
    field_is(h, NFT_PAYLOAD_TRANSPORT_HEADER, 2, NULL, be_port, 2);
    field_is(h, NFT_PAYLOAD_TRANSPORT_HEADER, DT_UDP_HDR_LEN + TAP_EXCHANGE_AT, NULL, &exchange, 1);
    field_is(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 16 : 24, half->mask.b, half->addr.b,
             (uint32_t)dt_addr_size(&half->addr));
    dt_nft_count(h, NULL);
    dt_nft_verdict(h, NF_DROP);
    mnl_attr_nest_end(h, list);
    dt_nft_next(n->nft);
}

static void prefix_is(struct nlmsghdr *h, uint32_t at, const struct dt_prefix *p)
{
    uint8_t mask[16] = {0};
    for (unsigned bit = 0; bit < p->len; bit++)
        mask[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    if (p->len)
        field_is(h, NFT_PAYLOAD_NETWORK_HEADER, at, mask, p->addr.b, (uint32_t)dt_addr_size(&p->addr));
}

/* Any fragment between the two sides, of the protocol: whether it has the ports is seen in the data path. (IPv6: where the
 * fragment header is the first extension header, as hosts send it.) */
static void put_fragment_rule(struct tap_nft *n, const struct dt_steer_rule *x)
{
    static const uint8_t part[2] = {0x3f, 0xff}, none[2] = {0, 0}, header = 44;
    bool four = x->src.addr.ver == 4;
    uint8_t family = four ? NFPROTO_IPV4 : NFPROTO_IPV6;
    struct nlmsghdr *h = dt_nft_message(n->nft, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, TABLE);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, CHAIN);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    dt_nft_meta(h, NFT_META_NFPROTO);
    dt_nft_is(h, &family, 1);
    if (four) {
        dt_nft_payload(h, NFT_PAYLOAD_NETWORK_HEADER, 6, 2);
        dt_nft_mask(h, part, 2);
        dt_nft_is_not(h, none, 2);
    } else {
        field_is(h, NFT_PAYLOAD_NETWORK_HEADER, 6, NULL, &header, 1);
    }
    prefix_is(h, four ? 12 : 8, &x->src);
    prefix_is(h, four ? 16 : 24, &x->dst);
    if (x->proto)
        field_is(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 9 : DT_IP6_HDR_LEN, NULL, &x->proto, 1);
    dt_nft_set_mark(h, DT_STEER_FRAGMENT);
    mnl_attr_nest_end(h, list);
    dt_nft_next(n->nft);
}

/* ---- the table ---- */

static void put_delete(struct tap_nft *n)
{
    struct nlmsghdr *h = dt_nft_message(n->nft, NFT_MSG_DELTABLE, 0);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, TABLE);
    dt_nft_next(n->nft);
}

static int delete_table(struct tap_nft *n)
{
    dt_nft_begin(n->nft);
    put_delete(n);
    return dt_nft_commit(n->nft);
}

static void put_table(struct tap_nft *n)
{
    struct nlmsghdr *h = dt_nft_message(n->nft, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, TABLE);
    dt_nft_be32(h, NFTA_TABLE_FLAGS, n->plain ? 0 : NFT_TABLE_F_OWNER);
    dt_nft_next(n->nft);
    h = dt_nft_message(n->nft, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, TABLE);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, CHAIN);
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
    dt_nft_be32(h, NFTA_CHAIN_POLICY, NF_ACCEPT);
    struct nlattr *hook = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    dt_nft_be32(h, NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING);
    dt_nft_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)IN_RAW);
    mnl_attr_nest_end(h, hook);
    dt_nft_next(n->nft);
}

static int replace(struct tap_nft *n, uint16_t port, const struct dt_tap_half *half, size_t count,
                   const struct dt_steer_rule *steer, size_t nsteer)
{
    dt_nft_begin(n->nft);
    if (n->made)
        put_delete(n);
    if (count)
        put_table(n);
    for (size_t i = 0; i < count; i++)
        put_rule(n, port, &half[i]);
    for (size_t i = 0; i < nsteer && count; i++)
        if (steer[i].sport || steer[i].dport)
            put_fragment_rule(n, &steer[i]);
    return dt_nft_commit(n->nft);
}

int tap_nft_set(struct tap_nft *n, uint16_t port, const struct dt_tap_half *half, size_t count,
                const struct dt_steer_rule *steer, size_t nsteer, struct dt_err *err)
{
    if (!count && !n->made)
        return 0;
    int rc = replace(n, port, half, count, steer, nsteer);
    if (rc && !n->plain && !n->made && (errno == EOPNOTSUPP || errno == EINVAL)) {
        n->plain = true;
        rc = replace(n, port, half, count, steer, nsteer);
    }
    if (rc)
        return dt_err_set(err, 0, "nftables does not take the table %s: %s", TABLE, strerror(errno));
    n->made = count > 0;
    return 0;
}

struct tap_nft *tap_nft_open(struct dt_err *err)
{
    struct tap_nft *n = calloc(1, sizeof *n);
    if (!n) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    n->nft = dt_nft_open(BATCH, err);
    if (!n->nft) {
        free(n);
        return NULL;
    }
    if (delete_table(n) && errno != ENOENT) { /* a killed process's, on an older kernel */
        dt_err_set(err, 0, "nftables cannot be used: the table %s: %s", TABLE, strerror(errno));
        tap_nft_close(n);
        return NULL;
    }
    return n;
}

void tap_nft_close(struct tap_nft *n)
{
    if (!n)
        return;
    if (n->made)
        delete_table(n);
    dt_nft_close(n->nft);
    free(n);
}
