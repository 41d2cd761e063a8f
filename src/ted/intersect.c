#include "ted/intersect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_PAIRS 4096

static void trace_say(struct dt_ted_trace *t, const char *figure, const char *branch, const char *field,
                      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void trace_say(struct dt_ted_trace *t, const char *figure, const char *branch, const char *field,
                      const char *fmt, ...)
{
    if (!t || t->count == DT_TED_STEPS)
        return;
    struct dt_ted_step *s = &t->step[t->count++];
    va_list ap;
    *s = (struct dt_ted_step){.figure = figure, .branch = branch, .field = field};
    va_start(ap, fmt);
    vsnprintf(s->values, sizeof s->values, fmt, ap);
    va_end(ap);
}

/* Adds a value to the newest step. */
static void with(struct dt_ted_trace *t, const char *name, const char *text)
{
    struct dt_ted_step *s = t && t->count ? &t->step[t->count - 1] : NULL;
    if (!s || s->count == DT_TED_STEP_VALUES)
        return;
    s->value[s->count].name = name;
    snprintf(s->value[s->count++].text, DT_ADDR_STRLEN, "%s", text);
}

static void with_addr(struct dt_ted_trace *t, const char *name, const struct dt_addr *a)
{
    char text[DT_ADDR_STRLEN];
    with(t, name, dt_addr_str(text, a));
}

static void with_port(struct dt_ted_trace *t, const char *name, uint16_t port)
{
    char text[8];
    snprintf(text, sizeof text, "%u", port);
    with(t, name, port ? text : "any");
}

/* FIG. 3A. */
static bool protocols_meet(struct dt_ted_proxy *out, const struct dt_ted_proxy *a,
                           const struct dt_ted_proxy *b, struct dt_ted_trace *t)
{
    char x[8], y[8];
    const char *an = dt_ted_protocol_name(a->protocol, x), *bn = dt_ted_protocol_name(b->protocol, y);
    if (!a->protocol && !b->protocol) {
        out->protocol = DT_TED_PROTO_IP;
        trace_say(t, "3A", "302 yes, 304", "protocol", "both say ip: ip");
        return true;
    }
    if (!a->protocol || !b->protocol) {
        out->protocol = a->protocol ? a->protocol : b->protocol;
        trace_say(t, "3A", "306 yes, 312", "protocol", "initiator %s, responder %s: %s", an, bn,
                  a->protocol ? an : bn);
        return true;
    }
    if (a->protocol == b->protocol) {
        out->protocol = a->protocol;
        trace_say(t, "3A", "308, 310 yes, 312", "protocol", "both say %s: %s", an, an);
        return true;
    }
    trace_say(t, "3A", "308, 310 no, 314", "protocol",
              "initiator %s, responder %s: they conflict, no intersection", an, bn);
    return false;
}

static bool protocols(struct dt_ted_proxy *out, const struct dt_ted_proxy *a, const struct dt_ted_proxy *b,
                      struct dt_ted_trace *t)
{
    char text[8];
    bool met = protocols_meet(out, a, b, t);
    with(t, "initiator", dt_ted_protocol_name(a->protocol, text));
    with(t, "responder", dt_ted_protocol_name(b->protocol, text));
    if (met)
        with(t, "result", dt_ted_protocol_name(out->protocol, text));
    return met;
}

/* FIG. 3B: A with mask B against C with mask D. */
static bool intersect_addresses(struct dt_addr *addr, struct dt_addr *mask, const struct dt_addr *a,
                                const struct dt_addr *b, const struct dt_addr *c, const struct dt_addr *d,
                                const char *field, struct dt_ted_trace *t)
{
    char ab[100], cd[100], r[100];
    struct dt_addr abd = {.ver = a->ver}, cbd = {.ver = a->ver};
    *addr = *mask = (struct dt_addr){.ver = a->ver};
    for (int i = 0; i < 16; i++) {
        abd.b[i] = a->b[i] & b->b[i] & d->b[i];
        cbd.b[i] = c->b[i] & b->b[i] & d->b[i];
        addr->b[i] = (a->b[i] & b->b[i]) | (c->b[i] & d->b[i]);
        mask->b[i] = b->b[i] | d->b[i];
    }
    bool same = dt_addr_eq(&abd, &cbd);
    dt_ted_half_str(ab, a, b);
    dt_ted_half_str(cd, c, d);
    if (same)
        trace_say(t, "3B", "320 yes, 324", field,
                  "initiator %s, responder %s: (A&B)|(C&D) with mask B|D is %s", ab, cd,
                  dt_ted_half_str(r, addr, mask));
    else
        trace_say(t, "3B", "320 no, 322", field,
                  "initiator %s, responder %s: A&B&D differs from C&B&D, no intersection", ab, cd);
    with_addr(t, "A", a);
    with_addr(t, "B", b);
    with_addr(t, "C", c);
    with_addr(t, "D", d);
    with_addr(t, "A&B&D", &abd);
    with_addr(t, "C&B&D", &cbd);
    if (same) {
        with_addr(t, "address", addr);
        with_addr(t, "mask", mask);
    }
    return same;
}

/* FIG. 3C. */
static bool ports_meet(uint16_t *out, uint16_t a, uint16_t b, const char *field, struct dt_ted_trace *t)
{
    if (a && b && a != b) {
        trace_say(t, "3C", "330 yes, 334 no, 338", field,
                  "initiator %u, responder %u: they conflict, no intersection", a, b);
        return false;
    }
    *out = a ? a : b;
    if (a && b)
        trace_say(t, "3C", "330 yes, 334 yes, 336", field, "both say %u: %u", a, a);
    else if (a || b)
        trace_say(t, "3C", "330 no, 332 yes, 336", field, "only the %s says %u: %u",
                  a ? "initiator" : "responder", *out, *out);
    else
        trace_say(t, "3C", "330 no, 332 no, 333", field, "neither names a port: any");
    return true;
}

static bool ports(uint16_t *out, uint16_t a, uint16_t b, const char *field, struct dt_ted_trace *t)
{
    bool met = ports_meet(out, a, b, field, t);
    with_port(t, "initiator", a);
    with_port(t, "responder", b);
    if (met)
        with_port(t, "result", *out);
    return met;
}

/* One side names a port and no protocol, the other a protocol that has no ports: no packet is both, so that this is a
 * conflict as in FIG. 3A and 3C, which each look at one field alone. */
static bool port_fits_protocol(const struct dt_ted_proxy *p, struct dt_ted_trace *t)
{
    char text[8];
    if ((!p->sport && !p->dport) || !p->protocol || dt_ted_has_ports(p->protocol))
        return true;
    trace_say(t, "3C", "338", "port", "a port is named and %s has none: they conflict, no intersection",
              dt_ted_protocol_name(p->protocol, text));
    with(t, "protocol", dt_ted_protocol_name(p->protocol, text));
    with_port(t, "source port", p->sport);
    with_port(t, "destination port", p->dport);
    return false;
}

bool dt_ted_intersect(struct dt_ted_proxy *out, const struct dt_ted_proxy *a, const struct dt_ted_proxy *b,
                      struct dt_ted_trace *t)
{
    struct dt_ted_proxy r = {.ver = a->ver};
    if (t)
        t->count = t->a = t->b = 0;
    if (!protocols(&r, a, b, t))
        return false;
    if (a->ver != b->ver) {
        trace_say(t, "3B", "320 no, 322", "source",
                  "initiator IPv%u, responder IPv%u: no address is of both versions, no intersection", a->ver,
                  b->ver);
        with(t, "initiator", a->ver == 4 ? "IPv4" : "IPv6");
        with(t, "responder", b->ver == 4 ? "IPv4" : "IPv6");
        return false;
    }
    if (!intersect_addresses(&r.src, &r.src_mask, &a->src, &a->src_mask, &b->src, &b->src_mask, "source",
                             t) ||
        !intersect_addresses(&r.dst, &r.dst_mask, &a->dst, &a->dst_mask, &b->dst, &b->dst_mask, "destination",
                             t))
        return false;
    if (!ports(&r.sport, a->sport, b->sport, "source port", t) ||
        !ports(&r.dport, a->dport, b->dport, "destination port", t) || !port_fits_protocol(&r, t))
        return false;
    *out = r;
    return true;
}

/* How many packets a proxy holds, as the number of free bits. */
static int proxy_width(const struct dt_ted_proxy *p)
{
    int free_bits = (p->protocol ? 0 : 8) + (p->sport ? 0 : 16) + (p->dport ? 0 : 16);
    for (size_t i = 0; i < dt_addr_size(&p->src); i++)
        free_bits += 16 - __builtin_popcount(p->src_mask.b[i]) - __builtin_popcount(p->dst_mask.b[i]);
    return free_bits;
}

bool dt_ted_intersect_lists(struct dt_ted_proxy *out, const struct dt_ted_proxy *a, size_t na,
                            const struct dt_ted_proxy *b, size_t nb, const struct dt_ted_packet *packet,
                            struct dt_ted_trace *trace)
{
    int best = -1;
    size_t tried = 0;
    struct dt_ted_trace t;
    bool ours = false; /* an initiator's proxy holds the packet: the others have no say */
    if (trace)
        trace->count = trace->a = trace->b = 0;
    for (size_t i = 0; packet && i < na; i++)
        ours |= dt_ted_proxy_has(&a[i], packet);
    for (size_t i = 0; i < na; i++) {
        if (ours && !dt_ted_proxy_has(&a[i], packet))
            continue;
        for (size_t j = 0; j < nb && tried < MAX_PAIRS; j++, tried++) {
            struct dt_ted_proxy r;
            bool met = dt_ted_intersect(&r, &a[i], &b[j], &t);
            bool holds = met && (!packet || dt_ted_proxy_has(&r, packet));
            if (met && !holds)
                trace_say(&t, "2", "218 no", "packet", "the packet does not lie in the intersection");
            if (holds ? proxy_width(&r) > best : best < 0 && trace && t.count > trace->count) {
                t.a = i;
                t.b = j;
                if (trace)
                    *trace = t;
                if (holds) {
                    best = proxy_width(&r);
                    *out = r;
                }
            }
        }
    }
    return best >= 0;
}
