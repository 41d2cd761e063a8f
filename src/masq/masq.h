/* VPN Masquerade in user space: the rules of US 7,155,740 (background, FIG. 4 and 5) for the simulator,
 * for `dovetail nat replay` and for the tests. The kernel program compiles the same rules from rules.h.
 *
 * No clock, no sockets: every call takes `now`, which must not go back. Single thread. An item is gone at
 * exactly its expiry, whether or not dt_masq_tick was called; the tick frees memory, and reports what
 * expired. */
#ifndef DT_MASQ_MASQ_H
#define DT_MASQ_MASQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/time.h"
#include "masq/shapes.h"

struct dt_masq; /* opaque */

/* Sizes of the tables; what does not fit is dropped (rule "full"). */
struct dt_masq_sizes {
    uint32_t esp, ike, clients, servers, frags;
};

/* Mistakes that the explorer plants to see that it would notice; all off in earnest. */
struct dt_masq_faults {
    bool convert_waiting;  /* a server's new SPI goes to the client made to wait last, not to the item's */
    bool two_outstanding;  /* a client's new SPI replaces another's outstanding item instead of waiting */
    bool keep_outstanding; /* t_out is never looked at */
    bool ignore_server;    /* IKE: no serialising of equal initiator cookies */
    bool short_t_ei;       /* traffic does not keep an established ESP item alive */
};

struct dt_masq_config {
    struct dt_masq_params params;
    struct dt_masq_sizes sizes;
    struct dt_siphash_key hash_key; /* of the tables; verdicts do not depend on it */
    struct dt_masq_faults faults;
    bool t_ike_out_set; /* dt_masq_set: t_ike_out no longer follows t_out */
    /* May be NULL. Called after the state has changed; must not call back into the NAT. */
    void (*event)(void *ctx, const struct dt_masq_event *ev);
    void *ctx;
};

/* t_out, n_out and t_ei as in base/parameters.h, IKE t_out and 1 h, tables for 65,536 items, multicast on. outside[]
 * is empty. */
struct dt_masq_config dt_masq_defaults(void);
/* Sets one parameter from text ("t_out", "5"): seconds with a fraction, numbers, yes or no. 0, or -1 (unknown
 * name or value out of range; *why, if not NULL, points at a static sentence). */
int dt_masq_set(struct dt_masq_config *c, const char *name, const char *value, const char **why);
/* Names that dt_masq_set knows, NULL at the end. */
const char *const *dt_masq_param_names(void);

struct dt_masq *dt_masq_new(const struct dt_masq_config *config); /* NULL: out of memory */
void dt_masq_free(struct dt_masq *m);
/* Parameters, outside addresses and faults may change while it runs; sizes may not. */
void dt_masq_configure(struct dt_masq *m, const struct dt_masq_config *config);

/* One packet. With one outside address a forwarded packet from inside has it in v->nat. */
void dt_masq_packet(struct dt_masq *m, dt_time now, const struct dt_masq_facts *f, struct dt_masq_verdict *v);

/* Such a packet is coming: has the processor fetch what the look at it needs, in three steps (0, 1, 2) with some time
 * between them. For whoever drives thousands of NATs in one process. */
void dt_masq_prefetch(const struct dt_masq *m, const struct dt_masq_facts *f, int step);

/* Shorthands for those who do not have a packet but know what is in it. */
struct dt_masq_facts dt_masq_esp_out(uint32_t client, uint32_t server, uint32_t spi_out);
struct dt_masq_facts dt_masq_esp_in(uint32_t server, uint32_t outside, uint32_t spi_in);
struct dt_masq_facts dt_masq_ike_out(uint32_t client, uint32_t server, uint64_t icookie, uint64_t rcookie);
struct dt_masq_facts dt_masq_ike_in(uint32_t server, uint32_t outside, uint64_t icookie, uint64_t rcookie);
/* Facts from an IPv4 packet (from its IP header; captured bytes may be fewer than the packet's, which counts
 * as truncated when the rules would need more). False: neither UDP 500 nor ESP nor an ICMP error that tells which
 * packet of them it is about; leave it alone. */
bool dt_masq_parse(struct dt_masq_facts *f, enum dt_masq_side side, const void *ip, size_t captured);

/* Frees what has expired, with an event for each item. */
void dt_masq_tick(struct dt_masq *m, dt_time now);
/* When the next tick could find something; DT_NEVER when the tables are empty. May be earlier than the
 * expiry. */
dt_time dt_masq_deadline(const struct dt_masq *m);
/* Forgets every item, as a rebooted NAT would; no events. Counters stay. */
void dt_masq_flush(struct dt_masq *m);

struct dt_masq_item {
    uint8_t kind, state;       /* enum dt_masq_kind, enum dt_masq_state */
    bool waited;               /* outstanding ESP: it made another client wait ... */
    uint32_t n_after;          /* ... and has sent so many packets since */
    uint32_t client, server;   /* 401, 402; 501, 502 */
    uint64_t icookie, rcookie; /* 403, 404 */
    uint32_t spi_in, spi_out;  /* 503, 504 */
    dt_time expires;           /* 405, 505 */
    dt_time created, last;
    uint64_t packets_out, packets_in;
    uint32_t nat; /* its outside address */
};

/* Live items at `now`, in no order. The callback returns false to stop. */
void dt_masq_items(const struct dt_masq *m, dt_time now,
                   bool (*item)(void *ctx, const struct dt_masq_item *it), void *ctx);
size_t dt_masq_count(const struct dt_masq *m, dt_time now, enum dt_masq_kind kind, enum dt_masq_state state);
/* Everything that can change a later verdict, times as distances from now; independent of the order of
 * arrival in the tables and of counters. */
void dt_masq_digest(const struct dt_masq *m, dt_time now, struct dt_digest *d);

uint64_t dt_masq_rule_count(const struct dt_masq *m,
                            enum dt_masq_rule rule); /* packets decided by that rule */
const char *dt_masq_rule_name(enum dt_masq_rule rule);
const char *dt_masq_verdict_name(enum dt_masq_verdict_kind v); /* "forward", "drop", "multicast", "pass" */
const char *dt_masq_event_name(enum dt_masq_event_kind e);     /* "created", ... */
const char *dt_masq_kind_name(enum dt_masq_kind k);            /* "ike", "esp" */
const char *dt_masq_state_name(enum dt_masq_state s);

#endif
