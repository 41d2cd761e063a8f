/* The audit of digests. The search takes two states for one when their digests are equal. Of a sample of the states that
 * are met again, the first way there is kept; both ways are replayed, and from both the same futures are followed: walks
 * in which anything may happen, and fair play. Were a field missing in the digest that changes what comes, some digest or
 * verdict on the way would differ. */
#ifndef DT_SIM_EXPLORE_AUDIT_H
#define DT_SIM_EXPLORE_AUDIT_H

#include "sim/explore/explore.h"

#define SIM_AUDIT_KEPT   65536 /* states whose first way is kept */
#define SIM_AUDIT_WALKS  4     /* futures that are followed from each pair; the first is fair play at once */
#define SIM_AUDIT_STEPS  40    /* of a walk, before fair play */
#define SIM_AUDIT_AGAIN  4     /* ways to one state that are compared with the first */
#define SIM_AUDIT_POINTS 160   /* at which digests are compared: of a walk, and of fair play */

/* What was seen on the way into one future. */
struct sim_future {
    uint64_t digest[SIM_AUDIT_POINTS], part[SIM_AUDIT_POINTS][4]; /* parts: A, B, the server, the NAT */
    int n;
    char verdict[200]; /* of fair play at the end, and before it; "" when nothing is violated */
    dt_time took;      /* fair play, until all traffic flowed */
};

/* From a state as it stands; which future: `seed` and `walk`. Uses the state up. */
void sim_audit_follow(struct sim_state *s, uint64_t seed, unsigned walk, struct sim_future *out);
/* True when they are the same; else *what says where they part. */
bool sim_audit_same(const struct sim_future *a, const struct sim_future *b, char what[SIM_AUDIT_TEXT]);

/* The first way to each state of the sample. */
struct sim_audit;
struct sim_audit *sim_audit_new(uint64_t seed, uint32_t one_in); /* NULL: memory */
void sim_audit_free(struct sim_audit *a);
/* A state was met, for the first time or again. The first way there, if it is in the sample and comes again; `t` is
 * kept when it is the first. */
const struct sim_trace *sim_audit_met(struct sim_audit *a, uint64_t digest, bool fresh,
                                      const struct sim_trace *t);

#endif
