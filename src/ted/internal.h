/* What the files of this room share. */
#ifndef DT_TED_INTERNAL_H
#define DT_TED_INTERNAL_H

#include "base/bucket.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/table.h"
#include "ted/ted.h"

#define DT_TED_SOURCES 4096 /* a power of two */

enum entry_state { ENTRY_PROBING, ENTRY_ANSWERED, ENTRY_SILENT };

struct entry {
    struct dt_table_node by_hosts, by_cookie;
    struct dt_list lru; /* of those that do not probe, oldest first */
    struct dt_timer timer;
    enum entry_state state;
    uint64_t rule;
    struct dt_addr src, dst;
    uint64_t cookie;
    dt_time sent; /* the last probe */
    unsigned probes;
    size_t nwaiting;
    struct dt_ted_packet waiting[DT_TED_WAITING];
    struct dt_addr own, peer;
    char peer_name[DT_TED_NAME_MAX + 1];
    size_t ntheirs;
    struct dt_ted_proxy *theirs; /* ANSWERED */
};

struct rule_node {
    struct dt_list list;
    struct dt_ted_rule rule;
};

struct dt_ted {
    struct dt_ted_ops ops;
    void *user;
    struct dt_ted_params params;
    struct dt_rand rand;
    struct dt_siphash_key key;
    struct dt_list rules;
    struct dt_table by_hosts, by_cookie;
    struct dt_list lru;
    struct dt_heap timers;
    struct dt_bucket probe_bucket, reply_bucket;
    struct dt_bucket source[DT_TED_SOURCES];
    struct dt_ted_counters counters;
};

/* Where a gateway may be: one host, not this one by another name. */
bool dt_ted_unicast(const struct dt_addr *a);
const struct dt_ted_rule *dt_ted_rule_find(const struct dt_ted *t, uint64_t id);
void dt_ted_tell(struct dt_ted *t, dt_time now, enum dt_ted_event_kind kind, uint64_t rule,
                 const struct dt_ted_packet *packet, const struct dt_addr *peer, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));

#endif
