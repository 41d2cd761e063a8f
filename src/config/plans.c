/* plans { ... }: how plans are built, kept and given up; and what is wrong with the rules they come from. */
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
}
