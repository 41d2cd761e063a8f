/* plans { ... }: how plans are built, kept and given up; and what is wrong with the rules they come from. */
#include <string.h>

#include "base/bytes.h"
#include "config/reader.h"
#include "policy/check.h"

#define AT(member) offsetof(struct dt_policy_limits, member)
static const struct setting_def defs[] = {
    {"idle", read_span, AT(idle)},
    {"action_timeout", read_span, AT(action_timeout)},
    {"retry_min", read_span, AT(retry_min)},
    {"retry_max", read_span, AT(retry_max)},
    {"plans_max", read_uint, AT(plans_max), 1, 65536},
    {"building_max", read_uint, AT(building_max), 1, 65536},
};
const struct setting_table plans_settings = {defs, DT_ARRAY_LEN(defs)};

void read_plans_section(struct reader *r, const struct dt_block *b)
{
    bool seen[DT_ARRAY_LEN(defs)] = {false};
    reader_section(r, b, &r->c->plans, defs, DT_ARRAY_LEN(defs), seen);
    if (r->c->plans.retry_min > r->c->plans.retry_max)
        reader_error(r, b->line, "retry_min is longer than retry_max; retry_max = 60s would be right");
}

static void issue(void *ctx, const struct dt_check_issue *i)
{
    if (i->kind == DT_CHECK_UNFINISHED)
        reader_warn(ctx, i->line, "%s", i->text);
    else
        reader_error(ctx, i->line, "%s", i->text);
}

static bool tunnel_serves(const struct dt_config_tunnel *t, const struct dt_rule *rule)
{
    if (t->cfg.transport != (rule->kind == DT_RULE_TRANSPORT) ||
        (rule->use != NULL && strcmp(rule->use, t->cfg.name) != 0))
        return false;
    if (t->nhost > t->cfg.ngateways) /* a name may become any address */
        return true;
    for (unsigned i = 0; i < t->cfg.ngateways; i++)
        if (rule->kind == DT_RULE_TUNNEL ? dt_addr_eq(&t->cfg.gateways[i], &rule->gateway)
                                         : dt_addrset_has(&rule->to, &t->cfg.gateways[i]))
            return true;
    return false;
}

bool config_rules_serve(const struct dt_config *c, const struct dt_config_tunnel *t)
{
    for (size_t i = 0; c->rules != NULL && i < c->rules->n; i++)
        if (c->rules->v[i].kind != DT_RULE_PASS && tunnel_serves(t, &c->rules->v[i]))
            return true;
    return false;
}

/* Is there a tunnel section for each action? A file of rules alone has none, and is asked nothing. */
static void check_served(struct reader *r)
{
    const struct dt_config *c = r->c;
    for (size_t i = 0; (c->ntunnel > 0 || c->ngateway > 0) && i < c->rules->n; i++) {
        const struct dt_rule *rule = &c->rules->v[i];
        char gw[DT_ADDR_STRLEN];
        bool served = rule->kind == DT_RULE_PASS, named = rule->use == NULL;
        for (size_t k = 0; !served && k < c->ntunnel; k++) {
            served = tunnel_serves(&c->tunnel[k], rule);
            named = named || strcmp(rule->use, c->tunnel[k].cfg.name) == 0;
        }
        if (served)
            continue;
        if (!named)
            reader_error(r, rule->line,
                         "rule \"%.64s\" is to use tunnel \"%.64s\", and there is no such section",
                         rule->name, rule->use);
        else if (rule->kind == DT_RULE_TUNNEL)
            reader_warn(
                r, rule->line,
                "rule \"%.64s\": no tunnel section%s%.64s%s, in tunnel mode, has %s among its gateways, "
                "so it cannot be built",
                rule->name, rule->use ? " \"" : "", rule->use ? rule->use : "", rule->use ? "\"" : "",
                dt_addr_str(gw, &rule->gateway));
        else
            reader_warn(
                r, rule->line,
                "rule \"%.64s\": no tunnel section with transport = yes has a gateway among its `to`, so it "
                "cannot be performed",
                rule->name);
    }
}

void config_check_rules(struct reader *r)
{
    struct dt_err err = {0};
    struct dt_match *m = dt_match_new(r->c->rules, &err);
    if (m == NULL) {
        reader_error_from(r, &err);
        return;
    }
    dt_check_rules(m, issue, r);
    dt_match_free(m);
    check_served(r);
}
