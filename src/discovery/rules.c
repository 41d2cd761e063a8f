/* Discovery and the policy stacks (plans/plans.h): a peer that was found may be one that the rules reach only through
 * other tunnels. Then the discovered tunnel becomes one more tunnel rule, last of all, and its packets have a plan like
 * any other: the layers below it first, each through the one before. Where no rule speaks of the peer, nothing of this
 * happens, and the tunnel stands by itself. */
#include "discovery/discover.h"
#include "plans/plans.h"
#include "tunnels/daemon.h"
#include "wire/ip.h"

/* US 6,636,520 FIG. 7: after a tunnel rule, what is matched next is ESP from the same source to its gateway. */
bool discover_nested(const struct daemon *d, const struct dt_addr *src, const struct dt_addr *peer)
{
    struct dt_flow esp = {.src = *src, .dst = *peer, .proto = DT_IPPROTO_ESP};
    const struct dt_rules *rs = d->config_rules;
    for (size_t i = 0; rs != NULL && i < rs->n; i++)
        if (rs->v[i].kind != DT_RULE_TRANSPORT && dt_rule_matches(&rs->v[i], &esp))
            return rs->v[i].kind == DT_RULE_TUNNEL && !dt_addr_eq(&rs->v[i].gateway, peer);
    return false;
}

static int discovery_rule_add(struct dt_rules *rs, const struct found *f, struct dt_err *err)
{
    struct dt_range from[DT_DISCOVER_RANGES], to[DT_DISCOVER_RANGES];
    const struct dt_ted_proxy *p = &f->proxy;
    struct dt_ports sport = {p->sport, p->sport}, dport = {p->dport, p->dport};
    char name[DT_NAME_MAX];
    int nfrom = dt_ted_half_ranges(from, DT_DISCOVER_RANGES, &p->src, &p->src_mask);
    int nto = dt_ted_half_ranges(to, DT_DISCOVER_RANGES, &p->dst, &p->dst_mask);
    if (nfrom < 0 || nto < 0)
        return -1; /* dt_ted_proxy_selectors has said so already */
    snprintf(name, sizeof(name), "%s", f->name);
    struct dt_rule r = {.kind = DT_RULE_TUNNEL,
                        .name = name,
                        .use = name,
                        .gateway = f->peer,
                        .from = {from, (size_t)nfrom},
                        .to = {to, (size_t)nto},
                        .nproto = p->protocol != DT_TED_PROTO_IP,
                        .proto = {p->protocol},
                        .nsport = p->sport != DT_TED_PORT_NONE,
                        .ndport = p->dport != DT_TED_PORT_NONE,
                        .sport = &sport,
                        .dport = &dport};
    return dt_rules_add(rs, &r, err);
}

static struct dt_rules *compose(const struct discover *x, struct dt_err *err)
{
    const struct dt_rules *base = x->daemon->config_rules;
    struct dt_rules *rs = dt_rules_new(base->file);
    if (rs != NULL && base->sources != NULL)
        rs->sources = dt_sources_ref(base->sources);
    for (size_t i = 0; rs != NULL && i < base->n; i++)
        if (dt_rules_add(rs, &base->v[i], err) != 0)
            goto fail;
    dt_list_for_each (l, &x->founds) {
        const struct found *f = DT_CONTAINER_OF(l, struct found, link);
        if (rs != NULL && f->nested && discovery_rule_add(rs, f, err) != 0)
            goto fail;
    }
    return rs;
fail:
    dt_rules_unref(rs);
    return NULL;
}

int discover_rules(struct discover *x, struct dt_err *err)
{
    struct daemon *d = x->daemon;
    if (d->config_rules == NULL || (x->nnested == 0 && d->rules == d->config_rules))
        return 0;
    struct dt_rules *rs = x->nnested > 0 ? compose(x, err) : dt_rules_ref(d->config_rules);
    if (rs == NULL)
        return err->text[0] ? -1 : dt_err_set(err, 0, "out of memory for a rule");
    dt_rules_unref(d->rules);
    d->rules = rs;
    return 0;
}

void discover_plan(struct discover *x, const struct found *f, const struct dt_ted_packet *p)
{
    struct dt_dp_event ev = {
        .kind = DT_DP_NEED_TUNNEL,
        .tunnel = f->tun->id,
        .flow = {.src = p->src, .dst = p->dst, .proto = p->protocol, .sport = p->sport, .dport = p->dport}};
    plans_again(x->daemon);
    plans_need(x->daemon, &ev);
}
