#include "natd/router.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/utf8.h"
#include "masq/kern/shared.h"
#include "natd/natd.h"

#define LOOPBACK 1 /* the index of that device in every network namespace */

/* Our three filters. */
static const struct {
    uint8_t port, hook;
    enum dt_kernel_prog prog;
} filter[] = {{NATD_OUTSIDE, NATD_INGRESS, DT_KERNEL_OUTSIDE},
              {NATD_OUTSIDE, NATD_EGRESS, DT_KERNEL_EGRESS},
              {NATD_INSIDE, NATD_INGRESS, DT_KERNEL_INSIDE}};

static int router_put(struct dt_host_facts *l, uint8_t kind, unsigned port, unsigned which, uint32_t value)
{
    struct natd_fact f = {.kind = kind, .port = (uint8_t)port, .which = (uint8_t)which, .value = value};
    return dt_host_facts_put(l, &natd_facts, &f);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

/* A sysctl of an interface: its first character; '\0': it is not there. */
static char sysctl_get(const char *port, const char *key)
{
    char path[128], c = '\0';
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", port, key);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return '\0';
    if (read(fd, &c, 1) != 1)
        c = '\0';
    close(fd);
    return c;
}

static bool forwards(const struct natd_router *r, unsigned port)
{
    return r->ifindex[port] && sysctl_get(r->name[port], "forwarding") == '1';
}

static int read_port(struct natd_router *r, unsigned port, struct dt_host_facts *have, struct dt_err *err)
{
    struct dt_nl_link link;
    if (!r->ifindex[port])
        return 0;
    if (dt_nl_link_get(r->nl, r->ifindex[port], &link, err))
        return -1;
    if (!link.there)
        return 0;
    return router_put(have, NATD_LINK, port, 0, link.up) ||
                   (port != NATD_LOOPBACK && forwards(r, port) && router_put(have, NATD_FORWARD, port, 0, 1))
               ? -1
               : 0;
}

static int read_sysctls(struct natd_router *r, struct dt_host_facts *have)
{
    if (!r->looked)
        r->lo_was_open = sysctl_get("lo", "accept_local") == '1';
    bool local = sysctl_get("lo", "accept_local") == '1' || sysctl_get("all", "accept_local") == '1';
    return router_put(have, NATD_SYSCTL, NATD_LOOPBACK, NATD_ACCEPT_LOCAL, local) ||
           router_put(have, NATD_SYSCTL, NATD_LOOPBACK, NATD_LO_FORWARDING,
                      sysctl_get("lo", "forwarding") == '1');
}

static int read_pins(struct natd_router *r, struct dt_host_facts *have)
{
    for (unsigned i = 0; i < dt_kernel_pins(r->kernel); i++)
        if (router_put(have, NATD_PIN, NATD_PORTS, i, dt_kernel_pin_found(r->kernel, i)))
            return -1;
    return 0;
}

static void note_before(struct natd_router *r, unsigned port, unsigned hook, uint16_t pref, const char *kind)
{
    struct natd_before b = {.port = (uint8_t)port, .hook = (uint8_t)hook, .pref = pref};
    snprintf(b.kind, sizeof(b.kind), "%s", kind);
    if (r->n_before < NATD_BEFORE_MAX && (!r->n_before || memcmp(&r->before[r->n_before - 1], &b, sizeof(b))))
        r->before[r->n_before++] = b;
}

/* Ours, and what stands before it. */
static int read_chain(struct natd_router *r, unsigned port, unsigned hook, struct dt_host_facts *have,
                      struct dt_err *err)
{
    uint32_t ender = 0;
    r->in_our_place[port][hook][0] = '\0';
    if (dt_nl_filters_of(r->nl, r->ifindex[port], hook == NATD_EGRESS, &r->filters, err))
        return -1;
    if (dt_kernel_tcx(r->ifindex[port], hook == NATD_EGRESS))
        note_before(r, port, hook, 0, "tcx");
    for (size_t i = 0; i < r->filters.n; i++) {
        const struct dt_nl_filter *f = &r->filters.v[i];
        if (f->pref == DT_KERNEL_PREF && f->handle == DT_KERNEL_HANDLE && f->prog && f->direct) {
            r->found_attached |= !r->looked;
            if (router_put(have, NATD_FILTER, port, hook, f->prog))
                return -1;
        } else if (f->pref == DT_KERNEL_PREF && strcmp(f->kind, "bpf") != 0) {
            snprintf(r->in_our_place[port][hook], sizeof(r->in_our_place[port][hook]), "%s", f->kind);
        } else if (f->pref < DT_KERNEL_PREF && f->ends != DT_NL_ENDS_NOTHING) {
            note_before(r, port, hook, f->pref, f->kind);
            if (f->ends == DT_NL_ENDS_ALL && !ender) {
                ender = f->pref;
                dt_err_set(&r->why[NATD_CHAIN][port], 0, "%s", f->kind);
            }
        }
    }
    return router_put(have, NATD_CHAIN, port, hook, ender);
}

static int read_tc(struct natd_router *r, struct dt_host_facts *have, struct dt_err *err)
{
    enum dt_nl_ingress *place = r->place;
    for (unsigned port = NATD_OUTSIDE; port <= NATD_INSIDE; port++) {
        place[port] = DT_NL_INGRESS_NONE;
        if (!r->ifindex[port])
            continue;
        if (dt_nl_ingress_of(r->nl, r->ifindex[port], &place[port], err) ||
            (place[port] && router_put(have, NATD_QDISC, port, 0, place[port])))
            return -1;
    }
    r->n_before = 0;
    for (size_t i = 0; i < DT_ARRAY_LEN(filter); i++) {
        /* Asked for the egress place that it has not, a plain ingress discipline tells of the other. */
        bool is = place[filter[i].port] == DT_NL_INGRESS_CLSACT ||
                  (place[filter[i].port] && filter[i].hook == NATD_INGRESS);
        if (is ? read_chain(r, filter[i].port, filter[i].hook, have, err)
               : router_put(have, NATD_CHAIN, filter[i].port, filter[i].hook, 0))
            return -1;
    }
    return 0;
}

static int router_read(void *user, struct dt_host_facts *have, struct dt_err *err)
{
    struct natd_router *r = user;
    dt_err_set(err, 0, "out of memory"); /* unless something else is said */
    for (unsigned port = 0; port < NATD_PORTS; port++)
        if (read_port(r, port, have, err))
            return -1;
    if ((r->has_address && router_put(have, NATD_ADDRESS, NATD_OUTSIDE, 0, 1)) ||
        (r->has_clients && router_put(have, NATD_CLIENTS, NATD_INSIDE, 0, 1)) || read_sysctls(r, have) ||
        read_pins(r, have) || read_tc(r, have, err))
        return -1;
    r->looked = true;
    /* Kept for the sentences: what stands where something else is wanted. */
    r->have.n = 0;
    for (size_t i = 0; i < have->n; i++)
        if (dt_host_facts_put(&r->have, &natd_facts, dt_host_facts_at(have, &natd_facts, i)))
            return -1;
    return dt_host_facts_settle(&r->have, &natd_facts);
}

/* ---- changing --------------------------------------------------------------------------------------- */

static int sysctl_set(const char *port, const char *key, const char *value, struct dt_err *err)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", port, key);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, value, 1) == 1;
    int e = errno;
    if (fd >= 0)
        close(fd);
    return done ? 0 : dt_err_set(err, 0, "%s", strerror(e));
}

static int set_filter(struct natd_router *r, const struct natd_fact *f, struct dt_err *err)
{
    if (r->in_our_place[f->port][f->which][0])
        return dt_err_set(err, 0, "somebody's filter \"%s\" has its preference, %d",
                          r->in_our_place[f->port][f->which], DT_KERNEL_PREF);
    if (f->which == NATD_EGRESS &&
        r->place[f->port] == DT_NL_INGRESS_PLAIN) /* which would put it at ingress */
        return dt_err_set(err, 0,
                          "somebody's \"ingress\" queueing discipline is where clsact would be (`tc qdisc "
                          "del dev %s ingress`)",
                          r->name[f->port]);
    for (size_t i = 0; i < DT_ARRAY_LEN(filter); i++)
        if (filter[i].port == f->port && filter[i].hook == f->which)
            return dt_kernel_filter(r->kernel, filter[i].prog, r->ifindex[f->port], err);
    return -1;
}

static int set_fact(struct natd_router *r, const struct natd_fact *f, struct dt_err *err)
{
    bool no_port = f->port < NATD_PORTS && !r->ifindex[f->port];
    switch ((enum natd_fact_kind)f->kind) {
    case NATD_SYSCTL:
        if (f->which == NATD_ACCEPT_LOCAL)
            return sysctl_set("lo", "accept_local", "1", err);
        /* Whoever forwards nothing does not want it of this device either. */
        return forwards(r, NATD_OUTSIDE) && forwards(r, NATD_INSIDE)
                   ? sysctl_set("lo", "forwarding", "1", err)
                   : -1;
    case NATD_PIN:
        return dt_kernel_pin(r->kernel, f->which, err);
    case NATD_QDISC:
        return no_port ? -1 : dt_kernel_clsact(r->ifindex[f->port], err);
    case NATD_FILTER:
        return no_port ? -1 : set_filter(r, f, err);
    case NATD_LINK:
    case NATD_FORWARD:
    case NATD_ADDRESS:
    case NATD_CLIENTS:
    case NATD_CHAIN:
        break; /* the administrator's */
    }
    return -1;
}

static int router_change(void *user, bool set, const void *fact, struct dt_err *err)
{
    struct natd_router *r = user;
    const struct natd_fact *f = fact;
    struct dt_err local = {0};
    int rc = set_fact(r, f, &local);
    if (local.text[0])
        r->why[f->kind][f->port < NATD_PORTS ? f->port : NATD_LOOPBACK] = *err = local;
    return rc;
}

static void router_mended(void *user, bool set, const void *fact, const struct dt_err *err)
{
    struct natd_router *r = user;
    char text[NATD_FACT_STRLEN];
    if (err)
        return; /* it is among the reasons */
    r->mended++;
    dt_log(DT_LOG_WARN, "natd", "somebody changed this router: %s was missing or changed; it is set again",
           natd_fact_str(text, fact, &r->names));
}

static const struct dt_host_ops router_ops = {
    .read = router_read, .change = router_change, .mended = router_mended};

/* ---- what is wanted ----------------------------------------------------------------------------------- */

static int router_say_wanted(struct natd_router *r, struct dt_host_facts *want)
{
    for (unsigned port = NATD_OUTSIDE; port <= NATD_INSIDE; port++)
        if (router_put(want, NATD_LINK, port, 0, 1) || router_put(want, NATD_FORWARD, port, 0, 1) ||
            router_put(want, NATD_QDISC, port, 0, DT_NL_INGRESS_CLSACT))
            return -1;
    for (size_t i = 0; i < DT_ARRAY_LEN(filter); i++)
        if (router_put(want, NATD_FILTER, filter[i].port, filter[i].hook,
                       dt_kernel_prog_id(r->kernel, filter[i].prog)) ||
            router_put(want, NATD_CHAIN, filter[i].port, filter[i].hook, 0))
            return -1;
    for (unsigned i = 0; i < dt_kernel_pins(r->kernel); i++)
        if (router_put(want, NATD_PIN, NATD_PORTS, i, dt_kernel_pin_wanted(r->kernel, i)))
            return -1;
    return router_put(want, NATD_ADDRESS, NATD_OUTSIDE, 0, 1) ||
           router_put(want, NATD_CLIENTS, NATD_INSIDE, 0, 1) ||
           router_put(want, NATD_LINK, NATD_LOOPBACK, 0, 1) ||
           router_put(want, NATD_SYSCTL, NATD_LOOPBACK, NATD_ACCEPT_LOCAL, 1) ||
           router_put(want, NATD_SYSCTL, NATD_LOOPBACK, NATD_LO_FORWARDING, 1);
}

int natd_router_open(struct natd_router *r, struct dt_kernel *k, const char *inside, const char *outside,
                     const char *pins, struct dt_err *err)
{
    *r = (struct natd_router){
        .kernel = k, .name = {[NATD_INSIDE] = inside, [NATD_OUTSIDE] = outside, [NATD_LOOPBACK] = "lo"}};
    r->names = (struct natd_names){.port = {r->name[0], r->name[1], r->name[2]}, .pins = pins};
    for (unsigned i = 0; i < dt_kernel_pins(k) && i < DT_ARRAY_LEN(r->names.table); i++)
        r->names.table[i] = dt_kernel_pin_name(k, i);
    r->nl = dt_nl_open(err);
    if (!r->nl)
        return -1;
    r->host = dt_host_new(&natd_facts, &router_ops, r);
    if (!r->host)
        return dt_err_set(err, 0, "out of memory");
    /* By the loopback device a packet over the MTU enters the kernel once more: with its address translated it would be a
     * martian by any other, and where reverse paths are filtered it would be dropped. */
    struct nat_setup *s = dt_kernel_setup(k);
    memset(s->slow_mac, 0, sizeof(s->slow_mac));
    s->slow_ifindex = LOOPBACK;
    r->ifindex[NATD_LOOPBACK] = LOOPBACK;
    return 0;
}

void natd_router_close(struct natd_router *r)
{
    dt_host_free(r->host);
    r->host = NULL;
    dt_nl_close(r->nl);
    r->nl = NULL;
    dt_nl_filters_free(&r->filters);
    dt_host_facts_free(&r->have);
}

/* ---- what came of it ------------------------------------------------------------------------------------ */

static void note_reason(struct natd_router *r, const struct natd_fact *f)
{
    if (r->n_reasons == NATD_REASONS_MAX)
        return;
    struct natd_reason *x = &r->reason[r->n_reasons++];
    const struct natd_fact *had = dt_host_facts_find(&r->have, &natd_facts, f);
    *x = (struct natd_reason){.wanted = *f, .there = had != NULL};
    if (had)
        x->had = *had;
    const struct dt_err *why = &r->why[f->kind][f->port < NATD_PORTS ? f->port : NATD_LOOPBACK];
    dt_utf8_printf(x->detail, sizeof(x->detail), "%s", why->text);
}

/* What follows from another reason is none of its own. */
static bool follows(const struct natd_router *r, const struct natd_fact *f)
{
    bool no_port = f->port < NATD_PORTS && !r->ifindex[f->port], no_qdisc = false, no_forward = false;
    for (unsigned i = 0; i < r->n_reasons; i++) {
        no_qdisc |= r->reason[i].wanted.kind == NATD_QDISC && r->reason[i].wanted.port == f->port;
        no_forward |= r->reason[i].wanted.kind == NATD_FORWARD;
    }
    return (no_port && f->kind != NATD_LINK) || (no_qdisc && f->kind == NATD_FILTER) ||
           (no_forward && f->kind == NATD_SYSCTL && f->which == NATD_LO_FORWARDING);
}

static bool told(const struct natd_reason *old, unsigned n, const char *text, const struct natd_names *names)
{
    char before[NATD_FACT_STRLEN];
    for (unsigned i = 0; i < n; i++)
        if (!strcmp(natd_reason_str(before, &old[i], names), text))
            return true;
    return false;
}

/* looks: that found the router otherwise, when that is over; 0. */
static void tell_news(const struct natd_router *r, const struct natd_reason *old, unsigned n_old,
                      bool was_attached, unsigned looks)
{
    char text[NATD_FACT_STRLEN];
    for (unsigned i = 0; i < r->n_reasons; i++)
        if (!told(old, n_old, natd_reason_str(text, &r->reason[i], &r->names), &r->names))
            dt_log(natd_fact_harm(&r->reason[i].wanted) == NATD_HARM_BLOCKED ? DT_LOG_ERROR : DT_LOG_WARN,
                   "natd", "%s", text);
    if (r->attached && !was_attached)
        dt_log(DT_LOG_INFO, "natd", "the kernel path is on %s and %s", r->name[NATD_INSIDE],
               r->name[NATD_OUTSIDE]);
    if (looks)
        dt_log(DT_LOG_INFO, "natd", "all is as it should be again; %u look%s found it otherwise", looks,
               looks == 1 ? "" : "s");
}

static void tell_before(const struct natd_router *r, const struct natd_before *old, unsigned n_old)
{
    for (unsigned i = 0; i < r->n_before; i++) {
        const struct natd_before *b = &r->before[i];
        bool known = false;
        for (unsigned j = 0; j < n_old; j++)
            known |= memcmp(&old[j], b, sizeof(*b)) == 0;
        if (!known)
            dt_log(DT_LOG_WARN, "natd",
                   "somebody's filter \"%s\" with preference %u on %s of %s stands before ours (preference "
                   "%d): packets "
                   "for which it does not continue are not the NAT's",
                   b->kind, b->pref, b->hook == NATD_EGRESS ? "egress" : "ingress", r->name[b->port],
                   DT_KERNEL_PREF);
    }
}

static void router_take_stock(struct natd_router *r)
{
    const struct dt_host_facts *missing = dt_host_missing_facts(r->host);
    r->n_reasons = 0;
    r->blocked = r->unread[0];
    r->attached = !r->unread[0];
    for (int harm = NATD_HARM_BLOCKED; harm <= NATD_HARM_IMPAIRED; harm++)
        for (size_t i = 0; i < missing->n; i++) {
            const struct natd_fact *f = dt_host_facts_at(missing, &natd_facts, i);
            if ((int)natd_fact_harm(f) != harm)
                continue;
            r->blocked |= harm == NATD_HARM_BLOCKED;
            r->attached &= harm != NATD_HARM_BLOCKED || (f->kind != NATD_FILTER && f->kind != NATD_QDISC);
            if (!follows(r, f))
                note_reason(r, f);
        }
}

void natd_router_leave(struct natd_router *r)
{
    struct dt_err ignored;
    dt_kernel_detach(r->ifindex[NATD_INSIDE], r->ifindex[NATD_OUTSIDE]);
    /* What was open when a natd's program was there already, that natd has opened. */
    if (r->looked && (!r->lo_was_open || r->found_attached))
        sysctl_set("lo", "accept_local", "0", &ignored);
}

void natd_router_look(struct natd_router *r)
{
    unsigned now[2];
    for (unsigned port = NATD_OUTSIDE; port <= NATD_INSIDE; port++) {
        struct dt_err err = {0};
        if (natd_interface(r->name[port], &now[port], &err)) {
            now[port] = 0;
            r->why[NATD_LINK][port] = err;
        }
        if (now[port] && r->ifindex[port] && now[port] != r->ifindex[port]) /* another one has the name now */
            dt_kernel_detach(port == NATD_INSIDE ? r->ifindex[port] : 0,
                             port == NATD_OUTSIDE ? r->ifindex[port] : 0);
        r->ifindex[port] = now[port];
    }
    if (now[NATD_OUTSIDE])
        dt_kernel_setup(r->kernel)->outside = now[NATD_OUTSIDE];
}

void natd_router_reconcile(struct natd_router *r)
{
    struct natd_reason old[NATD_REASONS_MAX];
    struct natd_before before[NATD_BEFORE_MAX];
    unsigned n_old = r->n_reasons, n_before = r->n_before;
    bool was_attached = r->attached;
    struct dt_host_facts want = {.v = NULL};
    struct dt_host_result result = {.set = 0};
    memcpy(old, r->reason, sizeof(old));
    memcpy(before, r->before, sizeof(before));
    r->unread[0] = '\0';
    int rc = router_say_wanted(r, &want);
    if (rc)
        result = (struct dt_host_result){.why = {.text = "out of memory"}, .news = DT_HOST_BEGINS};
    else
        rc = dt_host_want(r->host, &want, &result);
    dt_host_facts_free(&want);
    if (rc && !result.missing)
        snprintf(r->unread, sizeof(r->unread), "%s", result.why.text);
    r->failed_looks += rc != 0;
    if (r->unread[0] && result.news != DT_HOST_SAME)
        dt_log(DT_LOG_ERROR, "natd", "this router cannot be looked at: %s", r->unread);
    router_take_stock(r);
    tell_news(r, old, n_old, was_attached, result.news == DT_HOST_OVER ? result.looks : 0);
    tell_before(r, before, n_before);
}
