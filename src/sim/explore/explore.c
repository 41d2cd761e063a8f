/* The search. States are not kept: a state is the arena (arena.h) as it stands, and going back is copying what has
 * changed. Which states were seen is a table of digests that all processes share; each state is expanded by whoever
 * enters it first. Because every action uses up a count or a packet, no state comes after itself, and the order of the
 * search does not matter. Where the depth cuts, it would: a state that was met at the end of a long path hides what a
 * shorter one leads to. There the table has each state's depth, and a state that comes again on a shorter path is
 * expanded again; what is counted is the set of states and of the transitions out of them, which no order changes. */
#include "sim/explore/explore.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/explore/arena.h"
#include "sim/explore/audit.h"

#define TASKS_MAX  4096
#define COLLECT_AT 4 /* actions from the beginning to where tasks are shared out */
#define COPY_SLACK 65536
#define PATIENCE   400000 /* states to look through for a shorter way to a violation */

/* A state that comes again comes on a shorter path (or it is not entered), once perhaps too long to go on from. */
enum entry { NEARER, FRESH, FROM_THE_END };

/* Shared by all processes. */
struct shared {
    _Atomic uint64_t states, transitions, fair, next_task;
    _Atomic int stop;       /* a violation was found, or there is no more room */
    _Atomic int full, cut;  /* the table, the rest */
    _Atomic int64_t beyond; /* states at the depth's end from where it would go on */
    _Atomic int found;      /* 1 while somebody writes the trace, 2 when it is there */
    _Atomic uint64_t worst; /* nanoseconds */
    struct sim_trace trace;
    char what[200];
    uint64_t ntasks;
    struct sim_trace task[TASKS_MAX];
    enum entry entry[TASKS_MAX];
};

/* Digests; 0: free. */
struct seen {
    _Atomic uint64_t *v;
    uint64_t mask;
};

struct sim_explorer {
    const struct sim_explore_config *cfg;
    struct shared *sh;
    struct seen states; /* the low byte is the depth in a search by depth */
    struct seen fair;   /* worlds from which fair play was seen to lead to traffic */
    uint64_t room, total;
    struct sim_state *state;
    struct sim_trace path;
    unsigned limit;   /* longest path */
    bool by_depth;    /* a state that comes again on a shorter path is expanded again */
    bool shortest;    /* looking for the shortest way to a violation */
    enum entry entry; /* of the state that was entered last */
    bool collect;     /* write tasks instead of going deeper than COLLECT_AT */
    /* The arena at each depth, if `kept`. */
    char *copies[SIM_TRACE_MAX + 2];
    size_t copy_cap[SIM_TRACE_MAX + 2];
    bool kept[SIM_TRACE_MAX + 2];
    struct sim_audit *audit; /* NULL: none */
    uint64_t audited;
    char *audit_copy; /* the state at the end of the first way */
    size_t audit_cap;
    char audit_what[SIM_AUDIT_TEXT];
    struct sim_trace other;
    struct timespec began, told;
};

/* A copy of the state at that depth, once. */
static bool state_keep(struct sim_explorer *x, unsigned depth)
{
    if (x->kept[depth])
        return true;
    size_t size = sim_arena_copy_size();
    if (size > x->copy_cap[depth]) {
        char *p = realloc(x->copies[depth], size + COPY_SLACK);
        if (!p) {
            atomic_store(&x->sh->cut, 1);
            return false;
        }
        x->copies[depth] = p;
        x->copy_cap[depth] = size + COPY_SLACK;
    }
    sim_arena_save(x->copies[depth]);
    x->kept[depth] = true;
    return true;
}

/* ---- what was seen --------------------------------------------------------------------------- */

static int table_new(struct seen *t, uint64_t room)
{
    uint64_t slots = 1 << 16;
    while (slots < 2 * room)
        slots *= 2;
    t->mask = slots - 1;
    t->v = mmap(NULL, slots * sizeof *t->v, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if ((void *)t->v != MAP_FAILED)
        return 0;
    t->v = NULL;
    return -1;
}

static void table_free(struct seen *t)
{
    if (t->v)
        munmap((void *)t->v, (t->mask + 1) * sizeof *t->v);
}

/* Puts `value` where nothing or the same `bits` of it are, unless what is there has no more in the other bits. True: it
 * is there now, and *before is what was: 0 when it took a free place. */
static bool table_put(struct seen *t, uint64_t value, uint64_t bits, uint64_t *before)
{
    uint64_t key = value & bits;
    if (!key)
        key = 0x100, value |= key;
    uint64_t i = (key * 0x9e3779b97f4a7c15u >> 20) & t->mask;
    for (uint64_t probes = 0; probes <= t->mask; probes++, i = (i + 1) & t->mask) {
        uint64_t there = atomic_load_explicit(&t->v[i], memory_order_relaxed);
        while (!there || (there & bits) == key) {
            if (there && (there & ~bits) <= (value & ~bits))
                return false;
            *before = there;
            if (atomic_compare_exchange_strong(&t->v[i], &there, value))
                return true;
        }
    }
    return false;
}

/* True: not seen before (or, by depth, not on so short a path). */
static bool digest_enter(struct sim_explorer *x, uint64_t digest, unsigned depth)
{
    uint64_t low = x->by_depth ? 0xff : 0, before;
    if (!table_put(&x->states, (digest & ~low) | (depth & low), ~low, &before))
        return false;
    x->entry = !before ? FRESH : (before & low) >= x->limit ? FROM_THE_END : NEARER;
    if (!before && atomic_fetch_add(&x->sh->states, 1) + 1 >= x->room) {
        atomic_store(&x->sh->full, 1);
        atomic_store(&x->sh->stop, 1);
    }
    return true;
}

static void found(struct sim_explorer *x, const char *what)
{
    int none = 0;
    if (atomic_compare_exchange_strong(&x->sh->found, &none, 1)) {
        x->sh->trace = x->path;
        snprintf(x->sh->what, sizeof x->sh->what, "%s", what);
        atomic_store(&x->sh->found, 2);
    }
    atomic_store(&x->sh->stop, 1);
}

static void progress(struct sim_explorer *x)
{
    struct timespec now;
    if (!x->cfg->progress)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec < x->told.tv_sec + 1)
        return;
    x->told = now;
    uint64_t next = atomic_load(&x->sh->next_task), n = x->sh->ntasks;
    fprintf(stderr, "\r%-10s %9llu states, %3llu %% of the first steps followed, %lld s ",
            x->cfg->face ? x->cfg->face : "", (unsigned long long)(x->total + atomic_load(&x->sh->states)),
            (unsigned long long)(n ? (next < n ? next : n) * 100 / n : 0),
            (long long)(now.tv_sec - x->began.tv_sec));
}

/* ---- judging --------------------------------------------------------------------------------- */

/* Played fairly from here? A state with packets under way needs no look of its own: fair play begins with the arrival
 * of one of them, which is one of the states that come next. And what the counts still allow does not matter: two
 * states that differ in these alone are played once. */
static bool judge_fair(struct sim_explorer *x, uint64_t world)
{
    dt_time took = 0;
    uint64_t before;
    if (sim_state_pending(x->state) && !x->shortest && !x->cfg->fair_everywhere)
        return true;
    if (!table_put(&x->fair, world, UINT64_MAX, &before))
        return true;
    atomic_fetch_add_explicit(&x->sh->fair, 1, memory_order_relaxed);
    unsigned depth = (unsigned)x->path.n;
    if (!state_keep(x, depth))
        return false;
    sim_arena_on(true);
    const char *wrong = sim_state_unfair(x->state, &took);
    sim_arena_on(false);
    char what[200] = "";
    if (wrong)
        snprintf(what, sizeof what, "%s", wrong); /* it may lie in the arena */
    sim_arena_load(x->copies[depth]);
    uint64_t worst = atomic_load(&x->sh->worst);
    while (took > worst && !atomic_compare_exchange_weak(&x->sh->worst, &worst, took))
        ;
    if (wrong)
        found(x, what);
    return !wrong;
}

/* ---- the audit ------------------------------------------------------------------------------- */

/* The future of the copy. */
static void audit_follow(struct sim_explorer *x, const char *copy, uint64_t digest, unsigned walk,
                         struct sim_future *out)
{
    sim_arena_load(copy);
    sim_arena_on(true);
    sim_audit_follow(x->state, digest ^ x->cfg->seed, walk, out);
    sim_arena_on(false);
}

/* The state that stands in the arena was met before, on the way `first`: are they the same to all that comes? */
static void audit_pair(struct sim_explorer *x, uint64_t digest, const struct sim_trace *first)
{
    struct sim_future one, two;
    unsigned depth = (unsigned)x->path.n;
    if (!state_keep(x, depth))
        return;
    sim_arena_to_ground();
    sim_arena_on(true);
    for (int i = 0; i < first->n; i++)
        sim_state_apply(x->state, first->v[i]);
    sim_arena_on(false);
    size_t size = sim_arena_copy_size();
    if (size > x->audit_cap) {
        char *p = realloc(x->audit_copy, size + COPY_SLACK);
        if (!p) {
            atomic_store(&x->sh->cut, 1);
            sim_arena_load(x->copies[depth]);
            return;
        }
        x->audit_copy = p;
        x->audit_cap = size + COPY_SLACK;
    }
    sim_arena_save(x->audit_copy);
    bool same = true;
    for (unsigned walk = 0; same && walk < SIM_AUDIT_WALKS; walk++) {
        audit_follow(x, x->audit_copy, digest, walk, &one);
        audit_follow(x, x->copies[depth], digest, walk, &two);
        same = sim_audit_same(&one, &two, x->audit_what);
    }
    x->audited++;
    sim_arena_load(x->copies[depth]);
    if (same)
        return;
    x->sh->trace = *first;
    x->other = x->path;
    atomic_store(&x->sh->stop, 1);
}

/* ---- states ---------------------------------------------------------------------------------- */

/* Enters the state that stands in the arena, and judges it. True: go on from here. */
static bool state_arrive(struct sim_explorer *x)
{
    uint64_t world;
    uint64_t digest = sim_state_digest(x->state, &world);
    unsigned depth = (unsigned)x->path.n;
    x->kept[depth] = false;
    bool fresh = digest_enter(x, digest, depth);
    const struct sim_trace *first = x->audit ? sim_audit_met(x->audit, digest, fresh, &x->path) : NULL;
    if (first)
        audit_pair(x, digest, first);
    if (!fresh)
        return false;
    const char *wrong = sim_state_violation(x->state);
    if (wrong)
        found(x, wrong);
    return !wrong && judge_fair(x, world);
}

static bool write_task(struct sim_explorer *x, enum entry entry)
{
    if (x->sh->ntasks == TASKS_MAX)
        return false; /* then it is followed here */
    x->sh->entry[x->sh->ntasks] = entry;
    x->sh->task[x->sh->ntasks++] = x->path;
    return true;
}

static void state_expand(struct sim_explorer *x, enum entry entry)
{
    struct sim_action actions[SIM_ACTIONS_MAX];
    unsigned depth = (unsigned)x->path.n;
    int n = sim_state_actions(x->state, actions);
    if (!n || atomic_load_explicit(&x->sh->stop, memory_order_relaxed))
        return;
    if (depth >= x->limit) {
        if (entry == FRESH)
            atomic_fetch_add(&x->sh->beyond, 1);
        return;
    }
    if (x->collect && depth >= COLLECT_AT && write_task(x, entry))
        return;
    if (entry == FROM_THE_END)
        atomic_fetch_sub(&x->sh->beyond, 1);
    if (!state_keep(x, depth))
        return;
    for (int i = 0; i < n && !atomic_load_explicit(&x->sh->stop, memory_order_relaxed); i++) {
        if (i)
            sim_arena_load(x->copies[depth]);
        sim_arena_on(true);
        sim_state_apply(x->state, actions[i]);
        sim_arena_on(false);
        if (entry != NEARER)
            atomic_fetch_add_explicit(&x->sh->transitions, 1, memory_order_relaxed);
        if (sim_state_overflowed(x->state)) {
            atomic_store(&x->sh->cut, 1);
            continue;
        }
        x->path.v[x->path.n++] = actions[i];
        if (state_arrive(x))
            state_expand(x, x->entry);
        x->path.n--;
    }
    progress(x);
}

static void to_the_beginning(struct sim_explorer *x)
{
    sim_arena_to_ground();
    x->path.n = 0;
}

/* ---- processes ------------------------------------------------------------------------------- */

static void work(struct sim_explorer *x)
{
    for (;;) {
        uint64_t k = atomic_fetch_add(&x->sh->next_task, 1);
        if (k >= x->sh->ntasks || atomic_load(&x->sh->stop))
            return;
        to_the_beginning(x);
        sim_arena_on(true);
        for (int i = 0; i < x->sh->task[k].n; i++)
            sim_state_apply(x->state, x->sh->task[k].v[i]);
        sim_arena_on(false);
        x->path = x->sh->task[k];
        x->kept[x->path.n] = false;
        state_expand(x, x->sh->entry[k]);
    }
}

static int explore_in_processes(struct sim_explorer *x)
{
    pid_t pid[64];
    unsigned n = 0, jobs = x->cfg->jobs > 64 ? 64 : x->cfg->jobs;
    int bad = 0;
    fflush(NULL);
    for (; n < jobs; n++) {
        pid[n] = fork();
        if (pid[n] < 0)
            break;
        if (!pid[n]) {
            work(x);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        int status;
        if (waitpid(pid[i], &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
            bad = -1;
    }
    return n ? bad : -1;
}

/* ---- the shortest way to a violation --------------------------------------------------------- */

/* Deeper and deeper, until it is met: then no shorter path meets any. */
static uint64_t shorten(struct sim_explorer *x, unsigned most, uint64_t patience)
{
    struct sim_trace longest = x->sh->trace;
    char what[200];
    uint64_t used = 0;
    int known = atomic_load(&x->sh->found);
    memcpy(what, x->sh->what, sizeof what);
    x->by_depth = x->shortest = true;
    x->collect = false;
    for (unsigned limit = 1; limit < most && used < patience; limit++) {
        memset((void *)x->states.v, 0, (x->states.mask + 1) * sizeof *x->states.v);
        memset((void *)x->fair.v, 0, (x->fair.mask + 1) * sizeof *x->fair.v);
        atomic_store(&x->sh->states, 0);
        atomic_store(&x->sh->stop, 0);
        atomic_store(&x->sh->found, 0);
        atomic_store(&x->sh->full, 0);
        atomic_store(&x->sh->cut, 0);
        atomic_store(&x->sh->beyond, 0);
        x->limit = limit;
        x->room = patience - used;
        to_the_beginning(x);
        if (state_arrive(x))
            state_expand(x, x->entry);
        used += atomic_load(&x->sh->states);
        if (atomic_load(&x->sh->found))
            return used;
        if (!atomic_load(&x->sh->cut) && !atomic_load(&x->sh->beyond))
            break; /* there is nothing deeper */
        progress(x);
    }
    x->sh->trace = longest;
    memcpy(x->sh->what, what, sizeof what);
    atomic_store(&x->sh->found, known);
    return used;
}

/* Does that path lead to a violation of the same kind? */
static bool leads_there(struct sim_explorer *x, const struct sim_trace *t)
{
    const char *wrong = NULL;
    dt_time took;
    bool fits = true;
    to_the_beginning(x);
    sim_arena_on(true);
    for (int k = 0; k < t->n && fits && !wrong; k++) {
        fits = sim_state_apply(x->state, t->v[k]);
        wrong = sim_state_violation(x->state);
    }
    if (fits && !wrong)
        wrong = sim_state_unfair(x->state, &took);
    sim_arena_on(false);
    return fits && wrong && !strncmp(wrong, x->sh->what, 3);
}

/* What is not needed for the violation goes out, one action at a time. */
static void thin_out(struct sim_explorer *x)
{
    for (int i = x->sh->trace.n - 1; i >= 0; i--) {
        struct sim_trace t = x->sh->trace;
        memmove(&t.v[i], &t.v[i + 1], (size_t)(t.n - i - 1) * sizeof t.v[0]);
        t.n--;
        if (leads_there(x, &t))
            x->sh->trace = t;
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int search(struct sim_explorer *x)
{
    if (x->cfg->shallow_first) {
        uint64_t states = shorten(x, x->cfg->depth, x->room);
        atomic_store(&x->sh->states, states);
        return 0;
    }
    if (!state_arrive(x))
        return 0;
    x->collect = x->cfg->jobs > 1 && !x->cfg->audit; /* the audit keeps its ways in this process */
    state_expand(x, x->entry); /* the first levels here, so that there is work to share out */
    if (!x->collect)
        return 0;
    x->collect = false;
    return explore_in_processes(x);
}

static void conclude(struct sim_explorer *x, struct sim_explored *out, int bad)
{
    struct shared *sh = x->sh;
    out->states = atomic_load(&sh->states);
    out->violations = atomic_load(&sh->found) != 0;
    out->exhausted = !out->violations && !atomic_load(&sh->full) && !atomic_load(&sh->cut) &&
                     !atomic_load(&sh->beyond) && !bad;
    if (out->violations && !x->cfg->shallow_first) {
        /* How far the processes were is chance: what is told is the search for the shortest way. */
        atomic_store(&sh->transitions, 0);
        atomic_store(&sh->fair, 0);
        atomic_store(&sh->worst, 0);
        out->states = shorten(x, (unsigned)sh->trace.n + 1, PATIENCE);
    }
    out->transitions = atomic_load(&sh->transitions);
    out->fair = atomic_load(&sh->fair);
    out->worst_s = dt_time_seconds(atomic_load(&sh->worst));
    if (!out->violations)
        return;
    thin_out(x);
    out->trace = sh->trace;
    memcpy(out->what, sh->what, sizeof out->what);
}

struct sim_explorer *sim_explorer_new(uint64_t states_max, struct dt_err *err)
{
    struct sim_explorer *x = calloc(1, sizeof *x);
    if (!x) {
        dt_err_set(err, 0, "memory ran out");
        return NULL;
    }
    x->room = states_max;
    x->sh = mmap(NULL, sizeof *x->sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (x->sh == MAP_FAILED)
        x->sh = NULL;
    if (!x->sh || table_new(&x->states, states_max) || table_new(&x->fair, states_max / 2) ||
        sim_arena_open()) {
        dt_err_set(err, 0, "memory ran out for a table of %llu states", (unsigned long long)states_max);
        sim_explorer_free(x);
        return NULL;
    }
    clock_gettime(CLOCK_MONOTONIC, &x->began);
    x->told = x->began;
    return x;
}

void sim_explorer_free(struct sim_explorer *x)
{
    if (!x)
        return;
    for (int i = 0; i < SIM_TRACE_MAX + 2; i++)
        free(x->copies[i]);
    free(x->audit_copy);
    table_free(&x->states);
    table_free(&x->fair);
    if (x->sh)
        munmap(x->sh, sizeof *x->sh);
    sim_arena_close();
    free(x);
}

int sim_explorer_run(struct sim_explorer *x, const struct sim_explore_config *cfg, struct sim_explored *out,
                     struct dt_err *err)
{
    int bad = -1;
    uint64_t room = x->room;
    *out = (struct sim_explored){.bound_s = dt_time_seconds(sim_run_bound(cfg->pairing, &cfg->params, 0))};
    memset(x->sh, 0, sizeof *x->sh);
    x->cfg = cfg;
    x->limit = cfg->depth < SIM_TRACE_MAX ? cfg->depth : SIM_TRACE_MAX;
    x->by_depth = cfg->bounded;
    x->shortest = x->collect = false;
    x->path.n = 0;
    x->audited = 0;
    *x->audit_what = 0;
    x->audit = cfg->audit ? sim_audit_new(cfg->seed, cfg->audit) : NULL;
    sim_arena_clear();
    sim_arena_on(true);
    x->state = sim_state_new(cfg, err);
    sim_arena_on(false);
    if (x->state && sim_arena_ground())
        dt_err_set(err, 0, "memory ran out");
    else if (x->state && (bad = search(x)))
        dt_err_set(err, 0, "a process of the search came to a sudden end");
    if (x->state && !bad)
        conclude(x, out, bad);
    if (cfg->audit) {
        out->audited = x->audited;
        out->parted = *x->audit_what;
    }
    if (out->parted) {
        out->violations = 1;
        out->exhausted = false;
        snprintf(out->what, sizeof out->what, "(e) of two ways to one state: %.150s", x->audit_what);
        out->trace = x->sh->trace;
        out->other = x->other;
    }
    sim_audit_free(x->audit);
    x->audit = NULL;
    x->total += out->states;
    x->room = room > out->states ? room - out->states : 1;
    if (cfg->progress)
        fprintf(stderr, "\r%78s\r", "");
    return bad;
}

int sim_explore(const struct sim_explore_config *cfg, struct sim_explored *out, struct dt_err *err)
{
    struct sim_explorer *x = sim_explorer_new(cfg->states_max, err);
    int bad = x ? sim_explorer_run(x, cfg, out, err) : -1;
    sim_explorer_free(x);
    return bad;
}
