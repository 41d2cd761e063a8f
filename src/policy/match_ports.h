/* Of many rules with the same addresses, the first whose protocol and ports match. */
#ifndef DT_POLICY_MATCH_PORTS_H
#define DT_POLICY_MATCH_PORTS_H

#include "policy/match.h"

/* What one rule asks of protocol and ports: one of the boxes it falls into. */
struct l4_rule {
    uint32_t order; /* index of the rule; DT_NO_RULE ends a list */
    uint8_t proto;  /* 0: any */
    uint8_t ports;  /* bit 0: sport counts, bit 1: dport counts; 0: packets without ports match too */
    uint16_t slo, shi, dlo, dhi;
};

#define L4_SPORT 1
#define L4_DPORT 2

static inline bool l4_matches(const struct l4_rule *r, const struct dt_flow *f)
{
    if (r->proto && r->proto != f->proto)
        return false;
    return !r->ports ||
           (f->ports && f->sport >= r->slo && f->sport <= r->shi && f->dport >= r->dlo && f->dport <= r->dhi);
}

/* How many boxes of protocol and ports a rule makes, at most BOXES_MAX in rules that are taken; and the i-th of
 * them, false past the last. */
#define BOXES_MAX 4096
size_t dt_l4_boxes(const struct dt_rule *r);
bool dt_l4_box(const struct dt_rule *r, size_t i, struct l4_rule *out);

/* An index over v[0 .. n-1], sorted by order; NULL when memory is out. */
struct l4_index *dt_l4_index_new(const struct l4_rule *v, size_t n);
void dt_l4_index_free(struct l4_index *x);
size_t dt_l4_index_bytes(const struct l4_index *x);
/* The lower of `best` and the first matching rule's order. */
uint32_t dt_l4_index_find(const struct l4_index *x, const struct dt_flow *f, uint32_t best);

#endif
