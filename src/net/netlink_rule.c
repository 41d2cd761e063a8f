/* Routing rules over rtnetlink. */
#include <errno.h>
#include <linux/fib_rules.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/nl.h"

#define RULES_MAX 65536 /* of one dump */
/* Conditions that came after Linux 6.1's headers. */
#define CONDITION_DSCP       25
#define CONDITION_FLOWLABEL  26
#define CONDITION_SPORT_MASK 28 /* of a single port; it is told when there is none, too */
#define CONDITION_DPORT_MASK 29
#define WHOLE_PORT           0xffffu

static uint8_t rule_family(uint8_t ver)
{
    return ver == 4 ? AF_INET : AF_INET6;
}

/* ---- changes -------------------------------------------------------------------------------------- */

static void put_ports(struct nlmsghdr *h, uint16_t type, const uint16_t p[2])
{
    struct fib_rule_port_range range = {p[0], p[1]};
    if (p[1])
        mnl_attr_put(h, type, sizeof range, &range);
}

static int change_rule(struct dt_nl *nl, bool add, const struct dt_nl_rule *rule)
{
    static const uint8_t action[] = {[DT_NL_RULE_TABLE] = FR_ACT_TO_TBL,
                                     [DT_NL_RULE_GOTO] = FR_ACT_GOTO,
                                     [DT_NL_RULE_NOTHING] = FR_ACT_NOP};
    struct nlmsghdr *h = nl_begin(nl, add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof *r);
    r->family = rule_family(rule->ver);
    r->action = action[rule->action];
    r->flags = rule->invert ? FIB_RULE_INVERT : 0;
    r->dst_len = rule->dst.len;
    r->src_len = rule->src.len;
    if (rule->action == DT_NL_RULE_TABLE) {
        r->table = rule->table < 256 ? (uint8_t)rule->table : RT_TABLE_UNSPEC;
        mnl_attr_put_u32(h, FRA_TABLE, rule->table);
    } else if (rule->action == DT_NL_RULE_GOTO) {
        mnl_attr_put_u32(h, FRA_GOTO, rule->table);
    }
    if (rule->dst.len)
        mnl_attr_put(h, FRA_DST, dt_addr_size(&rule->dst.addr), rule->dst.addr.b);
    if (rule->src.len)
        mnl_attr_put(h, FRA_SRC, dt_addr_size(&rule->src.addr), rule->src.addr.b);
    if (rule->mark) {
        mnl_attr_put_u32(h, FRA_FWMARK, rule->mark);
        mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
    }
    if (rule->proto)
        mnl_attr_put_u8(h, FRA_IP_PROTO, rule->proto);
    if (rule->iif[0])
        mnl_attr_put_strz(h, FRA_IIFNAME, rule->iif);
    if (rule->not_default)
        mnl_attr_put_u32(h, FRA_SUPPRESS_PREFIXLEN, 0);
    put_ports(h, FRA_SPORT_RANGE, rule->sport);
    put_ports(h, FRA_DPORT_RANGE, rule->dport);
    mnl_attr_put_u32(h, FRA_PRIORITY, rule->priority);
    if (add)
        mnl_attr_put_u8(h, FRA_PROTOCOL, DT_NL_PROTOCOL);
    return nl_do(nl, h);
}

int dt_nl_rule_add(struct dt_nl *nl, const struct dt_nl_rule *r, struct dt_err *err)
{
    char text[DT_NL_RULE_STRLEN];
    if (change_rule(nl, true, r) < 0 && errno != EEXIST)
        return dt_err_set(err, 0, "cannot add the rule '%s': %s", dt_nl_rule_str(text, r), strerror(errno));
    return 0;
}

int dt_nl_rule_del(struct dt_nl *nl, const struct dt_nl_rule *r, struct dt_err *err)
{
    char text[DT_NL_RULE_STRLEN];
    if (change_rule(nl, false, r) < 0 && errno != ENOENT && errno != EAFNOSUPPORT)
        return dt_err_set(err, 0, "cannot remove the rule '%s': %s", dt_nl_rule_str(text, r),
                          strerror(errno));
    return 0;
}

/* ---- dumps ---------------------------------------------------------------------------------------- */

static struct dt_addr rule_get_addr(const struct nlattr *a, uint8_t ver)
{
    if (mnl_attr_get_payload_len(a) != (ver == 4 ? 4 : 16))
        return (struct dt_addr){.ver = 0};
    return ver == 4 ? dt_addr4_bytes(mnl_attr_get_payload(a)) : dt_addr6_bytes(mnl_attr_get_payload(a));
}

static void get_ports(uint16_t p[2], const struct nlattr *a)
{
    const struct fib_rule_port_range *range = mnl_attr_get_payload(a);
    if (mnl_attr_get_payload_len(a) == sizeof *range) {
        p[0] = range->start;
        p[1] = range->end;
    }
}

static bool parse_action(struct dt_nl_rule *out, const struct fib_rule_hdr *r)
{
    switch (r->action) {
    case FR_ACT_TO_TBL:
        out->action = DT_NL_RULE_TABLE;
        return true;
    case FR_ACT_GOTO:
        out->action = DT_NL_RULE_GOTO;
        return true;
    case FR_ACT_NOP:
        out->action = DT_NL_RULE_NOTHING;
        return true;
    default:
        return false;
    }
}

/* A condition that is not told here makes a rule another one, and foreign. */
static void parse_rule(struct dt_nl_rule *out, const struct nlmsghdr *h)
{
    const struct fib_rule_hdr *r = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    uint32_t mask = 0, table = r->table, target = 0;
    uint8_t protocol = 0;
    *out = (struct dt_nl_rule){.ver = r->family == AF_INET ? 4 : 6, .invert = r->flags & FIB_RULE_INVERT};
    out->dst.len = r->dst_len;
    out->src.len = r->src_len;
    bool more = !parse_action(out, r) || r->tos;
    mnl_attr_for_each(a, h, sizeof *r)
    {
        switch (mnl_attr_get_type(a)) {
        case FRA_TABLE:
            table = mnl_attr_get_u32(a);
            break;
        case FRA_GOTO:
            target = mnl_attr_get_u32(a);
            break;
        case FRA_DST:
            out->dst.addr = rule_get_addr(a, out->ver);
            break;
        case FRA_SRC:
            out->src.addr = rule_get_addr(a, out->ver);
            break;
        case FRA_FWMARK:
            out->mark = mnl_attr_get_u32(a);
            break;
        case FRA_FWMASK:
            mask = mnl_attr_get_u32(a);
            break;
        case FRA_PRIORITY:
            out->priority = mnl_attr_get_u32(a);
            break;
        case FRA_PROTOCOL:
            protocol = mnl_attr_get_u8(a);
            break;
        case FRA_IP_PROTO:
            out->proto = mnl_attr_get_u8(a);
            break;
        case FRA_SPORT_RANGE:
            get_ports(out->sport, a);
            break;
        case FRA_DPORT_RANGE:
            get_ports(out->dport, a);
            break;
        case FRA_IIFNAME:
            snprintf(out->iif, sizeof out->iif, "%s", mnl_attr_get_str(a));
            break;
        case FRA_OIFNAME:
        case FRA_UID_RANGE:
        case FRA_TUN_ID:
        case FRA_L3MDEV:
        case CONDITION_DSCP:
        case CONDITION_FLOWLABEL:
            more = true;
            break;
        case CONDITION_SPORT_MASK:
        case CONDITION_DPORT_MASK:
            more = more || mnl_attr_get_u16(a) != WHOLE_PORT;
            break;
        case FRA_SUPPRESS_PREFIXLEN:
            out->not_default = mnl_attr_get_u32(a) == 0;
            more = more || (!out->not_default && mnl_attr_get_u32(a) != UINT32_MAX);
            break;
        case FRA_SUPPRESS_IFGROUP:
            more = more || mnl_attr_get_u32(a) != UINT32_MAX; /* which is none */
            break;
        default:
            break;
        }
    }
    out->table = out->action == DT_NL_RULE_TABLE ? table : target;
    more = more || mask != (out->mark ? UINT32_MAX : 0);
    out->foreign = more || protocol != DT_NL_PROTOCOL;
    if (more)
        out->action = UINT8_MAX; /* equal to nothing that is wanted */
}

static int collect_rule(const struct nlmsghdr *h, void *ctx)
{
    struct dt_nl_rules *l = ctx;
    struct dt_nl_rule r;
    if (h->nlmsg_type != RTM_NEWRULE)
        return 0;
    parse_rule(&r, h);
    if (r.foreign && (r.priority < l->from || r.priority > l->to))
        return 0;
    struct dt_nl_rule *room = nl_room((void **)&l->v, l->n, &l->cap, sizeof r, RULES_MAX);
    if (!room)
        return -1;
    *room = r;
    l->n++;
    return 0;
}

static void forget_version(void *ctx)
{
    struct dt_nl_rules *l = ctx;
    while (l->n && l->v[l->n - 1].ver == 6)
        l->n--;
}

static void forget_all(void *ctx)
{
    ((struct dt_nl_rules *)ctx)->n = 0;
}

int dt_nl_rules_of(struct dt_nl *nl, uint32_t from, uint32_t to, struct dt_nl_rules *out, struct dt_err *err)
{
    out->n = 0;
    out->from = from;
    out->to = to;
    for (uint8_t ver = 4; ver <= 6; ver += 2) {
        struct nlmsghdr *h = nl_begin(nl, RTM_GETRULE, NLM_F_DUMP);
        struct fib_rule_hdr *hdr = mnl_nlmsg_put_extra_header(h, sizeof *hdr);
        hdr->family = rule_family(ver);
        if (nl_dump(nl, h, collect_rule, ver == 4 ? forget_all : forget_version, out) < 0 &&
            errno != EOPNOTSUPP && errno != EAFNOSUPPORT)
            return dt_err_set(err, 0, "cannot list the routing rules: %s", strerror(errno));
    }
    return 0;
}

void dt_nl_rules_free(struct dt_nl_rules *l)
{
    free(l->v);
    *l = (struct dt_nl_rules){.v = NULL};
}
