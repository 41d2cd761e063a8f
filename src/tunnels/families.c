/* Who protects everything means both IP versions (RFC 7359), and who protects networks of both wants both carried. What is
 * left of that is told: here, in `dovetail check` beforehand where the file says it. */
#include "tunnels/families.h"

#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

static bool daemon_has_all_of(const struct daemon *d, uint8_t ver)
{
    dt_list_for_each (l, &d->tuns) {
        const struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (!t->cfg.discovered && dt_selectors_all(&t->cfg.cfg.protect, ver))
            return true;
    }
    return false;
}

static bool list_has_version(const struct dt_selectors *list, uint8_t ver)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].range.from.ver == ver)
            return true;
    return false;
}

static struct left_family left_by_gateway(struct daemon *d, const struct tun *t)
{
    struct dt_tunnel_info info;
    if (t->id == 0 || !dt_endpoint_tunnel_info(d->ep, t->id, &info) || info.nepochs == 0)
        return (struct left_family){.ver = 0};
    for (uint8_t ver = 4; ver <= 6; ver += 2) {
        const struct dt_addr *inside = ver == 4 ? &info.inside.addr4 : &info.inside.addr6;
        if (!list_has_version(&t->cfg.cfg.protect, ver))
            continue;
        if (!list_has_version(&info.remote_ts, ver))
            return (struct left_family){ver,
                                        !t->site && inside->ver == 0 ? LEFT_NOT_LEASED : LEFT_NOT_ALLOWED};
    }
    return (struct left_family){.ver = 0};
}

static struct left_family left_by(struct daemon *d, const struct tun *t)
{
    for (uint8_t ver = 4; t->wanted && !t->cfg.discovered && ver <= 6; ver += 2)
        if (dt_selectors_all(&t->cfg.cfg.protect, ver) && !daemon_has_all_of(d, ver == 4 ? 6 : 4))
            return (struct left_family){ver == 4 ? 6 : 4, LEFT_CLEAR};
    return left_by_gateway(d, t);
}

void families_look(struct daemon *d, struct tun *t)
{
    static const char *const why[] = {[LEFT_CLEAR] = "leaves this host in the clear: protect is all of the "
                                                     "other IP version, and not of this (RFC 7359)",
                                      [LEFT_NOT_ALLOWED] = "goes nowhere: the gateway allows none of it",
                                      [LEFT_NOT_LEASED] =
                                          "goes nowhere: the gateway leased no address of it"};
    struct left_family was = t->left;
    t->left = left_by(d, t);
    if (t->left.ver != 0 && (t->left.ver != was.ver || t->left.why != was.why))
        LOG(DT_LOG_WARN, "%s: IPv%u %s", t->cfg.cfg.name, t->left.ver, why[t->left.why]);
}

json_t *families_json(const struct tun *t)
{
    static const char *const why[] = {
        [LEFT_CLEAR] = "clear", [LEFT_NOT_ALLOWED] = "not_allowed", [LEFT_NOT_LEASED] = "not_leased"};
    if (t->left.ver == 0)
        return json_null();
    return json_pack("{s:i, s:s}", "version", t->left.ver, "why", why[t->left.why]);
}
