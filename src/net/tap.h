/* Inside the net room: the two halves of dt_tap. */
#ifndef DT_NET_TAP_H
#define DT_NET_TAP_H

#include "net/discovery.h"

#define TAP_EXCHANGE_AT 18 /* RFC 2408 section 3.1 */
#define TAP_EXCHANGE    240

/* tap_nft.c: the table that holds back what the tap takes. */
struct tap_nft;
struct tap_nft *tap_nft_open(struct dt_err *err);
int tap_nft_read(struct tap_nft *n, uint64_t *digest, struct dt_err *err); /* 0: there is none */
int tap_nft_set(struct tap_nft *n, uint16_t port, const struct dt_prefix *host, size_t count,
                struct dt_err *err);
int tap_nft_remove(struct tap_nft *n, struct dt_err *err);
void tap_nft_close(struct tap_nft *n);

#endif
