#include "policy/plan.h"

#include <stdio.h>

#include "policy/match.h"

struct dt_flow dt_plan_next_flow(const struct dt_flow *f, const struct dt_addr *gateway)
{
    struct dt_flow next = {.src = f->src, .dst = *gateway, .proto = 50};
    if (f->src.ver != gateway->ver)
        next.src = (struct dt_addr){.ver = gateway->ver};
    return next;
}

/* Where a gateway is wanted that the plan has already: it would stand inside its own tunnel, and so for ever. */
static int check_loop(const struct dt_plan *plan, const struct dt_rules *rs, const struct dt_rule *r,
                      struct dt_err *err)
{
    for (unsigned i = 0; i < plan->n; i++) {
        const struct dt_action *a = &plan->pending[i];
        if (a->kind != DT_RULE_TUNNEL || !dt_addr_eq(&a->peer, &r->gateway))
            continue;
        char gw[DT_ADDR_STRLEN];
        dt_addr_str(gw, &r->gateway);
        if (i + 1 == plan->n)
            return dt_err_set(
                err, 0,
                "gateway %s inside its own tunnel: rule \"%.64s\" (%s) sends the tunnel's own packets "
                "to it; let a pass rule for protocol esp stand before it",
                gw, r->name, dt_rule_at((char[DT_SOURCE_STRLEN]){0}, rs, r));
        char way[512] = "", at[DT_SOURCE_LINELEN];
        for (size_t k = i, n = 0; k < plan->n && n < sizeof(way); k++)
            n += (size_t)snprintf(way + n, sizeof(way) - n, "\"%.64s\" (%s), ",
                                  rs->v[plan->pending[k].rule].name,
                                  dt_rule_line(at, rs, &rs->v[plan->pending[k].rule], r));
        return dt_err_set(err, 0, "the rules loop, back to gateway %s: %s\"%.64s\" (%s)", gw, way, r->name,
                          dt_rule_line(at, rs, r, r));
    }
    return 0;
}

int dt_plan_make(struct dt_plan *plan, const struct dt_match *m, const struct dt_flow *f, struct dt_err *err)
{
    const struct dt_rules *rs = dt_match_rules(m);
    unsigned tunnels = 0;
    plan->n = 0;
    uint32_t r = dt_match_transport(m, f);
    if (r != DT_NO_RULE)
        plan->pending[plan->n++] = (struct dt_action){DT_RULE_TRANSPORT, f->dst, r};
    struct dt_flow at = *f;
    while ((r = dt_match_tunnel(m, &at)) != DT_NO_RULE && rs->v[r].kind == DT_RULE_TUNNEL) {
        const struct dt_rule *rule = &rs->v[r];
        if (check_loop(plan, rs, rule, err))
            return -1;
        if (tunnels++ == DT_PLAN_TUNNELS)
            return dt_err_set(err, 0,
                              "more than %d tunnels in one plan: rule \"%.64s\" (%s) asks for another",
                              DT_PLAN_TUNNELS, rule->name, dt_rule_at((char[DT_SOURCE_STRLEN]){0}, rs, rule));
        plan->pending[plan->n++] = (struct dt_action){DT_RULE_TUNNEL, rule->gateway, r};
        at = dt_plan_next_flow(f, &rule->gateway);
    }
    return 0;
}
