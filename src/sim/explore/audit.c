#include "sim/explore/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "sim/explore/inside.h"

_Static_assert(PARTS == 4, "a future has as many parts as a state");

/* ---- futures --------------------------------------------------------------------------------- */

/* What may happen in a walk: enough for dozens of steps, and nothing that makes all states alike. */
static const struct sim_budget walk_counts = {
    .lose = 2,
    .duplicate = 2,
    .late = 6,
    .tick = 8,
    .behind = 1,
    .untold = 1,
    .env = {[SIM_ENV_UP_A] = 2,
            [SIM_ENV_DOWN_A] = 2,
            [SIM_ENV_UP_B] = 2,
            [SIM_ENV_DOWN_B] = 2,
            [SIM_ENV_REKEY_A] = 1,
            [SIM_ENV_REKEY_B] = 1},
};

static void future_note(void *future, struct sim_state *s)
{
    struct sim_future *f = future;
    uint64_t world;
    sim_state_digest_anew(s);
    uint64_t digest = sim_state_digest(s, &world);
    if (f->n == SIM_AUDIT_POINTS)
        return;
    memcpy(f->part[f->n], s->part, sizeof f->part[0]);
    f->digest[f->n++] = digest;
}

void sim_audit_follow(struct sim_state *s, uint64_t seed, unsigned walk, struct sim_future *out)
{
    struct sim_action actions[SIM_ACTIONS_MAX];
    struct dt_prng rng;
    const char *wrong = NULL;
    memset(out, 0, sizeof *out);
    dt_prng_seed(&rng, seed ^ walk);
    s->canonical = true;
    s->left = walk_counts;
    future_note(out, s);
    for (int i = 0; walk && i < SIM_AUDIT_STEPS && !wrong; i++) {
        sim_state_sort(s);
        int n = sim_state_actions(s, actions);
        if (!n || sim_state_overflowed(s))
            break;
        sim_state_apply(s, actions[dt_prng_u64(&rng) % (uint64_t)n]);
        wrong = sim_state_violation(s);
        future_note(out, s);
    }
    s->step = future_note;
    s->step_ctx = out;
    if (!wrong)
        wrong = sim_state_unfair(s, &out->took);
    s->step = NULL;
    if (wrong)
        snprintf(out->verdict, sizeof out->verdict, "%s", wrong);
    future_note(out, s);
}

static const char *parted_at(const uint64_t a[4], const uint64_t b[4])
{
    static const char *const name[] = {"client A", "client B", "the server", "the NAT"};
    for (int i = 0; i < 4; i++)
        if (a[i] != b[i])
            return name[i];
    return "what is under way";
}

bool sim_audit_same(const struct sim_future *a, const struct sim_future *b, char what[SIM_AUDIT_TEXT])
{
    int n = a->n < b->n ? a->n : b->n;
    for (int i = 0; i < n; i++) {
        if (a->digest[i] == b->digest[i])
            continue;
        snprintf(what, SIM_AUDIT_TEXT, "the digests are equal, and differ %d steps later (%s)%s", i,
                 parted_at(a->part[i], b->part[i]), i > SIM_AUDIT_STEPS ? ", in fair play" : "");
        return false;
    }
    if (a->n != b->n)
        snprintf(what, SIM_AUDIT_TEXT, "%d steps are possible from one, and %d from the other", a->n, b->n);
    else if (strcmp(a->verdict, b->verdict) != 0)
        snprintf(what, SIM_AUDIT_TEXT, "one way leads to \"%.60s\", the other to \"%.60s\"", a->verdict,
                 b->verdict);
    else if (a->took != b->took)
        snprintf(what, SIM_AUDIT_TEXT, "traffic flows after %.3f s and after %.3f s",
                 dt_time_seconds(a->took), dt_time_seconds(b->took));
    else
        return true;
    return false;
}

/* ---- the sample ------------------------------------------------------------------------------ */

struct audit_entry {
    uint64_t digest; /* 0: free */
    unsigned again;
    struct sim_trace *first;
};

struct sim_audit {
    uint64_t seed;
    uint32_t one_in;
    unsigned kept;
    struct audit_entry entry[2 * SIM_AUDIT_KEPT];
};

struct sim_audit *sim_audit_new(uint64_t seed, uint32_t one_in)
{
    struct sim_audit *a = calloc(1, sizeof *a);
    if (a) {
        a->seed = seed;
        a->one_in = one_in ? one_in : 1;
    }
    return a;
}

void sim_audit_free(struct sim_audit *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < 2 * SIM_AUDIT_KEPT; i++)
        free(a->entry[i].first);
    free(a);
}

static struct audit_entry *audit_find(struct sim_audit *a, uint64_t digest)
{
    size_t i = digest * 0x9e3779b97f4a7c15u >> 40;
    for (;; i++) {
        struct audit_entry *e = &a->entry[i % (2 * SIM_AUDIT_KEPT)];
        if (!e->first || e->digest == digest)
            return e;
    }
}

const struct sim_trace *sim_audit_met(struct sim_audit *a, uint64_t digest, bool fresh,
                                      const struct sim_trace *t)
{
    uint64_t mixed = (digest ^ a->seed * 0xbf58476d1ce4e5b9u) * 0x94d049bb133111ebu;
    if ((mixed >> 32) % a->one_in)
        return NULL;
    struct audit_entry *e = audit_find(a, digest);
    if (fresh && !e->first && a->kept < SIM_AUDIT_KEPT && (e->first = malloc(sizeof *e->first))) {
        *e->first = *t;
        e->digest = digest;
        a->kept++;
        return NULL;
    }
    return !fresh && e->first && e->again++ < SIM_AUDIT_AGAIN ? e->first : NULL;
}
