/* What `dovetail explain` has found out, for the text, the JSON value and the picture alike. */
#ifndef DT_CLI_EXPLAIN_H
#define DT_CLI_EXPLAIN_H

#include <stdio.h>

#include "policy/overhead.h"
#include "policy/plan.h"

/* One layer on the wire. */
struct explain_layer {
    const struct dt_action *action;
    const struct dt_rule *rule;
    struct dt_overhead cost;
    uint32_t mtu; /* of what is inside it */
};

struct explain {
    struct dt_flow flow;
    const char *file; /* the rules' */
    const struct dt_rules *rules;
    struct dt_plan plan;
    struct dt_err err; /* text: why there is no plan */
    struct dt_suite suite;
    const char *suite_name;
    uint32_t link_mtu, mtu; /* mtu: of the packet itself */
    unsigned n;
    struct explain_layer layer[DT_PLAN_MAX]; /* [0] outermost, performed first */
};

/* A standalone SVG document. */
void dt_explain_svg(const struct explain *e, FILE *out);

#endif
