/* Routing rules as values: an order, and words. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "net/netlink.h"

static int rule_cmp_u32(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int rule_cmp_prefix(const struct dt_prefix *a, const struct dt_prefix *b)
{
    int c = rule_cmp_u32(a->len, b->len);
    return c || !a->len ? c : dt_addr_cmp(&a->addr, &b->addr);
}

static int cmp_ports(const uint16_t a[2], const uint16_t b[2])
{
    int c = rule_cmp_u32(a[0], b[0]);
    return c ? c : rule_cmp_u32(a[1], b[1]);
}

int dt_nl_rule_cmp(const struct dt_nl_rule *a, const struct dt_nl_rule *b)
{
    const int c[] = {rule_cmp_u32(a->ver, b->ver),
                     rule_cmp_u32(a->priority, b->priority),
                     rule_cmp_u32(a->action, b->action),
                     rule_cmp_u32(a->table, b->table),
                     rule_cmp_u32(a->mark, b->mark),
                     rule_cmp_u32(a->invert, b->invert),
                     rule_cmp_u32(a->proto, b->proto),
                     rule_cmp_prefix(&a->dst, &b->dst),
                     rule_cmp_prefix(&a->src, &b->src),
                     cmp_ports(a->dport, b->dport),
                     cmp_ports(a->sport, b->sport),
                     strcmp(a->iif, b->iif),
                     rule_cmp_u32(a->not_default, b->not_default)};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++)
        if (c[i])
            return c[i];
    return 0;
}

struct rule_text {
    char *out;
    size_t len;
};

static void say(struct rule_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct rule_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (t->len < DT_NL_RULE_STRLEN)
        t->len += (size_t)vsnprintf(t->out + t->len, DT_NL_RULE_STRLEN - t->len, fmt, ap);
    va_end(ap);
}

static void say_ports(struct rule_text *t, const char *name, const uint16_t p[2])
{
    if (p[1] && p[0] == p[1])
        say(t, " %s %u", name, p[0]);
    else if (p[1])
        say(t, " %s %u-%u", name, p[0], p[1]);
}

char *dt_nl_rule_str(char out[DT_NL_RULE_STRLEN], const struct dt_nl_rule *r)
{
    char prefix[DT_PREFIX_STRLEN];
    struct rule_text t = {.out = out};
    say(&t, "%s%sfrom %s", r->ver == 6 ? "-6 " : "", r->invert ? "not " : "",
        r->src.len ? dt_prefix_str(prefix, &r->src) : "all");
    if (r->dst.len)
        say(&t, " to %s", dt_prefix_str(prefix, &r->dst));
    if (r->iif[0])
        say(&t, " iif %s", r->iif);
    if (r->mark)
        say(&t, " fwmark %#x", r->mark);
    if (r->proto)
        say(&t, " ipproto %u", r->proto);
    say_ports(&t, "sport", r->sport);
    say_ports(&t, "dport", r->dport);
    if (r->action == DT_NL_RULE_NOTHING)
        say(&t, " nop");
    else
        say(&t, " %s %u", r->action == DT_NL_RULE_GOTO ? "goto" : "lookup", r->table);
    if (r->not_default)
        say(&t, " suppress_prefixlength 0");
    return out;
}
