/* What all sections together protect: does it fit into the host's tables, and what does it leave out? */
#include "config/reader.h"

/* What one list comes to. A range of IPv6 takes 254 prefixes at most. */
struct reach {
    size_t prefixes, ports;
    bool said;
};

static void add_reach(struct reader *r, struct reach *sum, const struct dt_selectors *list, unsigned line,
                      const char *what)
{
    struct dt_prefix part[256];
    struct dt_selector one[DT_SELECTOR_PROTOS];
    for (size_t i = 0; i < list->n; i++) {
        size_t n = dt_range_prefixes(&list->v[i].range, part, sizeof(part) / sizeof(part[0]), NULL);
        sum->prefixes += n;
        if (dt_selector_is_narrow(&list->v[i]))
            sum->ports += n * dt_selector_protos(&list->v[i], one);
    }
    if (sum->said || (sum->prefixes <= DT_CONFIG_ROUTES_MAX && sum->ports <= DT_CONFIG_PORT_RULES_MAX))
        return;
    sum->said = true;
    if (sum->prefixes > DT_CONFIG_ROUTES_MAX)
        reader_error(r, line,
                     "%s: with this, all sections together protect more than %d prefixes, and each needs its "
                     "route; wider prefixes would be right",
                     what, DT_CONFIG_ROUTES_MAX);
    else
        reader_error(r, line,
                     "%s: with this, all sections together need more than %d rules for protocols and ports; "
                     "whole prefixes would be right",
                     what, DT_CONFIG_PORT_RULES_MAX);
}

static bool protects_all_of(const struct dt_config *c, uint8_t ver)
{
    for (size_t i = 0; i < c->ntunnel; i++)
        if (dt_selectors_all(&c->tunnel[i].cfg.protect, ver))
            return true;
    return false;
}

/* RFC 7359: a full tunnel of one IP version sends the other one's traffic past it. */
static void warn_one_family(struct reader *r, const struct dt_config_tunnel *t)
{
    for (uint8_t ver = 4; ver <= 6; ver += 2)
        if (dt_selectors_all(&t->cfg.protect, ver) && !protects_all_of(r->c, ver == 4 ? 6 : 4))
            reader_warn(
                r, t->protect_line,
                "protect is all of IPv%u, and not of IPv%u: what goes out by IPv%u leaves this host in "
                "the clear (RFC 7359); \"%s\" beside it would be right",
                ver, ver == 4 ? 6 : 4, ver == 4 ? 6 : 4, ver == 4 ? "::/0" : "0.0.0.0/0");
}

void config_check_reach(struct reader *r)
{
    struct dt_config *c = r->c;
    struct reach sum = {0};
    for (size_t i = 0; i < c->ntunnel; i++) {
        add_reach(r, &sum, &c->tunnel[i].cfg.protect, c->tunnel[i].protect_line, "protect");
        warn_one_family(r, &c->tunnel[i]);
    }
    for (size_t i = 0; i < c->ngateway; i++) {
        add_reach(r, &sum, &c->gateway[i].cfg.remote, c->gateway[i].remote_line, "remote");
        sum.prefixes += c->gateway[i].npool;
    }
}
