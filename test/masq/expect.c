/* One packet, and what is to become of it. */
#include "masq/expect.h"

struct dt_masq_config rig_config(void)
{
    struct dt_masq_config c = dt_masq_defaults();
    c.params.t_out = c.params.t_ike_out = 5 * DT_SEC;
    c.params.n_out = 3;
    c.params.t_ei = 60 * DT_SEC;
    c.params.t_ike = 600 * DT_SEC;
    c.params.n_outside = 1;
    c.params.outside[0] = OUT;
    return c;
}

void begin(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    r->start(r, &c);
}

void expect_at(struct rig *r, dt_time now, struct dt_masq_facts f, enum dt_masq_rule rule, uint32_t to,
               const char *file, int line)
{
    struct dt_masq_verdict v;
    memset(&v, 0xee, sizeof(v));
    r->packet(r, now, &f, &v);
    if (v.rule != rule)
        fail_msg("%s, %s:%d: rule %s, expected %s", r->name, file, line, dt_masq_rule_name(v.rule),
                 dt_masq_rule_name(rule));
    if (to && (v.verdict != DT_MASQ_FORWARD || v.n != 1 || v.to[0] != to))
        fail_msg("%s, %s:%d: %s to %08x, expected forward to %08x", r->name, file, line,
                 dt_masq_verdict_name(v.verdict), v.n ? v.to[0] : 0, to);
    bool left =
        f.side == DT_MASQ_OUTSIDE && (rule == DT_MASQ_RULE_ESP_UNKNOWN || rule == DT_MASQ_RULE_IKE_UNKNOWN ||
                                      rule == DT_MASQ_RULE_ICMP_UNKNOWN);
    if (left && v.verdict != DT_MASQ_PASS)
        fail_msg("%s, %s:%d: %s, and not left to the stack", r->name, file, line,
                 dt_masq_verdict_name(v.verdict));
    if (!to && v.verdict == DT_MASQ_FORWARD)
        fail_msg("%s, %s:%d: forwarded to %08x", r->name, file, line, v.to[0]);
    if (v.verdict == DT_MASQ_FORWARD && f.side == DT_MASQ_INSIDE && v.nat != OUT && v.nat != OUT2)
        fail_msg("%s, %s:%d: source would be %08x", r->name, file, line, v.nat);
}

void expect_multicast(struct rig *r, double t, struct dt_masq_facts f, size_t n, const uint32_t *want,
                      const char *file, int line)
{
    struct dt_masq_verdict v = {0};
    r->packet(r, at(r, t), &f, &v);
    if (v.verdict != DT_MASQ_MULTICAST || v.n != n)
        fail_msg("%s, %s:%d: %s (%s) to %u, expected multicast to %zu", r->name, file, line,
                 dt_masq_verdict_name(v.verdict), dt_masq_rule_name(v.rule), v.n, n);
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t j = 0; j < v.n; j++)
            found |= v.to[j] == want[i];
        if (!found)
            fail_msg("%s, %s:%d: %08x is not reached", r->name, file, line, want[i]);
    }
}
struct dt_masq_facts frag(struct dt_masq_facts f, uint16_t id, uint16_t off, uint16_t len, bool more)
{
    f.ip_id = id;
    f.frag_off = off;
    f.len = len;
    f.flags |= more ? DT_MASQ_F_MORE : 0;
    if (off)
        f.spi = 0, f.icookie = f.rcookie = 0;
    return f;
}

const struct script *const rig_scripts[] = {scripts_esp, scripts_ike, scripts_router, scripts_tables, NULL};

size_t rig_tests(struct CMUnitTest *tests, size_t max, void (*run)(void **state))
{
    size_t n = 0;
    for (const struct script *const *group = rig_scripts; *group; group++)
        for (const struct script *s = *group; s->name; s++) {
            assert_true(n < max);
            tests[n++] = (struct CMUnitTest){s->name, run, NULL, NULL, (void *)(uintptr_t)s};
        }
    return n;
}
