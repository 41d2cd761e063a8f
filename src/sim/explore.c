/* The search. States are not kept: a state is the arena (arena.h) as it stands, and going back is copying it. Which
 * states were seen is a table of digests that all processes share; each state is expanded by whoever enters it first.
 * Because every action uses up a count, no state comes after itself, and the order of the search does not matter. */
#include "sim/explore.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/arena.h"

#define TASKS_MAX  4096
#define TASKS_WANT 256
#define COPY_SLACK 65536

/* Shared by all processes. */
struct shared {
    _Atomic uint64_t states, transitions, next_task;
    _Atomic int stop;       /* a violation was found, or there is no more room */
    _Atomic int full, cut;  /* the table, the depth */
    _Atomic int found;      /* 1 while somebody writes the trace, 2 when it is there */
    _Atomic uint64_t worst; /* nanoseconds */
    struct sim_trace trace;
    char what[200];
    uint64_t ntasks;
    struct sim_trace task[TASKS_MAX];
};

struct search {
    const struct sim_explore_config *cfg;
    struct shared *sh;
    _Atomic uint64_t *seen; /* digests; 0: free. The low byte is the depth in a search by depth */
    uint64_t mask, room;
    struct sim_state *state;
    struct sim_trace path;
    unsigned limit; /* longest path */
    bool by_depth;  /* a state that comes again on a shorter path is expanded again */
    bool collect;   /* write tasks instead of going deeper than `collect_at` */
    unsigned collect_at;
    char *copies[SIM_TRACE_MAX + 2]; /* the arena at each depth */
    size_t copy_cap[SIM_TRACE_MAX + 2], copy_len[SIM_TRACE_MAX + 2];
    char *fair;
    size_t fair_cap;
    time_t told;
};

static bool save(char **copy, size_t *cap, size_t *len)
{
    size_t used = sim_arena_used();
    if (used > *cap) {
        size_t want = used + COPY_SLACK;
        char *p = realloc(*copy, want);
        if (!p)
            return false;
        *copy = p;
        *cap = want;
    }
    *len = used;
    sim_arena_save(*copy);
    return true;
}

/* True: not seen before (or, by depth, not on so short a path). */
static bool enter(struct search *s, uint64_t digest, unsigned depth)
{
    uint64_t key = s->by_depth ? digest & ~(uint64_t)0xff : digest;
    uint64_t value = s->by_depth ? key | depth : key;
    if (!key)
        key = value = 0x100;
    for (uint64_t i = digest * 0x9e3779b97f4a7c15u >> 20 & s->mask, probes = 0;; i = (i + 1) & s->mask) {
        uint64_t there = atomic_load_explicit(&s->seen[i], memory_order_relaxed);
        if (!there) {
            if (atomic_compare_exchange_strong(&s->seen[i], &there, value)) {
                if (atomic_fetch_add(&s->sh->states, 1) + 1 >= s->room) {
                    atomic_store(&s->sh->full, 1);
                    atomic_store(&s->sh->stop, 1);
                }
                return true;
            }
        }
        if (s->by_depth ? (there & ~(uint64_t)0xff) == (key & ~(uint64_t)0xff) : there == key) {
            if (!s->by_depth || (there & 0xff) <= depth)
                return false;
            atomic_store(&s->seen[i], value);
            return true;
        }
        if (++probes > s->mask)
            return false;
    }
}

static void found(struct search *s, const char *what)
{
    int none = 0;
    if (atomic_compare_exchange_strong(&s->sh->found, &none, 1)) {
        s->sh->trace = s->path;
        snprintf(s->sh->what, sizeof s->sh->what, "%s", what);
        atomic_store(&s->sh->found, 2);
    }
    atomic_store(&s->sh->stop, 1);
}

static void progress(struct search *s)
{
    time_t now = time(NULL);
    if (!s->cfg->progress || now - s->told < 2)
        return;
    s->told = now;
    fprintf(stderr, "\r%llu states, task %llu of %llu ", (unsigned long long)atomic_load(&s->sh->states),
            (unsigned long long)atomic_load(&s->sh->next_task), (unsigned long long)s->sh->ntasks);
}

/* Judges the state that has just been entered, and leaves it as it is. */
static bool judge(struct search *s)
{
    size_t len;
    dt_time took = 0;
    sim_arena_on(true);
    const char *wrong = sim_state_violation(s->state);
    sim_arena_on(false);
    if (!wrong) {
        if (!save(&s->fair, &s->fair_cap, &len))
            return false;
        sim_arena_on(true);
        wrong = sim_state_unfair(s->state, &took);
        sim_arena_on(false);
        char what[200] = "";
        if (wrong)
            snprintf(what, sizeof what, "%s", wrong); /* it may lie in the arena */
        sim_arena_load(s->fair, len);
        uint64_t worst = atomic_load(&s->sh->worst);
        while (took > worst && !atomic_compare_exchange_weak(&s->sh->worst, &worst, took))
            ;
        if (wrong)
            found(s, what);
        return !wrong;
    }
    found(s, wrong);
    return false;
}

static void write_task(struct search *s)
{
    if (s->sh->ntasks < TASKS_MAX)
        s->sh->task[s->sh->ntasks++] = s->path;
    else
        atomic_store(&s->sh->cut, 1);
}

static void expand(struct search *s)
{
    struct sim_action actions[SIM_ACTIONS_MAX];
    unsigned depth = (unsigned)s->path.n;
    int n = sim_state_actions(s->state, actions);
    if (!n || atomic_load_explicit(&s->sh->stop, memory_order_relaxed))
        return;
    if (depth >= s->limit) {
        atomic_store(&s->sh->cut, 1);
        return;
    }
    if (s->collect && depth >= s->collect_at) {
        write_task(s);
        return;
    }
    if (!save(&s->copies[depth], &s->copy_cap[depth], &s->copy_len[depth])) {
        atomic_store(&s->sh->cut, 1);
        return;
    }
    for (int i = 0; i < n && !atomic_load_explicit(&s->sh->stop, memory_order_relaxed); i++) {
        if (i)
            sim_arena_load(s->copies[depth], s->copy_len[depth]);
        sim_arena_on(true);
        sim_state_apply(s->state, actions[i]);
        sim_arena_on(false);
        atomic_fetch_add_explicit(&s->sh->transitions, 1, memory_order_relaxed);
        if (sim_state_overflowed(s->state)) {
            atomic_store(&s->sh->cut, 1);
            continue;
        }
        s->path.v[s->path.n++] = actions[i];
        if (enter(s, sim_state_digest(s->state), depth + 1) && judge(s))
            expand(s);
        s->path.n--;
    }
    progress(s);
}

/* ---- processes ------------------------------------------------------------------------------- */

static void free_copies(struct search *s)
{
    for (int i = 0; i < SIM_TRACE_MAX + 2; i++) {
        free(s->copies[i]);
        s->copies[i] = NULL;
        s->copy_cap[i] = 0;
    }
    free(s->fair);
    s->fair = NULL;
    s->fair_cap = 0;
}

static void work(struct search *s, const char *root, size_t root_len)
{
    for (;;) {
        uint64_t k = atomic_fetch_add(&s->sh->next_task, 1);
        if (k >= s->sh->ntasks || atomic_load(&s->sh->stop))
            return;
        sim_arena_load(root, root_len);
        sim_arena_on(true);
        for (int i = 0; i < s->sh->task[k].n; i++)
            sim_state_apply(s->state, s->sh->task[k].v[i]);
        sim_arena_on(false);
        s->path = s->sh->task[k];
        expand(s);
    }
}

static int in_processes(struct search *s, const char *root, size_t root_len)
{
    pid_t pid[64];
    unsigned n = 0, jobs = s->cfg->jobs > 64 ? 64 : s->cfg->jobs;
    int bad = 0;
    if (jobs < 2) {
        work(s, root, root_len);
        return 0;
    }
    fflush(NULL);
    for (; n < jobs; n++) {
        pid[n] = fork();
        if (pid[n] < 0)
            break;
        if (!pid[n]) {
            work(s, root, root_len);
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
static uint64_t shorten(struct search *s, const char *root, size_t root_len, unsigned most, uint64_t patience)
{
    struct sim_trace longest = s->sh->trace;
    char what[200];
    uint64_t used = 0;
    int known = atomic_load(&s->sh->found);
    memcpy(what, s->sh->what, sizeof what);
    s->by_depth = true;
    s->collect = false;
    for (unsigned limit = 1; limit < most && used < patience; limit++) {
        memset((void *)s->seen, 0, (s->mask + 1) * sizeof *s->seen);
        atomic_store(&s->sh->states, 0);
        atomic_store(&s->sh->stop, 0);
        atomic_store(&s->sh->found, 0);
        atomic_store(&s->sh->full, 0);
        atomic_store(&s->sh->cut, 0);
        s->limit = limit;
        s->room = patience - used;
        sim_arena_load(root, root_len);
        s->path.n = 0;
        enter(s, sim_state_digest(s->state), 0);
        expand(s);
        used += atomic_load(&s->sh->states);
        if (atomic_load(&s->sh->found))
            return used;
        if (!atomic_load(&s->sh->cut))
            break; /* there is nothing deeper */
        progress(s);
    }
    s->sh->trace = longest;
    memcpy(s->sh->what, what, sizeof what);
    atomic_store(&s->sh->found, known);
    return used;
}

/* What is not needed for the violation goes out, one action at a time. */
static void thin_out(struct search *s, const char *root, size_t root_len)
{
    for (int i = s->sh->trace.n - 1; i >= 0; i--) {
        struct sim_trace t = s->sh->trace;
        memmove(&t.v[i], &t.v[i + 1], (size_t)(t.n - i - 1) * sizeof t.v[0]);
        t.n--;
        sim_arena_load(root, root_len);
        sim_arena_on(true);
        bool fits = true;
        const char *wrong = NULL;
        dt_time took;
        for (int k = 0; k < t.n && fits && !wrong; k++) {
            fits = sim_state_apply(s->state, t.v[k]);
            wrong = sim_state_violation(s->state);
        }
        if (fits && !wrong)
            wrong = sim_state_unfair(s->state, &took);
        sim_arena_on(false);
        if (fits && wrong && !strncmp(wrong, s->sh->what, 3))
            s->sh->trace = t;
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int prepare(struct search *s, struct dt_err *err)
{
    uint64_t slots = 1 << 16;
    while (slots < 2 * s->cfg->states_max)
        slots *= 2;
    s->mask = slots - 1;
    s->room = s->cfg->states_max;
    s->sh = mmap(NULL, sizeof *s->sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s->seen = mmap(NULL, slots * sizeof *s->seen, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->sh == MAP_FAILED || (void *)s->seen == MAP_FAILED || sim_arena_open())
        return dt_err_set(err, 0, "memory ran out for a table of %llu states",
                          (unsigned long long)s->cfg->states_max);
    return 0;
}

static void put_away(struct search *s)
{
    free_copies(s);
    if ((void *)s->seen != MAP_FAILED)
        munmap((void *)s->seen, (s->mask + 1) * sizeof *s->seen);
    if (s->sh != MAP_FAILED)
        munmap(s->sh, sizeof *s->sh);
    sim_arena_close();
}

static void search(struct search *s, const char *root, size_t root_len, struct sim_explored *out,
                   struct dt_err *err, int *bad)
{
    if (s->cfg->shallow_first) {
        if (judge(s))
            out->states = shorten(s, root, root_len, s->cfg->depth, s->cfg->states_max);
        out->transitions = atomic_load(&s->sh->transitions);
        out->worst_s = dt_time_seconds(atomic_load(&s->sh->worst));
        out->violations = atomic_load(&s->sh->found) != 0;
        out->exhausted = !out->violations && !atomic_load(&s->sh->full) && !atomic_load(&s->sh->cut);
        if (out->violations) {
            thin_out(s, root, root_len);
            out->trace = s->sh->trace;
            memcpy(out->what, s->sh->what, sizeof out->what);
        }
        return;
    }
    /* the first levels here, so that there is work to share out */
    if (enter(s, sim_state_digest(s->state), 0) && judge(s)) {
        s->collect = s->cfg->jobs > 1;
        s->collect_at = 3;
        if (s->collect) {
            expand(s);
            s->collect = false;
            *bad = in_processes(s, root, root_len);
        } else {
            expand(s);
        }
    }
    if (*bad)
        dt_err_set(err, 0, "a process of the search came to a sudden end");
    out->states = atomic_load(&s->sh->states);
    out->transitions = atomic_load(&s->sh->transitions);
    out->exhausted =
        !atomic_load(&s->sh->full) && !atomic_load(&s->sh->cut) && !atomic_load(&s->sh->found) && !*bad;
    out->worst_s = dt_time_seconds(atomic_load(&s->sh->worst));
    if (!atomic_load(&s->sh->found))
        return;
    shorten(s, root, root_len, (unsigned)s->sh->trace.n, 400000);
    thin_out(s, root, root_len);
    out->violations = 1;
    out->trace = s->sh->trace;
    memcpy(out->what, s->sh->what, sizeof out->what);
}

int sim_explore(const struct sim_explore_config *cfg, struct sim_explored *out, struct dt_err *err)
{
    struct search s = {.cfg = cfg, .limit = cfg->depth, .told = time(NULL)};
    char *root = NULL;
    size_t root_cap = 0, root_len = 0;
    int bad = 0;
    *out = (struct sim_explored){0};
    out->bound_s = dt_time_seconds(sim_run_bound(cfg->pairing, &cfg->params, 0));
    if (prepare(&s, err)) {
        put_away(&s);
        return -1;
    }
    sim_arena_on(true);
    s.state = sim_state_new(cfg, err);
    sim_arena_on(false);
    if (s.state && save(&root, &root_cap, &root_len))
        search(&s, root, root_len, out, err, &bad);
    else
        bad = -1;
    free(root);
    put_away(&s);
    if (cfg->progress)
        fprintf(stderr, "\r%60s\r", "");
    return bad;
}
