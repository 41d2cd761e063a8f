/* The table "dovetail_discovery" of nftables: probes for hosts of ours end here. One rule for each protected half, put
 * there in one transaction. The table belongs to our netlink socket (NFT_TABLE_F_OWNER, Linux 5.12), so that the kernel
 * removes it when the process ends; an older kernel's is removed at the next start. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "net/tap.h"
#include "wire/ip.h"
#include "wire/udp.h"

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 0x2
#endif

#define TABLE  "dovetail_discovery"
#define CHAIN  "probes"
#define BATCH  (128 * 1024)
#define IN_RAW (-300) /* before connection tracking */

struct tap_nft {
    struct mnl_socket *sock;
    unsigned port;
    uint32_t seq;
    bool made, plain;
    char *buf;
    struct mnl_nlmsg_batch *batch;
};

/* ---- messages of a batch ---- */

static struct nlmsghdr *put(struct tap_nft *n, uint16_t type, uint16_t flags, uint8_t family, uint16_t res)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(n->batch));
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++n->seq;
    struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof *g);
    *g = (struct nfgenmsg){.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res)};
    return h;
}

static struct nlmsghdr *put_nft(struct tap_nft *n, uint8_t what, uint16_t flags)
{
    return put(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | what), flags, NFPROTO_INET, 0);
}

static void next(struct tap_nft *n)
{
    mnl_nlmsg_batch_next(n->batch);
}

static void begin(struct tap_nft *n)
{
    mnl_nlmsg_batch_reset(n->batch);
    put(n, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    next(n);
}

/* The kernel answers each message that asks for it, and every one that fails. 0, or -1 with errno of the first. */
static int end(struct tap_nft *n, uint32_t last)
{
    put(n, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    next(n);
    if (mnl_socket_sendto(n->sock, mnl_nlmsg_batch_head(n->batch), mnl_nlmsg_batch_size(n->batch)) < 0)
        return -1;
    for (;;) {
        char in[8192];
        ssize_t len = mnl_socket_recvfrom(n->sock, in, sizeof in);
        if (len < 0)
            return -1;
        int left = (int)len;
        for (struct nlmsghdr *h = (struct nlmsghdr *)in; mnl_nlmsg_ok(h, left);
             h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_type != NLMSG_ERROR)
                continue;
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            if (e->error) {
                errno = -e->error;
                return -1;
            }
            if (h->nlmsg_seq == last)
                return 0;
        }
    }
}

static void put_be32(struct nlmsghdr *h, uint16_t type, uint32_t v)
{
    mnl_attr_put_u32(h, type, htonl(v));
}

/* ---- expressions ---- */

struct expression {
    struct nlattr *elem, *data;
};

static struct expression open_expr(struct nlmsghdr *h, const char *name)
{
    struct expression e = {.elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM)};
    mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
    e.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
    return e;
}

static void close_expr(struct nlmsghdr *h, struct expression e)
{
    mnl_attr_nest_end(h, e.data);
    mnl_attr_nest_end(h, e.elem);
}

static void put_value(struct nlmsghdr *h, uint16_t type, const void *v, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(h, type);
    mnl_attr_put(h, NFTA_DATA_VALUE, len, v);
    mnl_attr_nest_end(h, nest);
}

static void is(struct nlmsghdr *h, const void *v, size_t len)
{
    struct expression e = open_expr(h, "cmp");
    put_be32(h, NFTA_CMP_SREG, NFT_REG_1);
    put_be32(h, NFTA_CMP_OP, NFT_CMP_EQ);
    put_value(h, NFTA_CMP_DATA, v, len);
    close_expr(h, e);
}

/* `len` bytes at `at` of the network or transport header, masked, are v. */
static void field_is(struct nlmsghdr *h, uint32_t base, uint32_t at, const void *mask, const void *v,
                     uint32_t len)
{
    static const uint8_t zero[16];
    struct expression e = open_expr(h, "payload");
    put_be32(h, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_be32(h, NFTA_PAYLOAD_BASE, base);
    put_be32(h, NFTA_PAYLOAD_OFFSET, at);
    put_be32(h, NFTA_PAYLOAD_LEN, len);
    close_expr(h, e);
    if (mask) {
        e = open_expr(h, "bitwise");
        put_be32(h, NFTA_BITWISE_SREG, NFT_REG_1);
        put_be32(h, NFTA_BITWISE_DREG, NFT_REG_1);
        put_be32(h, NFTA_BITWISE_LEN, len);
        put_value(h, NFTA_BITWISE_MASK, mask, len);
        put_value(h, NFTA_BITWISE_XOR, zero, len);
        close_expr(h, e);
    }
    is(h, v, len);
}

static void drop(struct nlmsghdr *h)
{
    struct expression e = open_expr(h, "counter");
    close_expr(h, e);
    e = open_expr(h, "immediate");
    put_be32(h, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *data = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA);
    struct nlattr *verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
    put_be32(h, NFTA_VERDICT_CODE, NF_DROP);
    mnl_attr_nest_end(h, verdict);
    mnl_attr_nest_end(h, data);
    close_expr(h, e);
}

/* The same conditions as the socket filter's, so that nothing is held back that the tap does not see. */
static uint32_t put_rule(struct tap_nft *n, uint16_t port, const struct dt_tap_half *half)
{
    static const uint8_t udp = DT_IPPROTO_UDP, exchange = TAP_EXCHANGE, fragment[2] = {0x3f, 0xff},
                         none[2] = {0, 0};
    bool four = half->addr.ver == 4;
    uint8_t family = four ? NFPROTO_IPV4 : NFPROTO_IPV6, be_port[2] = {(uint8_t)(port >> 8), (uint8_t)port};
    struct nlmsghdr *h = put_nft(n, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, TABLE);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, CHAIN);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    struct expression e = open_expr(h, "meta");
    put_be32(h, NFTA_META_DREG, NFT_REG_1);
    put_be32(h, NFTA_META_KEY, NFT_META_NFPROTO);
    close_expr(h, e);
    is(h, &family, 1);
    field_is(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 9 : 6, NULL, &udp, 1);
    if (four)
        field_is(h, NFT_PAYLOAD_NETWORK_HEADER, 6, fragment, none, 2);
    field_is(h, NFT_PAYLOAD_TRANSPORT_HEADER, 2, NULL, be_port, 2);
    field_is(h, NFT_PAYLOAD_TRANSPORT_HEADER, DT_UDP_HDR_LEN + TAP_EXCHANGE_AT, NULL, &exchange, 1);
    field_is(h, NFT_PAYLOAD_NETWORK_HEADER, four ? 16 : 24, half->mask.b, half->addr.b,
             (uint32_t)dt_addr_size(&half->addr));
    drop(h);
    mnl_attr_nest_end(h, list);
    next(n);
    return n->seq;
}

/* ---- the table ---- */

static void put_delete(struct tap_nft *n)
{
    struct nlmsghdr *h = put_nft(n, NFT_MSG_DELTABLE, NLM_F_ACK);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, TABLE);
    next(n);
}

static int delete_table(struct tap_nft *n)
{
    begin(n);
    put_delete(n);
    return end(n, n->seq);
}

static uint32_t put_table(struct tap_nft *n)
{
    struct nlmsghdr *h = put_nft(n, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, TABLE);
    put_be32(h, NFTA_TABLE_FLAGS, n->plain ? 0 : NFT_TABLE_F_OWNER);
    next(n);
    h = put_nft(n, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK);
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, TABLE);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, CHAIN);
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
    put_be32(h, NFTA_CHAIN_POLICY, NF_ACCEPT);
    struct nlattr *hook = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    put_be32(h, NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING);
    put_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)IN_RAW);
    mnl_attr_nest_end(h, hook);
    next(n);
    return n->seq;
}

static int replace(struct tap_nft *n, uint16_t port, const struct dt_tap_half *half, size_t count)
{
    begin(n);
    if (n->made)
        put_delete(n);
    uint32_t last = count ? put_table(n) : n->seq;
    for (size_t i = 0; i < count; i++)
        last = put_rule(n, port, &half[i]);
    return end(n, last);
}

int tap_nft_set(struct tap_nft *n, uint16_t port, const struct dt_tap_half *half, size_t count,
                struct dt_err *err)
{
    if (!count && !n->made)
        return 0;
    int rc = replace(n, port, half, count);
    if (rc && !n->plain && !n->made && (errno == EOPNOTSUPP || errno == EINVAL)) {
        n->plain = true;
        rc = replace(n, port, half, count);
    }
    if (rc)
        return dt_err_set(err, 0, "nftables does not take the table %s: %s", TABLE, strerror(errno));
    n->made = count > 0;
    return 0;
}

struct tap_nft *tap_nft_open(struct dt_err *err)
{
    struct tap_nft *n = calloc(1, sizeof *n);
    if (n && (n->buf = malloc(2 * BATCH)))
        n->batch = mnl_nlmsg_batch_start(n->buf, BATCH);
    if (n && n->batch)
        n->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!n || !n->sock || mnl_socket_bind(n->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
        dt_err_set(err, 0, "no netlink socket for nftables: %s", strerror(errno));
        tap_nft_close(n);
        return NULL;
    }
    int buffer = BATCH * 2;
    mnl_socket_setsockopt(n->sock, SO_SNDBUF, &buffer, sizeof buffer);
    n->port = mnl_socket_get_portid(n->sock);
    n->seq = (uint32_t)n->port << 8;
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
    if (n->sock)
        mnl_socket_close(n->sock);
    if (n->batch)
        mnl_nlmsg_batch_stop(n->batch);
    free(n->buf);
    free(n);
}
