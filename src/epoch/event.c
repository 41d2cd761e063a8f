/* Names and sentences of the engines' events. */
#include "epoch/epoch.h"

#include <stdio.h>

static const char *const names[] = {
    [DT_EPOCH_NEGOTIATED] = "negotiated",
    [DT_EPOCH_VERIFIED] = "verified",
    [DT_EPOCH_SWITCHED] = "switched",
    [DT_EPOCH_UNVERIFIED_USE] = "unverified_use",
    [DT_EPOCH_HOLD] = "hold",
    [DT_EPOCH_PROBE_ELSEWHERE] = "probe_elsewhere",
    [DT_EPOCH_UNANSWERED] = "unanswered",
    [DT_EPOCH_IDLE] = "idle",
    [DT_EPOCH_IDLE_OVER] = "idle_over",
    [DT_EPOCH_IDLE_DEAD] = "idle_dead",
    [DT_EPOCH_REKEY] = "rekey",
    [DT_EPOCH_NEGOTIATING] = "negotiating",
    [DT_EPOCH_TIMEOUT] = "timeout",
    [DT_EPOCH_REFUSED] = "refused",
    [DT_EPOCH_SESSION_OPENING] = "session_opening",
    [DT_EPOCH_SESSION_DROPPED] = "session_dropped",
    [DT_EPOCH_SESSION_LOST] = "session_lost",
    [DT_EPOCH_PEER_DELETED] = "peer_deleted",
    [DT_EPOCH_DELETED] = "deleted",
    [DT_EPOCH_EXPIRED] = "expired",
    [DT_EPOCH_PING_REPLY] = "ping_reply",
    [DT_EPOCH_REKEY_DECLINED] = "rekey_declined",
};

const char *dt_epoch_event_name(enum dt_epoch_event_kind kind)
{
    return (size_t)kind < sizeof(names) / sizeof(names[0]) && names[kind] ? names[kind] : "?";
}

static void about_epoch(char *out, size_t cap, const struct dt_epoch_event *ev, bool client)
{
    unsigned e = ev->epoch, o = ev->other, n = ev->n;
    double s = dt_time_seconds(ev->took);
    switch (ev->kind) {
    case DT_EPOCH_NEGOTIATED:
        snprintf(out, cap, "epoch %u is negotiated and not yet %s", e, client ? "verified" : "heard");
        break;
    case DT_EPOCH_VERIFIED:
        if (client)
            snprintf(out, cap, "epoch %u is verified after %.3f s and %u probe%s", e, s, n,
                     n == 1 ? "" : "s");
        else
            snprintf(out, cap, "the client was heard on epoch %u, %.3f s after its negotiation", e, s);
        break;
    case DT_EPOCH_SWITCHED:
        if (o)
            snprintf(out, cap, "data goes out on epoch %u instead of %u", e, o);
        else
            snprintf(out, cap, "data goes out on epoch %u", e);
        break;
    case DT_EPOCH_UNVERIFIED_USE:
        snprintf(out, cap, "data goes out on epoch %u, which is not %s: epoch %u is at its end", e,
                 client ? "verified" : "heard", o);
        break;
    case DT_EPOCH_HOLD:
        if (o)
            snprintf(out, cap, "data waits: epoch %u carries it no more, and no other is %s", o,
                     client ? "verified" : "heard");
        else
            snprintf(out, cap, "data waits until an epoch is %s", client ? "verified" : "heard");
        break;
    case DT_EPOCH_PROBE_ELSEWHERE:
        snprintf(out, cap, "the peer answered the probe of epoch %u on epoch %u: deleting the old one", e, o);
        break;
    case DT_EPOCH_UNANSWERED:
        snprintf(out, cap, "%u probe%s of epoch %u unanswered: a new one is needed", n, n == 1 ? "" : "s", e);
        break;
    case DT_EPOCH_IDLE:
        snprintf(out, cap, "nothing came in on epoch %u for %.3f s: pinging", e, s);
        break;
    case DT_EPOCH_IDLE_OVER:
        snprintf(out, cap, "epoch %u is heard again, after %.3f s and %u ping%s", e, s, n, n == 1 ? "" : "s");
        break;
    case DT_EPOCH_IDLE_DEAD:
        snprintf(out, cap, "%u ping%s on epoch %u unanswered, nothing heard for %.3f s: a new one is needed",
                 n, n == 1 ? "" : "s", e, s);
        break;
    case DT_EPOCH_REKEY:
        snprintf(out, cap, o ? "epoch %u is to be replaced, as asked" : "it is time to replace epoch %u", e);
        break;
    case DT_EPOCH_PEER_DELETED:
        snprintf(out, cap, "the peer deleted epoch %u", e);
        break;
    case DT_EPOCH_DELETED:
        snprintf(out, cap, "epoch %u is deleted", e);
        break;
    case DT_EPOCH_EXPIRED:
        snprintf(out, cap, "epoch %u came to the end of its keylife", e);
        break;
    case DT_EPOCH_PING_REPLY:
        snprintf(out, cap, "the peer answered on epoch %u after %.3f ms", o, s * 1e3);
        break;
    default:
        snprintf(out, cap, "%s", dt_epoch_event_name(ev->kind));
        break;
    }
}

char *dt_epoch_event_text(char *out, size_t cap, const struct dt_epoch_event *ev, bool client)
{
    unsigned n = ev->n;
    switch (ev->kind) {
    case DT_EPOCH_NEGOTIATING:
        if (n > 1)
            snprintf(out, cap, "negotiating a new epoch, for the %u. time", n);
        else
            snprintf(out, cap, "negotiating a new epoch");
        break;
    case DT_EPOCH_TIMEOUT:
        snprintf(out, cap, "the negotiation is given up (%u in a row)", n);
        break;
    case DT_EPOCH_REFUSED:
        snprintf(out, cap, "the negotiation was refused (%u in a row)", n);
        break;
    case DT_EPOCH_SESSION_OPENING:
        if (n > 1)
            snprintf(out, cap, "opening a session, attempt %u", n);
        else
            snprintf(out, cap, "opening a session");
        break;
    case DT_EPOCH_SESSION_DROPPED:
        if (n > 0)
            snprintf(out, cap, "the session is dropped, another is opened (%u failure%s in a row)", n,
                     n == 1 ? "" : "s");
        else
            snprintf(out, cap, "the session is dropped, another is opened");
        break;
    case DT_EPOCH_SESSION_LOST:
        snprintf(out, cap, "the session with the peer is lost");
        break;
    case DT_EPOCH_REKEY_DECLINED:
        snprintf(out, cap, "the server began a rekey: declined, that is the client's task");
        break;
    default:
        about_epoch(out, cap, ev, client);
        break;
    }
    return out;
}
