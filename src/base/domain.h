/* Domains as split DNS has them (RFC 8598), and lists of them: names with a blank between two, in one text. */
#ifndef DT_BASE_DOMAIN_H
#define DT_BASE_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#define DT_DOMAIN_MAX  253 /* octets of a name (RFC 1035 section 2.3.4, as people write it) */
#define DT_DOMAINS_CAP 512 /* of a list, with its NUL */

/* A name in DNS form: labels of at most 63 letters, digits, hyphens and underscores; one dot at the end is left out, letters become
 * small. False, and *out empty: it is none ("." is none). */
bool dt_domain_clean(char out[DT_DOMAIN_MAX + 1], const char *text, size_t len);

/* Adds a clean name to the list, once. False: there is no room. */
bool dt_domains_add(char list[DT_DOMAINS_CAP], const char *name);
/* The name at *at, which is moved behind it; NULL: that were all. */
const char *dt_domains_next(const char **at, size_t *len);
/* The list, NUL and all, has clean names alone, with one blank between two. */
bool dt_domains_ok(const char list[DT_DOMAINS_CAP]);

#endif
