/* Rules files: reading, index and plain reading agree, and the check holds what it says. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fuzz.h"
#include "policy/check.h"
#include "policy/match.h"
#include "policy/plan.h"

static void count(void *ctx, const struct dt_check_issue *i)
{
    unsigned *kinds = ctx;
    kinds[i->kind]++;
}

static uint32_t first(const struct dt_rules *rs, const struct dt_flow *f, bool transport)
{
    for (size_t i = 0; i < rs->n; i++)
        if ((rs->v[i].kind == DT_RULE_TRANSPORT) == transport && dt_rule_matches(&rs->v[i], f))
            return (uint32_t)i;
    return DT_NO_RULE;
}

/* A packet out of what the rules name. */
static struct dt_flow flow(const struct dt_rules *rs, unsigned k)
{
    const struct dt_rule *a = &rs->v[k % rs->n], *b = &rs->v[k / 3 % rs->n];
    struct dt_flow f = {
        .src = dt_addr4(0x0a000000 + k), .dst = dt_addr4(0x0a010000 + k), .proto = k & 1 ? 6 : 50};
    if (a->from.n)
        f.src = k & 2 ? a->from.v[k % a->from.n].from : a->from.v[k % a->from.n].to;
    if (b->to.n)
        f.dst = k & 4 ? b->to.v[k % b->to.n].from : b->to.v[k % b->to.n].to;
    else if (b->gateway.ver)
        f.dst = b->gateway;
    if (f.src.ver != f.dst.ver)
        f.src = (struct dt_addr){.ver = f.dst.ver};
    if (a->nproto)
        f.proto = a->proto[k % a->nproto];
    f.ports = dt_proto_has_ports(f.proto);
    f.sport = a->nsport ? a->sport[k % a->nsport].to : (uint16_t)(k * 7919);
    f.dport = b->ndport ? b->dport[k % b->ndport].from : (uint16_t)(k * 104729);
    return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_err err = {0};
    struct dt_rules *rs = dt_rules_parse((const char *)data, size, "f", size & 1, &err);
    if (!rs) {
        if (!err.text[0])
            abort();
        return 0;
    }
    struct dt_match *m = dt_match_new(rs, &err);
    unsigned kinds[DT_CHECK_UNFINISHED + 1] = {0};
    if (m)
        dt_check_rules(m, count, kinds);
    for (unsigned k = 0; m && rs->n && k < 64; k++) {
        struct dt_flow f = flow(rs, k);
        struct dt_plan plan;
        if (dt_match_tunnel(m, &f) != first(rs, &f, false) ||
            dt_match_transport(m, &f) != first(rs, &f, true))
            abort();
        if (f.proto && dt_plan_make(&plan, m, &f, &err) && !kinds[DT_CHECK_LOOP] &&
            !kinds[DT_CHECK_OWN_TUNNEL] && !kinds[DT_CHECK_DEPTH] && !kinds[DT_CHECK_UNFINISHED])
            abort();
    }
    dt_match_free(m);
    dt_rules_unref(rs);
    return 0;
}
