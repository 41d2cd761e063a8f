/* Queueing disciplines and filters of TC over rtnetlink. */
#include "net/netlink_tc.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_gact.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/nl.h"

/* ---- queueing disciplines ------------------------------------------------------------------------- */

struct ingress_search {
    int ifindex;
    enum dt_nl_ingress found;
};

/* The kernel dumps those of every interface. (It could be asked for one alone, but tells that answer to everybody who
 * listens to news, us included.) */
static int find_ingress(const struct nlmsghdr *h, void *ctx)
{
    struct ingress_search *s = ctx;
    const struct tcmsg *tc = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    if (h->nlmsg_type != RTM_NEWQDISC || tc->tcm_ifindex != s->ifindex || tc->tcm_parent != TC_H_INGRESS)
        return 0;
    mnl_attr_for_each(a, h, sizeof *tc) if (mnl_attr_get_type(a) == TCA_KIND) s->found =
        strcmp(mnl_attr_get_str(a), "clsact") == 0 ? DT_NL_INGRESS_CLSACT : DT_NL_INGRESS_PLAIN;
    return 0;
}

static void forget_ingress(void *ctx)
{
    ((struct ingress_search *)ctx)->found = DT_NL_INGRESS_NONE;
}

int dt_nl_ingress_of(struct dt_nl *nl, unsigned ifindex, enum dt_nl_ingress *out, struct dt_err *err)
{
    struct ingress_search s = {.ifindex = (int)ifindex};
    struct nlmsghdr *h = nl_begin(nl, RTM_GETQDISC, NLM_F_DUMP);
    struct tcmsg *tc = mnl_nlmsg_put_extra_header(h, sizeof *tc);
    tc->tcm_ifindex = (int)ifindex;
    if (nl_dump(nl, h, find_ingress, forget_ingress, &s) < 0)
        return dt_err_set(err, 0, "cannot list queueing disciplines: %s", strerror(errno));
    *out = s.found;
    return 0;
}

/* ---- what a filter does to those behind it ---------------------------------------------------------- */

/* Where each classifier keeps its list of actions. */
static const struct {
    const char *kind;
    uint16_t actions;
} classifier[] = {{"bpf", TCA_BPF_ACT},   {"matchall", TCA_MATCHALL_ACT}, {"flower", TCA_FLOWER_ACT},
                  {"u32", TCA_U32_ACT},   {"basic", TCA_BASIC_ACT},       {"fw", TCA_FW_ACT},
                  {"flow", TCA_FLOW_ACT}, {"cgroup", TCA_CGROUP_ACT}};

#define PARMS 2 /* TCA_GACT_PARMS, TCA_MIRRED_PARMS, ...: begins with struct tc_gact's members */

/* The verdict in an action's parameters; INT32_MIN: there is none. */
static int parms_verdict(const struct nlattr *options)
{
    const struct nlattr *a;
    int verdict = INT32_MIN;
    mnl_attr_for_each_nested(a, options)
    {
        struct tc_gact parms;
        if (mnl_attr_get_type(a) != PARMS || mnl_attr_get_payload_len(a) < sizeof parms)
            continue;
        memcpy(&parms, mnl_attr_get_payload(a), sizeof parms);
        verdict = parms.action;
    }
    return verdict;
}

/* What one action says of the packet; INT32_MIN: not known (a policer's differs from packet to packet). */
static int action_verdict(const struct nlattr *action)
{
    const struct nlattr *a;
    bool police = false;
    int verdict = INT32_MIN;
    mnl_attr_for_each_nested(a, action)
    {
        if (mnl_attr_get_type(a) == TCA_ACT_KIND)
            police = strcmp(mnl_attr_get_str(a), "police") == 0;
        else if (mnl_attr_get_type(a) == TCA_ACT_OPTIONS)
            verdict = parms_verdict(a);
    }
    return police ? INT32_MIN : verdict;
}

/* The first action that does not pass on to the next one decides; no action at all is "ok", which ends the chain. */
static enum dt_nl_ends actions_end(const struct nlattr *actions)
{
    const struct nlattr *a;
    if (actions)
        mnl_attr_for_each_nested(a, actions)
        {
            int verdict = action_verdict(a);
            if (verdict == TC_ACT_UNSPEC)
                return DT_NL_ENDS_NOTHING;
            if (verdict == INT32_MIN)
                return DT_NL_ENDS_SOME;
            if (verdict != TC_ACT_PIPE)
                break;
        }
    return DT_NL_ENDS_ALL;
}

/* A program of one instruction, "return K", says the same of each packet. */
static enum dt_nl_ends program_ends(const struct nlattr *options)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, options)
    {
        struct sock_filter first;
        if (mnl_attr_get_type(a) != TCA_BPF_OPS || mnl_attr_get_payload_len(a) < sizeof first)
            continue;
        memcpy(&first, mnl_attr_get_payload(a), sizeof first);
        if (first.code == (BPF_RET | BPF_K))
            return (int)first.k == TC_ACT_UNSPEC ? DT_NL_ENDS_NOTHING : DT_NL_ENDS_ALL;
    }
    return DT_NL_ENDS_SOME;
}

static bool u32_matches_all(const struct nlattr *options)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, options)
    {
        const struct tc_u32_sel *sel = mnl_attr_get_payload(a);
        if (mnl_attr_get_type(a) != TCA_U32_SEL || mnl_attr_get_payload_len(a) < sizeof *sel)
            continue;
        for (unsigned i = 0; i < sel->nkeys; i++)
            if (mnl_attr_get_payload_len(a) < sizeof *sel + (i + 1) * sizeof sel->keys[0] ||
                sel->keys[i].mask)
                return false;
        return sel->flags & TC_U32_TERMINAL;
    }
    return false;
}

static bool flower_matches_all(const struct nlattr *options)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, options)
    {
        uint16_t type = mnl_attr_get_type(a);
        if (type != TCA_FLOWER_CLASSID && type != TCA_FLOWER_ACT && type != TCA_FLOWER_KEY_ETH_TYPE &&
            type != TCA_FLOWER_FLAGS && type != TCA_FLOWER_IN_HW_COUNT)
            return false;
    }
    return true;
}

static enum dt_nl_ends filter_ends(const struct dt_nl_filter *f, uint16_t protocol,
                                   const struct nlattr *options)
{
    const struct nlattr *a, *actions = NULL;
    enum dt_nl_ends ends = DT_NL_ENDS_SOME;
    bool all = strcmp(f->kind, "matchall") == 0 ||
               (strcmp(f->kind, "u32") == 0 && u32_matches_all(options)) ||
               (strcmp(f->kind, "flower") == 0 && flower_matches_all(options));
    if (protocol != ETH_P_ALL && protocol != ETH_P_IP)
        return DT_NL_ENDS_NOTHING;
    if (f->direct)
        return program_ends(options);
    for (size_t i = 0; i < DT_ARRAY_LEN(classifier); i++)
        if (strcmp(classifier[i].kind, f->kind) == 0) {
            mnl_attr_for_each_nested(a, options) if (mnl_attr_get_type(a) == classifier[i].actions) actions =
                a;
            ends = actions_end(actions);
        }
    return ends == DT_NL_ENDS_ALL && !all ? DT_NL_ENDS_SOME : ends;
}

/* ---- filters ------------------------------------------------------------------------------------------ */

static void read_bpf_options(struct dt_nl_filter *f, const struct nlattr *options)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, options)
    {
        if (mnl_attr_get_type(a) == TCA_BPF_ID)
            f->prog = mnl_attr_get_u32(a);
        else if (mnl_attr_get_type(a) == TCA_BPF_FLAGS)
            f->direct = mnl_attr_get_u32(a) & TCA_BPF_FLAG_ACT_DIRECT;
    }
}

static int collect_filter(const struct nlmsghdr *h, void *ctx)
{
    struct dt_nl_filters *l = ctx;
    const struct tcmsg *tc = mnl_nlmsg_get_payload(h);
    const struct nlattr *a, *options = NULL;
    struct dt_nl_filter f = {.handle = tc->tcm_handle, .pref = (uint16_t)(tc->tcm_info >> 16)};
    uint32_t chain = 0;
    if (h->nlmsg_type != RTM_NEWTFILTER)
        return 0;
    mnl_attr_for_each(a, h, sizeof *tc)
    {
        if (mnl_attr_get_type(a) == TCA_KIND)
            snprintf(f.kind, sizeof f.kind, "%s", mnl_attr_get_str(a));
        else if (mnl_attr_get_type(a) == TCA_OPTIONS)
            options = a;
        else if (mnl_attr_get_type(a) == TCA_CHAIN)
            chain = mnl_attr_get_u32(a);
    }
    if (chain || !options) /* the kernel names each classifier once more, without a filter */
        return 0;
    if (strcmp(f.kind, "bpf") == 0)
        read_bpf_options(&f, options);
    f.ends = filter_ends(&f, ntohs((uint16_t)(tc->tcm_info & 0xffff)), options);
    struct dt_nl_filter *room = nl_room((void **)&l->v, l->n, &l->cap, sizeof f, DT_NL_DUMP_MAX);
    if (!room)
        return -1;
    *room = f;
    l->n++;
    return 0;
}

static void forget_filters(void *ctx)
{
    ((struct dt_nl_filters *)ctx)->n = 0;
}

int dt_nl_filters_of(struct dt_nl *nl, unsigned ifindex, bool egress, struct dt_nl_filters *out,
                     struct dt_err *err)
{
    struct nlmsghdr *h = nl_begin(nl, RTM_GETTFILTER, NLM_F_DUMP);
    struct tcmsg *tc = mnl_nlmsg_put_extra_header(h, sizeof *tc);
    tc->tcm_ifindex = (int)ifindex;
    tc->tcm_parent = TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
    out->n = 0;
    if (nl_dump(nl, h, collect_filter, forget_filters, out) == 0 || errno == ENODEV || errno == EINVAL)
        return 0; /* EINVAL: some kernels say so where there is no such place */
    return dt_err_set(err, 0, "cannot list the filters of interface %u: %s", ifindex, strerror(errno));
}

void dt_nl_filters_free(struct dt_nl_filters *l)
{
    free(l->v);
    *l = (struct dt_nl_filters){.v = NULL};
}
