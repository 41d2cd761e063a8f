/* The intersection of two proxies (US 7,207,063, FIG. 3A protocol, 3B addresses and masks, 3C ports): exactly
 * the traffic that both peers allow. Every branch that was taken is written down, so that a person can read why. */
#ifndef DT_TED_INTERSECT_H
#define DT_TED_INTERSECT_H

#include <stdbool.h>
#include <stddef.h>

#include "ted/proxy.h"

#define DT_TED_STEPS       8
#define DT_TED_STEP_TEXT   320
#define DT_TED_STEP_VALUES 8

/* FIG. 3A and 3C: "initiator", "responder", "result". FIG. 3B: the document's own letters "A", "B", "C", "D", "A&B&D",
 * "C&B&D", and where they agree "address" and "mask". A result that is missing is the document's empty value. */
struct dt_ted_value {
    const char *name;
    char text[DT_ADDR_STRLEN];
};

struct dt_ted_step {
    const char *figure; /* "3A", "3B" or "3C"; "2" for FIG. 2's 218 */
    const char *branch; /* the document's boxes, e.g. "302 yes, 304" */
    const char *field;  /* "protocol", "source", "destination", "source port", "destination port", "packet" */
    char values[DT_TED_STEP_TEXT]; /* both sides' values and what came of them, as a sentence */
    size_t count;
    struct dt_ted_value value[DT_TED_STEP_VALUES];
};

struct dt_ted_trace {
    struct dt_ted_step step[DT_TED_STEPS];
    size_t count;
    size_t a, b; /* dt_ted_intersect_lists: the places of the pair that it tells of */
};

/* True and *out when the two share traffic. Both are in the initiator's view (ted/proxy.h). Where protocol, port,
 * address or version conflict (the document's "empty value") there is no intersection, and the last step says why.
 * trace may be NULL. */
bool dt_ted_intersect(struct dt_ted_proxy *out, const struct dt_ted_proxy *initiator,
                      const struct dt_ted_proxy *responder, struct dt_ted_trace *trace);

/* Several proxies a side: of all pairs that intersect, the widest whose intersection holds `packet` (any packet when
 * NULL); ties go to the first in the order given. False when none does; trace then tells of the pair that came
 * furthest (of those whose initiator's proxy holds the packet, if any does). na * nb pairs are tried, at most 4096. */
bool dt_ted_intersect_lists(struct dt_ted_proxy *out, const struct dt_ted_proxy *a, size_t na,
                            const struct dt_ted_proxy *b, size_t nb, const struct dt_ted_packet *packet,
                            struct dt_ted_trace *trace);

#endif
