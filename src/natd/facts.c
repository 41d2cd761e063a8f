#include "natd/facts.h"

#include <stdio.h>
#include <string.h>

#include "net/netlink_tc.h"

static int place_cmp(const void *a, const void *b)
{
    return memcmp(a, b, offsetof(struct natd_fact, value));
}

/* What somebody else has put at the ingress place serves as well; only the egress filter needs clsact. */
static bool natd_fact_serves(const void *wanted, const void *had)
{
    const struct natd_fact *w = wanted, *h = had;
    return w->value == h->value || (w->kind == NATD_QDISC && h->value != DT_NL_INGRESS_NONE);
}

/* Nothing is ever taken away by the difference: at its end natd detaches (natd.c), or leaves all as it is. */
static bool stays(const void *had)
{
    return true;
}

static bool natd_fact_foreign(const void *had)
{
    return false;
}

static bool concerns(const void *wanted, uint32_t owner)
{
    return true;
}

const struct dt_host_sort natd_facts = {.size = sizeof(struct natd_fact),
                                        .place_cmp = place_cmp,
                                        .serves = natd_fact_serves,
                                        .stays = stays,
                                        .foreign = natd_fact_foreign,
                                        .concerns = concerns};

enum natd_harm natd_fact_harm(const struct natd_fact *f)
{
    bool large_only = f->kind == NATD_SYSCTL || (f->kind == NATD_LINK && f->port == NATD_LOOPBACK);
    bool own_only = (f->kind == NATD_FILTER || f->kind == NATD_CHAIN) && f->which == NATD_EGRESS;
    return large_only || own_only || f->kind == NATD_PIN ? NATD_HARM_IMPAIRED : NATD_HARM_BLOCKED;
}

static const char *hook_name(const struct natd_fact *f)
{
    return f->which == NATD_EGRESS ? "egress" : "ingress";
}

static const char *sysctl_name(const struct natd_fact *f)
{
    return f->which == NATD_ACCEPT_LOCAL ? "accept_local" : "forwarding";
}

static const char *table_name(const struct natd_fact *f, const struct natd_names *n)
{
    bool known = f->which < sizeof(n->table) / sizeof(n->table[0]) && n->table[f->which];
    return known ? n->table[f->which] : "a table";
}

const char *natd_fact_str(char buf[NATD_FACT_STRLEN], const struct natd_fact *f, const struct natd_names *n)
{
    const char *port = f->port < NATD_PORTS ? n->port[f->port] : "";
    switch ((enum natd_fact_kind)f->kind) {
    case NATD_LINK:
        snprintf(buf, NATD_FACT_STRLEN, "interface \"%s\" being up", port);
        break;
    case NATD_FORWARD:
        snprintf(buf, NATD_FACT_STRLEN, "forwarding by interface \"%s\"", port);
        break;
    case NATD_ADDRESS:
        snprintf(buf, NATD_FACT_STRLEN, "an address of interface \"%s\"", port);
        break;
    case NATD_CLIENTS:
        snprintf(buf, NATD_FACT_STRLEN, "a network by interface \"%s\"", port);
        break;
    case NATD_SYSCTL:
        snprintf(buf, NATD_FACT_STRLEN, "net.ipv4.conf.%s.%s = 1", port, sysctl_name(f));
        break;
    case NATD_PIN:
        snprintf(buf, NATD_FACT_STRLEN, "%s/%s", n->pins, table_name(f, n));
        break;
    case NATD_QDISC:
        snprintf(buf, NATD_FACT_STRLEN, "the clsact queueing discipline of %s", port);
        break;
    case NATD_FILTER:
        snprintf(buf, NATD_FACT_STRLEN, "the filter on %s of %s", hook_name(f), port);
        break;
    case NATD_CHAIN:
        snprintf(buf, NATD_FACT_STRLEN, "nothing before our filter on %s of %s", hook_name(f), port);
        break;
    }
    return buf;
}

static void link_reason(char buf[NATD_FACT_STRLEN], const struct natd_reason *r, const char *port)
{
    bool loopback = r->wanted.port == NATD_LOOPBACK;
    if (!r->there)
        snprintf(buf, NATD_FACT_STRLEN, "%s", r->detail[0] ? r->detail : "the interface is not there");
    else
        snprintf(buf, NATD_FACT_STRLEN, "interface \"%s\" is down (`ip link set %s up`)%s", port, port,
                 loopback ? ": packets over the MTU that may be fragmented are dropped" : "");
}

const char *natd_reason_str(char buf[NATD_FACT_STRLEN], const struct natd_reason *r,
                            const struct natd_names *n)
{
    const struct natd_fact *f = &r->wanted;
    const char *port = f->port < NATD_PORTS ? n->port[f->port] : "";
    switch ((enum natd_fact_kind)f->kind) {
    case NATD_LINK:
        link_reason(buf, r, port);
        break;
    case NATD_FORWARD:
        snprintf(buf, NATD_FACT_STRLEN, "interface \"%s\" does not forward (sysctl net.ipv4.ip_forward = 1)",
                 port);
        break;
    case NATD_ADDRESS:
        snprintf(buf, NATD_FACT_STRLEN,
                 "interface \"%s\" has no IPv4 address: clients have nothing to leave as", port);
        break;
    case NATD_CLIENTS:
        snprintf(buf, NATD_FACT_STRLEN,
                 "no network is routed by interface \"%s\": nobody is a client (an address on it, a route by "
                 "it, or "
                 "clients = { ... } would be right)",
                 port);
        break;
    case NATD_SYSCTL:
        snprintf(buf, NATD_FACT_STRLEN,
                 "packets over the MTU that may be fragmented are dropped: net.ipv4.conf.%s.%s = 1 cannot be "
                 "set: %s",
                 port, sysctl_name(f), r->detail);
        break;
    case NATD_PIN:
        snprintf(buf, NATD_FACT_STRLEN, "%s/%s is not pinned, and would be lost with natd: %s", n->pins,
                 table_name(f, n), r->detail);
        break;
    case NATD_QDISC:
        snprintf(buf, NATD_FACT_STRLEN, "%s takes no clsact queueing discipline: %s", port, r->detail);
        break;
    case NATD_FILTER:
        snprintf(buf, NATD_FACT_STRLEN, "%sthe filter on %s of %s cannot be set: %s",
                 f->which == NATD_EGRESS ? "the router's own IPsec is not told from its clients': " : "",
                 hook_name(f), port, r->detail);
        break;
    case NATD_CHAIN:
        snprintf(buf, NATD_FACT_STRLEN,
                 "somebody's filter \"%s\" with preference %u on %s of %s ends the chain for every packet "
                 "before ours "
                 "(preference 53): give it a greater preference, or have it continue",
                 r->detail, (unsigned)r->had.value, hook_name(f), port);
        break;
    }
    return buf;
}
