/* Internet addresses, prefixes and ranges, IPv4 and IPv6, without the socket API. */
#ifndef DT_BASE_ADDR_H
#define DT_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address. IPv4 stands in the first four bytes, network order, the other twelve are zero, so that two
 * addresses are equal exactly when the whole structs are (memcmp, hashing). `ver` 0 means "none". */
struct dt_addr {
    uint8_t ver; /* 4, 6, or 0: no address */
    uint8_t b[16];
    uint8_t scope[4]; /* of fe80::/10 in an outer path: the interface's index (RFC 4007), big-endian; else 0 */
};

struct dt_addrport {
    struct dt_addr addr;
    uint16_t port; /* host order */
};

struct dt_prefix {
    struct dt_addr addr; /* host bits are zero */
    uint8_t len;         /* 0 to 32 or 128 */
};

/* Both ends are included. */
struct dt_range {
    struct dt_addr from, to;
};

#define DT_ADDR_STRLEN     64 /* room for any address as text, NUL included */
#define DT_PREFIX_STRLEN   68
#define DT_ADDRPORT_STRLEN 72

struct dt_addr dt_addr4(uint32_t host_order);
struct dt_addr dt_addr4_bytes(const void *four);
struct dt_addr dt_addr6_bytes(const void *sixteen);
uint32_t dt_addr4_host(const struct dt_addr *a); /* of an IPv4 address, host order */
size_t dt_addr_size(const struct dt_addr *a);    /* 4, 16, or 0 */
bool dt_addr_is_any(const struct dt_addr *a);    /* none, 0.0.0.0 or :: */
bool dt_addr_eq(const struct dt_addr *a, const struct dt_addr *b);
bool dt_addr_is_link(const struct dt_addr *a); /* of one link alone: fe80::/10 */
/* The interface of an address of one link; 0: none is said. Setting it leaves any other address as it is. */
uint32_t dt_addr_scope(const struct dt_addr *a);
void dt_addr_set_scope(struct dt_addr *a, uint32_t ifindex);
/* Equal, or `a` names no interface and means any. */
bool dt_addr_means(const struct dt_addr *a, const struct dt_addr *b);
/* Order by version, then by value. */
int dt_addr_cmp(const struct dt_addr *a, const struct dt_addr *b);
/* The next (or previous) address; false, and *a unchanged, past the last. */
bool dt_addr_next(struct dt_addr *a);
bool dt_addr_prev(struct dt_addr *a);
/* An address that a host can be given: not 0.0.0.0/8, 127.0.0.0/8 or 224.0.0.0 and above, nor ::, ::1, a link-local or a
 * multicast one. */
bool dt_addr_is_host(const struct dt_addr *a);
bool dt_addrport_eq(const struct dt_addrport *a, const struct dt_addrport *b);

/* 0, or -1 when the text is not exactly one address or prefix. A prefix with host bits set is refused unless
 * `mask` is true, which clears them; a bare address is a /32 or /128. */
int dt_addr_parse(struct dt_addr *a, const char *text);
int dt_prefix_parse(struct dt_prefix *p, const char *text, bool mask);
/* "A-B", "A/len" or "A". */
int dt_range_parse(struct dt_range *r, const char *text);

/* Text into out (at least DT_*_STRLEN bytes); return out. "none" for no address. With a scope: fe80::1%eth0, or its number
 * where there is no such interface any more. */
char *dt_addr_str(char *out, const struct dt_addr *a);
char *dt_prefix_str(char *out, const struct dt_prefix *p);
char *dt_addrport_str(char *out, const struct dt_addrport *a); /* 192.0.2.1:500, [2001:db8::1]:500 */

bool dt_prefix_has(const struct dt_prefix *p, const struct dt_addr *a);
bool dt_prefix_covers(const struct dt_prefix *outer, const struct dt_prefix *inner);
/* All of it lies in what anybody may use for his own network: RFC 1918, unique local (RFC 4193) or link-local addresses. */
bool dt_prefix_private(const struct dt_prefix *p);
/* The network of that length that the address is in. */
struct dt_prefix dt_prefix_network(const struct dt_addr *a, uint8_t len);
struct dt_range dt_prefix_range(const struct dt_prefix *p);
bool dt_range_has(const struct dt_range *r, const struct dt_addr *a);
/* False when they share nothing (or differ in version). */
bool dt_range_intersect(struct dt_range *out, const struct dt_range *a, const struct dt_range *b);
/* The fewest prefixes that make up the range, in order; returns how many were written (at most max). *all (may be NULL):
 * the whole range is in them. */
size_t dt_range_prefixes(const struct dt_range *r, struct dt_prefix *out, size_t max, bool *all);
/* The prefix when the range is exactly one. */
bool dt_range_prefix(const struct dt_range *r, struct dt_prefix *out);

#endif
