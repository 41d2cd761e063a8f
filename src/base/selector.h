/* Traffic selectors (RFC 4301 section 4.4.1, RFC 7296 sections 2.9 and 3.13): which packets an SA carries.
 * Discovery's word is "proxy". */
#ifndef DT_BASE_SELECTOR_H
#define DT_BASE_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define DT_PROTO_ANY       0
#define DT_PORT_LAST       65535
#define DT_SELECTOR_STRLEN 160

/* One side of the traffic: a protocol, a range of ports and a range of addresses (all of one IP version).
 * Ports in host order, both ends included; 0 to 65535 is "any". With ICMP or ICMPv6 a port is type << 8 |
 * code. RFC 7296 section 3.13.1 OPAQUE is from 65535 to 0: packets whose port cannot be known. */
struct dt_selector {
    uint8_t proto; /* IP protocol, DT_PROTO_ANY: all */
    uint16_t port_from, port_to;
    struct dt_range range;
};

#define DT_SELECTORS_MAX 16

/* A list: a packet matches it when it matches any of its selectors. A value: copy it with `=`. */
struct dt_selectors {
    uint8_t n;
    struct dt_selector v[DT_SELECTORS_MAX];
};

/* Any protocol, any port. */
struct dt_selector dt_selector_range(const struct dt_range *r);
struct dt_selector dt_selector_prefix(const struct dt_prefix *p);
struct dt_selector dt_selector_addr(const struct dt_addr *a);
struct dt_selector dt_selector_all4(void); /* 0.0.0.0 - 255.255.255.255 */
struct dt_selector dt_selector_all6(void);

/* "10.0.0.0/8", "10.0.0.1-10.0.0.9", with an optional protocol and port in brackets: "10.0.0.1[tcp]",
 * "10.0.0.1[udp/53]", "10.0.0.1[17/5000-5010]", "10.0.0.1[tcp/opaque]". 0, or -1. */
int dt_selector_parse(struct dt_selector *s, const char *text);
char *dt_selector_str(char *out, const struct dt_selector *s); /* DT_SELECTOR_STRLEN bytes */
char *dt_selectors_str(char *out, size_t cap,
                       const struct dt_selectors *list); /* "a, b, c"; "nothing" when empty */

/* It matches some packets of its addresses only: of a protocol, or a port. */
bool dt_selector_is_narrow(const struct dt_selector *s);
/* The same as selectors of one protocol each, as a packet filter or a routing rule can tell them: where a protocol has no ports
 * of TCP's kind (ICMP has types), or they cannot be known, all of it. How many; 1 of any protocol when it is not narrow. */
#define DT_SELECTOR_PROTOS 5
size_t dt_selector_protos(const struct dt_selector *s, struct dt_selector out[DT_SELECTOR_PROTOS]);
bool dt_selector_eq(const struct dt_selector *a, const struct dt_selector *b);
/* Everything that inner matches, outer matches. */
bool dt_selector_covers(const struct dt_selector *outer, const struct dt_selector *inner);
/* False when no packet matches both. A protocol or port of one that the other leaves open is taken over. */
bool dt_selector_intersect(struct dt_selector *out, const struct dt_selector *a, const struct dt_selector *b);
/* A packet's side: its address, protocol and port (0 where the protocol has none). */
bool dt_selector_has(const struct dt_selector *s, const struct dt_addr *a, uint8_t proto, uint16_t port);

/* False when the list is full. A selector that the list already covers is not added (true). */
bool dt_selectors_add(struct dt_selectors *list, const struct dt_selector *s);
bool dt_selectors_eq(const struct dt_selectors *a, const struct dt_selectors *b);
bool dt_selectors_covers(const struct dt_selectors *outer, const struct dt_selector *inner);
/* Together they match every packet of that IP version. */
bool dt_selectors_all(const struct dt_selectors *list, uint8_t ver);
bool dt_selectors_has(const struct dt_selectors *list, const struct dt_addr *a, uint8_t proto, uint16_t port);
/* What an offered list and an allowed list share, in the offer's order, without parts that an earlier part
 * covers (RFC 7296 section 2.9). False, and an empty *out, when they share nothing. */
bool dt_selectors_narrow(struct dt_selectors *out, const struct dt_selectors *offered,
                         const struct dt_selectors *allowed);

#endif
