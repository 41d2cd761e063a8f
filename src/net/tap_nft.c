/* The table "inet dovetail_discovery": probes for hosts of ours end here, one rule for each of their networks. Put there in one
 * transaction. The table belongs to our netlink socket, where the kernel knows owners. */
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

#define CHAIN   "probes"
#define COUNTER "held_back"
#define BATCH   (512 * 1024)
#define IN_RAW  (-300) /* before connection tracking */

struct tap_nft {
    struct dt_nft *nft;
    bool plain; /* the kernel knows no owners */
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

static void prefix_is(struct nlmsghdr *h, uint32_t at, const struct dt_prefix *p)
{
    uint8_t mask[16] = {0};
    for (unsigned bit = 0; bit < p->len; bit++)
        mask[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    if (p->len)
        field_is(h, NFT_PAYLOAD_NETWORK_HEADER, at, mask, p->addr.b, (uint32_t)dt_addr_size(&p->addr));
}

/* The same conditions as the socket filter's, so that nothing is held back that the tap does not see. */
static void put_rule(struct tap_nft *n, uint16_t port, const struct dt_prefix *host)
{
    static const uint8_t udp = DT_IPPROTO_UDP, exchange = TAP_EXCHANGE, fragment[2] = {0x3f, 0xff},
                         none[2] = {0, 0};
    bool four = host->addr.ver == 4;
    uint8_t family = four ? NFPROTO_IPV4 : NFPROTO_IPV6, be_port[2] = {(uint8_t)(port >> 8), (uint8_t)port};
    struct nlmsghdr *h = dt_nft_message(n->nft, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, DT_TAP_TABLE);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, CHAIN);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    dt_nft_meta(h, NFT_META_NFPROTO);
    dt_nft_is(h, &family, 1);
    field_is(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 9 : 6, NULL, &udp, 1);
    if (four)
        field_is(h, NFT_PAYLOAD_NETWORK_HEADER, 6, fragment, none, 2);
    field_is(h, NFT_PAYLOAD_TRANSPORT_HEADER, 2, NULL, be_port, 2);
    field_is(h, NFT_PAYLOAD_TRANSPORT_HEADER, DT_UDP_HDR_LEN + TAP_EXCHANGE_AT, NULL, &exchange, 1);
    prefix_is(h, four ? 16 : 24, host);
    dt_nft_count(h, COUNTER); /* beside the rules, which are compared */
    dt_nft_verdict(h, NF_DROP);
    mnl_attr_nest_end(h, list);
    dt_nft_next(n->nft);
}

/* ---- the table ---- */

static void put_delete(struct tap_nft *n)
{
    struct nlmsghdr *h = dt_nft_message(n->nft, NFT_MSG_DELTABLE, 0);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, DT_TAP_TABLE);
    dt_nft_next(n->nft);
}

static void tap_put_table(struct tap_nft *n)
{
    struct nlmsghdr *h = dt_nft_message(n->nft, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, DT_TAP_TABLE);
    dt_nft_be32(h, NFTA_TABLE_FLAGS, n->plain ? 0 : NFT_TABLE_F_OWNER);
    dt_nft_next(n->nft);
    h = dt_nft_message(n->nft, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, DT_TAP_TABLE);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, CHAIN);
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
    dt_nft_be32(h, NFTA_CHAIN_POLICY, NF_ACCEPT);
    struct nlattr *hook = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    dt_nft_be32(h, NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING);
    dt_nft_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)IN_RAW);
    mnl_attr_nest_end(h, hook);
    dt_nft_next(n->nft);
}

static void tap_put_counter(struct tap_nft *n)
{
    struct nlmsghdr *h = dt_nft_message(n->nft, NFT_MSG_NEWOBJ, NLM_F_CREATE);
    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_OBJ_TABLE, DT_TAP_TABLE);
    mnl_attr_put_strz(h, NFTA_OBJ_NAME, COUNTER);
    dt_nft_be32(h, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
    mnl_attr_nest_end(h, mnl_attr_nest_start(h, NFTA_OBJ_DATA));
    dt_nft_next(n->nft);
}

static int replace_table(struct tap_nft *n, bool there, uint16_t port, const struct dt_prefix *host,
                         size_t count)
{
    dt_nft_begin(n->nft);
    if (there)
        put_delete(n);
    tap_put_table(n);
    tap_put_counter(n);
    for (size_t i = 0; i < count; i++)
        put_rule(n, port, &host[i]);
    return dt_nft_commit(n->nft);
}

int tap_nft_read(struct tap_nft *n, uint64_t *digest, struct dt_err *err)
{
    if (dt_nft_digest(n->nft, DT_TAP_TABLE, NULL, 0, digest) < 0)
        return dt_err_set(err, 0, "nftables cannot be read: %s", strerror(errno));
    return 0;
}

int tap_nft_set(struct tap_nft *n, uint16_t port, const struct dt_prefix *host, size_t count,
                struct dt_err *err)
{
    uint64_t there; /* perhaps a killed process's, on an older kernel */
    if (tap_nft_read(n, &there, err) < 0)
        return -1;
    int rc = replace_table(n, there != 0, port, host, count);
    if (rc && !n->plain && (errno == EOPNOTSUPP || errno == EINVAL)) {
        n->plain = true;
        rc = replace_table(n, there != 0, port, host, count);
        n->plain = rc == 0;
    }
    return rc ? dt_err_set(err, 0, "nftables does not take the table inet %s: %s", DT_TAP_TABLE,
                           strerror(errno))
              : 0;
}

int tap_nft_remove(struct tap_nft *n, struct dt_err *err)
{
    dt_nft_begin(n->nft);
    put_delete(n);
    if (dt_nft_commit(n->nft) < 0 && errno != ENOENT)
        return dt_err_set(err, 0, "nftables keeps the table inet %s: %s", DT_TAP_TABLE, strerror(errno));
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
    if (n->nft)
        return n;
    free(n);
    return NULL;
}

void tap_nft_close(struct tap_nft *n)
{
    if (!n)
        return;
    tap_nft_remove(n, NULL);
    dt_nft_close(n->nft);
    free(n);
}
