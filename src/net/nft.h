/* nftables over netlink: transactions of messages, and the expressions of which rules are made. By hand on libmnl: the two
 * libraries that exist for it are GPL.
 *
 *   dt_nft_begin(n);                                    a transaction: all of it or nothing
 *   h = dt_nft_message(n, NFT_MSG_NEWRULE, flags);      attributes: mnl_attr_put_*, dt_nft_be32
 *   dt_nft_next(n);                                     that message is complete
 *   dt_nft_commit(n)                                    0, or -1 with errno of the first message that was refused
 *
 * Single-threaded, synchronous: the kernel answers before it returns. Numbers of nftables are in network byte order. */
#ifndef DT_NET_NFT_H
#define DT_NET_NFT_H

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dt_nft;
/* room: octets that a transaction may have. NULL with *err. */
struct dt_nft *dt_nft_open(size_t room, struct dt_err *err);
void dt_nft_close(struct dt_nft *n); /* NULL is fine */

void dt_nft_begin(struct dt_nft *n);
/* A message of the inet family. NULL: the transaction has no room for 64 KiB more; dt_nft_commit then fails with ENOBUFS. */
struct nlmsghdr *dt_nft_message(struct dt_nft *n, uint8_t what, uint16_t flags);
void dt_nft_next(struct dt_nft *n);
int dt_nft_commit(struct dt_nft *n);

/* A dump (NLM_F_DUMP) or a look-up (0): each answer goes to `each`, which returns 0 or -1. Again when the rules changed
 * meanwhile: `again` forgets what was collected. 0, or -1 with errno. */
int dt_nft_get(struct dt_nft *n, uint8_t what, uint16_t flags, const char *table, const char *set,
               int (*each)(const struct nlmsghdr *h, void *ctx), void (*again)(void *ctx), void *ctx);

/* A number for all that the kernel says of a table: its flags, chains, rules and sets, and the elements of the sets that are
 * named. 0: there is no such table. 0, or -1 with errno. */
int dt_nft_digest(struct dt_nft *n, const char *table, const char *const *set, size_t nset, uint64_t *digest);

/* Becomes readable when anything of nftables changes; -1 with *err. net/netlink.h's dt_nl_monitor_drain reads it. */
int dt_nft_monitor_open(struct dt_err *err);

/* ---- attributes and expressions of the message h ---- */

void dt_nft_be32(struct nlmsghdr *h, uint16_t type, uint32_t v);
void dt_nft_value(struct nlmsghdr *h, uint16_t type, const void *v,
                  size_t len); /* a nested NFTA_DATA_VALUE */

/* Each loads into, or looks at, register 1; the rule ends where one does not hold. */
void dt_nft_meta(struct nlmsghdr *h, uint32_t key);
void dt_nft_payload(struct nlmsghdr *h, uint32_t base, uint32_t at, uint32_t len);
void dt_nft_mask(struct nlmsghdr *h, const void *mask, uint32_t len);
void dt_nft_is(struct nlmsghdr *h, const void *v, size_t len);
void dt_nft_is_not(struct nlmsghdr *h, const void *v, size_t len);
void dt_nft_is_between(struct nlmsghdr *h, const void *from, const void *to, size_t len); /* both included */
void dt_nft_in_set(struct nlmsghdr *h, const char *set);
void dt_nft_to_this_host(struct nlmsghdr *h);    /* the destination is an address of this host */
void dt_nft_not_to_another(struct nlmsghdr *h);  /* the same, a broadcast or a multicast address */
void dt_nft_later_fragment6(struct nlmsghdr *h); /* of IPv6: any but the first */
void dt_nft_socket_mark(struct nlmsghdr *h,
                        uint32_t mark); /* it is for a socket of this host with that mark */
void dt_nft_count(struct nlmsghdr *h, const char *counter); /* NULL: a counter of the rule's own */
void dt_nft_set_mark(struct nlmsghdr *h, uint32_t mark);
void dt_nft_verdict(struct nlmsghdr *h, int32_t verdict); /* NF_DROP, NF_ACCEPT, NFT_RETURN */
void dt_nft_jump(struct nlmsghdr *h, const char *chain);

#endif
