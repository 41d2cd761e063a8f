/* Events: one struct, one sentence each. They are noted as they happen and told when the call that they happened in has
 * done its work: who hears one may look at anything, and must not find it half changed. */
#include "endpoint/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define UNTOLD_FIRST 16
#define UNTOLD_MAX   8192

static const char *name_of(enum dt_event_kind kind)
{
    switch (kind) {
    case DT_EVENT_TUNNEL_ADDED:
        return "tunnel_added";
    case DT_EVENT_TUNNEL_GONE:
        return "tunnel_gone";
    case DT_EVENT_UP:
        return "up";
    case DT_EVENT_DOWN:
        return "down";
    case DT_EVENT_SESSION_UP:
        return "session_up";
    case DT_EVENT_SESSION_DOWN:
        return "session_down";
    case DT_EVENT_SESSION_REPLACED:
        return "session_replaced";
    case DT_EVENT_SESSION_REKEYED:
        return "session_rekeyed";
    case DT_EVENT_LEASED:
        return "leased";
    case DT_EVENT_ENCAP_TRY:
        return "encap_try";
    case DT_EVENT_ENCAP_CHOSEN:
        return "encap_chosen";
    case DT_EVENT_PATH:
        return "path";
    case DT_EVENT_PROBE_KIND:
        return "probe_kind";
    case DT_EVENT_IKE:
        return "ike";
    case DT_EVENT_SUSPECT:
        return "suspect";
    case DT_EVENT_UNKNOWN_SPI:
        return "unknown_spi";
    case DT_EVENT_LIMIT:
        return "limit";
    case DT_EVENT_ELSEWHERE:
        return "elsewhere";
    case DT_EVENT_TURNED_AWAY:
        return "turned_away";
    case DT_EVENT_PROOF_LOST:
        return "proof_lost";
    case DT_EVENT_UNPROVED:
        return "unproved";
    }
    return "?";
}

struct dt_endpoint *ep_enter(struct dt_endpoint *ep, dt_time now)
{
    if (ep->depth++ > 0)
        ep->count.reentered++;
    ep->now = now;
    return ep;
}

void ep_leave(struct dt_endpoint *ep)
{
    if (ep->depth == 1)
        ep_events_tell(ep);
    ep->depth--;
}

static void untold_release(struct dt_endpoint *ep)
{
    struct untold *u = &ep->untold;
    if (u->cap <= UNTOLD_FIRST)
        return;
    ep->bytes -= u->cap * sizeof(*u->v);
    free(u->v);
    *u = (struct untold){0};
}

void ep_events_tell(struct dt_endpoint *ep)
{
    struct untold *u = &ep->untold;
    if (ep->depth > 1) /* somebody further out tells */
        return;
    for (size_t i = 0; i < u->n; i++) {
        struct dt_event ev = u->v[i]; /* u->v may move, should a callback call in */
        ep->ops.event(ep->user, &ev);
    }
    u->n = 0;
    untold_release(ep);
    ep_tunnels_bury(ep);
}

static int untold_grow(struct dt_endpoint *ep)
{
    struct untold *u = &ep->untold;
    size_t cap = u->cap ? 2 * u->cap : UNTOLD_FIRST;
    if (cap > UNTOLD_MAX)
        return -1;
    struct dt_event *v = realloc(u->v, cap * sizeof(*v));
    if (!v)
        return -1;
    ep->bytes += (cap - u->cap) * sizeof(*v);
    u->v = v;
    u->cap = cap;
    return 0;
}

static void event_note(struct dt_endpoint *ep, const struct dt_event *ev)
{
    struct untold *u = &ep->untold;
    if (ep->ops.trace)
        ep->ops.trace(ep->user, ev);
    if (!ep->ops.event)
        return;
    if (u->n == u->cap && untold_grow(ep))
        ep->count.untold++;
    else
        u->v[u->n++] = *ev;
}

static bool somebody_hears(const struct dt_endpoint *ep)
{
    return ep->ops.event || ep->ops.trace;
}

static void about(struct dt_event *ev, const struct tunnel *t, dt_time now)
{
    ev->at = now;
    ev->tunnel_name = "";
    if (t) {
        ev->tunnel = t->id;
        ev->tunnel_name = t->name;
        ev->client = t->is_client;
    }
}

void ep_event(struct dt_endpoint *ep, struct tunnel *t, dt_time now, enum dt_event_kind kind, const char *fmt,
              ...)
{
    if (!somebody_hears(ep))
        return;
    struct dt_event ev = {.kind = kind, .name = name_of(kind)};
    about(&ev, t, now);
    if (!ep->ops.terse) {
        va_list ap;
        va_start(ap, fmt);
        dt_utf8_vprintf(ev.text, sizeof(ev.text), fmt, ap);
        va_end(ap);
    }
    event_note(ep, &ev);
}

void ep_turned_away(struct dt_endpoint *ep, struct tunnel *t, dt_time now, const struct dt_addrport *remote,
                    const char *why)
{
    if (!somebody_hears(ep))
        return;
    struct dt_event ev = {.kind = DT_EVENT_TURNED_AWAY, .name = name_of(DT_EVENT_TURNED_AWAY)};
    char at[DT_ADDRPORT_STRLEN];
    about(&ev, t, now);
    ev.remote = *remote;
    ev.reason = (uint16_t)snprintf(ev.text, sizeof(ev.text), "%s, refused: ", dt_addrport_str(at, remote));
    dt_utf8_printf(ev.text + ev.reason, sizeof(ev.text) - ev.reason, "%s", why);
    event_note(ep, &ev);
}

void ep_ike_event(struct dt_endpoint *ep, struct tunnel *t, dt_time now, enum dt_ike_event what,
                  const struct dt_addrport *remote, const char *text)
{
    if (!somebody_hears(ep))
        return;
    struct dt_event ev = {.kind = DT_EVENT_IKE, .name = name_of(DT_EVENT_IKE), .ike = what};
    char at[DT_ADDRPORT_STRLEN];
    about(&ev, t, now);
    if (!ep->ops.terse)
        dt_utf8_printf(ev.text, sizeof(ev.text), "%s, %s: %s", remote ? dt_addrport_str(at, remote) : "",
                       dt_ike_event_str(what), text);
    event_note(ep, &ev);
}

/* Of what a client tried in vain: where, and why it came to nothing. */
static void explain(struct dt_event *ev, const struct tunnel *t)
{
    if (!t->is_client || (ev->kind != DT_EPOCH_TIMEOUT && ev->kind != DT_EPOCH_REFUSED))
        return;
    ev->remote = t->path.remote;
    size_t len = strlen(ev->text);
    if (t->why[0])
        dt_utf8_printf(ev->text + len, sizeof(ev->text) - len, ": %s", t->why);
}

void ep_epoch_event(struct tunnel *t, dt_time now, const struct dt_epoch_event *e)
{
    struct dt_endpoint *ep = t->ep;
    if (!somebody_hears(ep))
        return;
    struct dt_event ev = {.kind = e->kind,
                          .name = dt_epoch_event_name(e->kind),
                          .epoch = e->epoch,
                          .other = e->other,
                          .n = e->n,
                          .took = e->took};
    about(&ev, t, now);
    const struct sa *sa = ep_sa_of_epoch(t, e->epoch);
    if (sa) {
        ev.spi_in = sa->spi_in;
        ev.spi_out = sa->spi_out;
    }
    if (!ep->ops.terse)
        dt_epoch_event_text(ev.text, sizeof(ev.text), e, t->is_client);
    if (!ep->ops.terse)
        explain(&ev, t);
    event_note(ep, &ev);
}

void ep_why(struct tunnel *t, const struct dt_err *err)
{
    if (err && err->text[0])
        snprintf(t->why, sizeof(t->why), "%s", err->text);
}
