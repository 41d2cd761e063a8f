/* A packet of one of the hosts, taken apart and put together anew with its sender's own keys: what a peer with the keys
 * could have said instead. For hosts with the null cipher, whose text can be read. */
#ifndef DT_TEST_IKE_REWRITE_H
#define DT_TEST_IKE_REWRITE_H

#include "ike/ike_net.h"
#include "ike/internal.h"

/* Adds the payloads of the message to be: of those inside SK, or of all of them where there is none. */
typedef void (*rewrite_fn)(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx);
/* From inside a net's filter, which must then let the new packet pass and take the old one away. */
void rewrite(struct net *net, const struct net_packet *p, rewrite_fn write, void *ctx);
/* Every payload but the first of that type unchanged; that one by `body` (empty: it is left out). */
void rewrite_one(struct dt_ike_builder *w, const struct dt_ike_payloads *in, uint8_t type,
                 struct dt_span body);

#endif
