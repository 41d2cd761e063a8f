/* The proxy of tunnel endpoint discovery (US 7,207,063, FIG. 3B): a description of traffic by masks.
 *
 * "Proxy" is the original's word for what RFC 7296 calls a traffic selector; elsewhere Dovetail says traffic selector
 * (base/selector.h). The two differ in one thing: a proxy's mask may have holes (a zero bit means "ignored"
 * wherever it stands), a selector is a range. dt_ted_proxy_selectors() goes from one to the other.
 *
 * A full proxy is (source half, destination half). Both peers' proxies are kept here as the *initiator* sees them:
 * `src` is the side of the source host. A responder that protects (Y, Z) - from its own subnet Y to Z - describes the
 * same traffic as (Z, Y) in this view; dt_ted_proxy_flip() turns one into the other. */
#ifndef DT_TED_PROXY_H
#define DT_TED_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/selector.h"
#include "wire/ted.h"

#define DT_TED_PROXY_STRLEN 256

/* "SRC/MASK DST/MASK [PROTO [SPORT DPORT]]": MASK a length or a dotted (or colon) mask, holes allowed; PROTO a number
 * or tcp, udp, icmp, icmpv6, esp, ...; `any` for an open field (an address too: its version is then the other one's,
 * IPv4 when both are open). Ports stand with a protocol that has them, or with `any`, which then means all of those.
 * 0, or -1 with what is wrong and what would be right. */
int dt_ted_proxy_parse(struct dt_ted_proxy *p, const char *text, struct dt_err *err);
/* Into out (DT_TED_PROXY_STRLEN bytes); returns out. A mask without holes is printed as a length. */
char *dt_ted_proxy_str(char *out, const struct dt_ted_proxy *p);
char *dt_ted_half_str(char *out, const struct dt_addr *addr, const struct dt_addr *mask); /* 100 bytes */
const char *dt_ted_protocol_name(uint8_t protocol, char buf[8]);                          /* "ip" for any */

/* TCP, UDP, DCCP, SCTP, UDP-Lite: DT_TED_PORT_PROTOCOLS numbers. */
#define DT_TED_PORT_PROTOCOLS 5
const uint8_t *dt_ted_port_protocols(void);
bool dt_ted_has_ports(uint8_t protocol);

/* Clears what the masks ignore; -1 when versions are mixed or `ver` is neither 4 nor 6. */
int dt_ted_proxy_normal(struct dt_ted_proxy *p, struct dt_err *err);
/* The same traffic seen from the other end. */
struct dt_ted_proxy dt_ted_proxy_flip(const struct dt_ted_proxy *p);
bool dt_ted_proxy_has(const struct dt_ted_proxy *p, const struct dt_ted_packet *packet);
/* True when every packet of `inner` lies in `outer`. */
bool dt_ted_proxy_covers(const struct dt_ted_proxy *outer, const struct dt_ted_proxy *inner);
bool dt_ted_proxy_eq(const struct dt_ted_proxy *a, const struct dt_ted_proxy *b);

/* The address ranges of one half: one range for a mask without holes, 2^k for a mask whose k ignored bits stand above
 * the lowest set one. Returns how many, or -1 when there are more than `cap` (the caller refuses that proxy by name). */
int dt_ted_half_ranges(struct dt_range *out, int cap, const struct dt_addr *addr, const struct dt_addr *mask);

/* What IKE negotiates for it, at most DT_SELECTORS_MAX a side; -1 and a sentence where that is not enough. */
int dt_ted_proxy_selectors(struct dt_selectors *src, struct dt_selectors *dst, const struct dt_ted_proxy *p,
                           struct dt_err *err);
/* Each of `all` is covered by one of `list`. A list that was narrowed may hold parts beside the whole. */
bool dt_ted_selectors_carry(const struct dt_selectors *list, const struct dt_selectors *all);

#endif
