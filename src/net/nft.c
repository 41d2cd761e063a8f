#include "net/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define MESSAGE_MAX (64 * 1024) /* the length of an attribute has sixteen bits */
#define GET_TRIES   8

struct dt_nft {
    struct mnl_socket *sock;
    unsigned port;
    uint32_t seq;
    bool full; /* a message had no room */
    size_t room;
    char *buf;
    struct mnl_nlmsg_batch *batch;
    char in[32768];
};

/* ---- the socket ----------------------------------------------------------------------------------- */

struct dt_nft *dt_nft_open(size_t room, struct dt_err *err)
{
    struct dt_nft *n = calloc(1, sizeof *n);
    if (n && (n->buf = malloc(room + MESSAGE_MAX)))
        n->batch = mnl_nlmsg_batch_start(n->buf, room);
    if (n && n->batch)
        n->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!n || !n->sock || mnl_socket_bind(n->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
        dt_err_set(err, 0, "no netlink socket for nftables: %s", strerror(errno));
        dt_nft_close(n);
        return NULL;
    }
    int buffer = (int)(2 * room), fd = mnl_socket_get_fd(n->sock);
    struct timeval limit = {.tv_sec = 2};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) {
        dt_err_set(err, 0, "waiting for nftables' answers has no limit: %s", strerror(errno));
        dt_nft_close(n);
        return NULL;
    }
    /* A transaction is one message to the kernel (EMSGSIZE). Without the right a small one fits all the same. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    n->room = room;
    n->port = mnl_socket_get_portid(n->sock);
    n->seq = (uint32_t)n->port << 8;
    return n;
}

void dt_nft_close(struct dt_nft *n)
{
    if (!n)
        return;
    if (n->sock)
        mnl_socket_close(n->sock);
    if (n->batch)
        mnl_nlmsg_batch_stop(n->batch);
    free(n->buf);
    free(n);
}

int dt_nft_monitor_open(struct dt_err *err)
{
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK, .nl_groups = 1u << (NFNLGRP_NFTABLES - 1)};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        dt_err_set(err, 0, "cannot watch nftables: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* ---- transactions --------------------------------------------------------------------------------- */

static struct nlmsghdr *nft_put(struct dt_nft *n, void *at, uint16_t type, uint16_t flags, uint8_t family,
                                uint16_t res)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(at);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++n->seq;
    struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof *g);
    *g = (struct nfgenmsg){.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res)};
    return h;
}

void dt_nft_begin(struct dt_nft *n)
{
    mnl_nlmsg_batch_reset(n->batch);
    n->full = false;
    nft_put(n, mnl_nlmsg_batch_current(n->batch), NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    dt_nft_next(n);
}

struct nlmsghdr *dt_nft_message(struct dt_nft *n, uint8_t what, uint16_t flags)
{
    if (n->full || mnl_nlmsg_batch_size(n->batch) + 2 * MESSAGE_MAX > n->room) {
        n->full = true;
        return NULL;
    }
    return nft_put(n, mnl_nlmsg_batch_current(n->batch), (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | what), flags,
                   NFPROTO_INET, 0);
}

void dt_nft_next(struct dt_nft *n)
{
    mnl_nlmsg_batch_next(n->batch);
}

/* Reads what the kernel says to the end: until the answer to `last` came. The errno of the first refusal; 0. */
static int nft_answers(struct dt_nft *n, uint32_t first, uint32_t last)
{
    int error = 0;
    for (;;) {
        ssize_t len = mnl_socket_recvfrom(n->sock, n->in, sizeof n->in);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return error ? error : errno == EAGAIN ? ETIMEDOUT : errno;
        int left = (int)len;
        for (struct nlmsghdr *h = (struct nlmsghdr *)n->in; mnl_nlmsg_ok(h, left);
             h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq < first || h->nlmsg_seq > last)
                continue; /* of a transaction that was given up */
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            if (e->error && !error)
                error = -e->error;
            if (h->nlmsg_seq == last)
                return error;
        }
    }
}

int dt_nft_commit(struct dt_nft *n)
{
    uint32_t first = ((struct nlmsghdr *)n->buf)->nlmsg_seq, last = n->seq;
    if (n->full) {
        errno = ENOBUFS;
        return -1;
    }
    /* The last message is answered, whatever became of it and of the others. */
    struct nlmsghdr *h;
    for (size_t at = 0; at < mnl_nlmsg_batch_size(n->batch); at += MNL_ALIGN(h->nlmsg_len)) {
        h = (struct nlmsghdr *)(n->buf + at);
        if (h->nlmsg_seq == last)
            h->nlmsg_flags |= NLM_F_ACK;
    }
    nft_put(n, mnl_nlmsg_batch_current(n->batch), NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    dt_nft_next(n);
    if (mnl_socket_sendto(n->sock, mnl_nlmsg_batch_head(n->batch), mnl_nlmsg_batch_size(n->batch)) < 0)
        return -1;
    errno = nft_answers(n, first, last);
    return errno ? -1 : 0;
}

/* ---- look-ups ------------------------------------------------------------------------------------- */

static struct nlmsghdr *nft_ask(struct dt_nft *n, uint8_t what, uint16_t flags, const char *table,
                                const char *set)
{
    struct nlmsghdr *h = nft_put(n, n->buf, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | what),
                                 (uint16_t)(flags | NLM_F_ACK), NFPROTO_INET, 0);
    /* NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_OBJ_TABLE and
     * NFTA_SET_ELEM_LIST_TABLE are one number; so are the second names of those that have one. */
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
    if (set)
        mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
    if (what == NFT_MSG_GETOBJ)
        dt_nft_be32(h, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
    return h;
}

static int nft_one_get(struct dt_nft *n, struct nlmsghdr *ask,
                       int (*each)(const struct nlmsghdr *h, void *ctx), void *ctx)
{
    uint32_t seq = ask->nlmsg_seq;
    int error = 0;
    bool interrupted = false;
    if (mnl_socket_sendto(n->sock, ask, ask->nlmsg_len) < 0)
        return errno;
    for (;;) {
        ssize_t len = mnl_socket_recvfrom(n->sock, n->in, sizeof n->in);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return errno == EAGAIN ? ETIMEDOUT : errno;
        int left = (int)len;
        for (struct nlmsghdr *h = (struct nlmsghdr *)n->in; mnl_nlmsg_ok(h, left);
             h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_seq != seq)
                continue;
            interrupted = interrupted || (h->nlmsg_flags & NLM_F_DUMP_INTR);
            if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
                const int *code = mnl_nlmsg_get_payload(h);
                if (!error && *code < 0)
                    error = -*code;
                return error ? error : interrupted ? EINTR : 0;
            }
            if (!error && each(h, ctx) < 0)
                error = errno ? errno : ENOMEM;
        }
    }
}

int dt_nft_get(struct dt_nft *n, uint8_t what, uint16_t flags, const char *table, const char *set,
               int (*each)(const struct nlmsghdr *h, void *ctx), void (*again)(void *ctx), void *ctx)
{
    int error = EINTR;
    for (int i = 0; i < GET_TRIES && error == EINTR; i++) {
        if (i > 0)
            again(ctx);
        error = nft_one_get(n, nft_ask(n, what, flags, table, set), each, ctx);
    }
    errno = error == EINTR ? EAGAIN : error;
    return error ? -1 : 0;
}

/* ---- attributes and expressions ------------------------------------------------------------------- */

void dt_nft_be32(struct nlmsghdr *h, uint16_t type, uint32_t v)
{
    mnl_attr_put_u32(h, type, htonl(v));
}

void dt_nft_value(struct nlmsghdr *h, uint16_t type, const void *v, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(h, type);
    mnl_attr_put(h, NFTA_DATA_VALUE, len, v);
    mnl_attr_nest_end(h, nest);
}

struct nft_expression {
    struct nlattr *elem, *data;
};

static struct nft_expression open_expression(struct nlmsghdr *h, const char *name)
{
    struct nft_expression e = {.elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM)};
    mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
    e.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
    return e;
}

static void close_expression(struct nlmsghdr *h, struct nft_expression e)
{
    mnl_attr_nest_end(h, e.data);
    mnl_attr_nest_end(h, e.elem);
}

void dt_nft_meta(struct nlmsghdr *h, uint32_t key)
{
    struct nft_expression e = open_expression(h, "meta");
    dt_nft_be32(h, NFTA_META_DREG, NFT_REG_1);
    dt_nft_be32(h, NFTA_META_KEY, key);
    close_expression(h, e);
}

void dt_nft_payload(struct nlmsghdr *h, uint32_t base, uint32_t at, uint32_t len)
{
    struct nft_expression e = open_expression(h, "payload");
    dt_nft_be32(h, NFTA_PAYLOAD_DREG, NFT_REG_1);
    dt_nft_be32(h, NFTA_PAYLOAD_BASE, base);
    dt_nft_be32(h, NFTA_PAYLOAD_OFFSET, at);
    dt_nft_be32(h, NFTA_PAYLOAD_LEN, len);
    close_expression(h, e);
}

void dt_nft_mask(struct nlmsghdr *h, const void *mask, uint32_t len)
{
    static const uint8_t zero[16];
    struct nft_expression e = open_expression(h, "bitwise");
    dt_nft_be32(h, NFTA_BITWISE_SREG, NFT_REG_1);
    dt_nft_be32(h, NFTA_BITWISE_DREG, NFT_REG_1);
    dt_nft_be32(h, NFTA_BITWISE_LEN, len);
    dt_nft_value(h, NFTA_BITWISE_MASK, mask, len);
    dt_nft_value(h, NFTA_BITWISE_XOR, zero, len);
    close_expression(h, e);
}

static void compare_with(struct nlmsghdr *h, enum nft_cmp_ops op, const void *v, size_t len)
{
    struct nft_expression e = open_expression(h, "cmp");
    dt_nft_be32(h, NFTA_CMP_SREG, NFT_REG_1);
    dt_nft_be32(h, NFTA_CMP_OP, op);
    dt_nft_value(h, NFTA_CMP_DATA, v, len);
    close_expression(h, e);
}

void dt_nft_is(struct nlmsghdr *h, const void *v, size_t len)
{
    compare_with(h, NFT_CMP_EQ, v, len);
}

void dt_nft_is_not(struct nlmsghdr *h, const void *v, size_t len)
{
    compare_with(h, NFT_CMP_NEQ, v, len);
}

void dt_nft_is_between(struct nlmsghdr *h, const void *from, const void *to, size_t len)
{
    struct nft_expression e = open_expression(h, "range");
    dt_nft_be32(h, NFTA_RANGE_SREG, NFT_REG_1);
    dt_nft_be32(h, NFTA_RANGE_OP, NFT_RANGE_EQ);
    dt_nft_value(h, NFTA_RANGE_FROM_DATA, from, len);
    dt_nft_value(h, NFTA_RANGE_TO_DATA, to, len);
    close_expression(h, e);
}

void dt_nft_in_set(struct nlmsghdr *h, const char *set)
{
    struct nft_expression e = open_expression(h, "lookup");
    mnl_attr_put_strz(h, NFTA_LOOKUP_SET, set);
    dt_nft_be32(h, NFTA_LOOKUP_SREG, NFT_REG_1);
    close_expression(h, e);
}

static void load_address_type(struct nlmsghdr *h)
{
    struct nft_expression e = open_expression(h, "fib");
    dt_nft_be32(h, NFTA_FIB_DREG, NFT_REG_1);
    dt_nft_be32(h, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    dt_nft_be32(h, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    close_expression(h, e);
}

void dt_nft_to_this_host(struct nlmsghdr *h)
{
    uint32_t local = RTN_LOCAL;
    load_address_type(h);
    dt_nft_is(h, &local, sizeof local); /* in host order, unlike everything else */
}

void dt_nft_not_to_another(struct nlmsghdr *h)
{
    uint32_t unicast = RTN_UNICAST;
    load_address_type(h);
    dt_nft_is_not(h, &unicast, sizeof unicast); /* in host order */
}

void dt_nft_later_fragment6(struct nlmsghdr *h)
{
    enum { FRAGMENT_HEADER = 44, OFFSET_AT = 2 };
    static const uint8_t mask[2] = {0xff, 0xf8}, first[2];
    struct nft_expression e = open_expression(h, "exthdr");
    dt_nft_be32(h, NFTA_EXTHDR_DREG, NFT_REG_1);
    mnl_attr_put_u8(h, NFTA_EXTHDR_TYPE, FRAGMENT_HEADER);
    dt_nft_be32(h, NFTA_EXTHDR_OFFSET, OFFSET_AT);
    dt_nft_be32(h, NFTA_EXTHDR_LEN, sizeof first);
    dt_nft_be32(h, NFTA_EXTHDR_OP, NFT_EXTHDR_OP_IPV6);
    close_expression(h, e);
    dt_nft_mask(h, mask, sizeof mask);
    dt_nft_is_not(h, first, sizeof first);
}

void dt_nft_socket_mark(struct nlmsghdr *h, uint32_t mark)
{
    struct nft_expression e = open_expression(h, "socket");
    dt_nft_be32(h, NFTA_SOCKET_KEY, NFT_SOCKET_MARK);
    dt_nft_be32(h, NFTA_SOCKET_DREG, NFT_REG_1);
    close_expression(h, e);
    dt_nft_is(h, &mark, sizeof mark); /* in host order */
}

void dt_nft_set_mark(struct nlmsghdr *h, uint32_t mark)
{
    struct nft_expression e = open_expression(h, "immediate");
    dt_nft_be32(h, NFTA_IMMEDIATE_DREG, NFT_REG_1);
    dt_nft_value(h, NFTA_IMMEDIATE_DATA, &mark, sizeof mark); /* in host order */
    close_expression(h, e);
    e = open_expression(h, "meta");
    dt_nft_be32(h, NFTA_META_KEY, NFT_META_MARK);
    dt_nft_be32(h, NFTA_META_SREG, NFT_REG_1);
    close_expression(h, e);
}

void dt_nft_count(struct nlmsghdr *h, const char *counter)
{
    struct nft_expression e = open_expression(h, counter ? "objref" : "counter");
    if (counter) {
        dt_nft_be32(h, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
        mnl_attr_put_strz(h, NFTA_OBJREF_IMM_NAME, counter);
    }
    close_expression(h, e);
}

static void put_verdict(struct nlmsghdr *h, int32_t verdict, const char *chain)
{
    struct nft_expression e = open_expression(h, "immediate");
    dt_nft_be32(h, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *data = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA);
    struct nlattr *value = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
    dt_nft_be32(h, NFTA_VERDICT_CODE, (uint32_t)verdict);
    if (chain)
        mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, chain);
    mnl_attr_nest_end(h, value);
    mnl_attr_nest_end(h, data);
    close_expression(h, e);
}

void dt_nft_verdict(struct nlmsghdr *h, int32_t verdict)
{
    put_verdict(h, verdict, NULL);
}

void dt_nft_jump(struct nlmsghdr *h, const char *chain)
{
    put_verdict(h, NFT_JUMP, chain);
}
