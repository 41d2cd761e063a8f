/* Many seeds, in as many processes as there are processors: each seed is a world of its own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/run/run.h"

struct worker {
    pid_t pid;
    int fd;
};

static int pipe_write_all(int fd, const void *p, size_t n)
{
    const char *b = p;
    while (n) {
        ssize_t w = write(fd, b, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return -1;
        b += w;
        n -= (size_t)w;
    }
    return 0;
}

static int read_all(int fd, void *p, size_t n)
{
    char *b = p;
    while (n) {
        ssize_t r = read(fd, b, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return -1;
        b += r;
        n -= (size_t)r;
    }
    return 0;
}

static void say_progress(const struct sim_run_config *cfg, uint64_t done, uint64_t n, time_t *last)
{
    time_t now = time(NULL);
    if (now - *last < 2 && done != n)
        return;
    *last = now;
    fprintf(stderr, "\r%s, %s: %llu of %llu seeds ", cfg->scenario->name, cfg->pairing->name,
            (unsigned long long)done, (unsigned long long)n);
    if (done == n)
        fprintf(stderr, "\r%60s\r", "");
}

/* A worker does every jobs-th seed and sends the results in order. */
static int worker_start(struct worker *w, const struct sim_run_config *cfg, uint64_t first, uint64_t n,
                        unsigned jobs, unsigned k)
{
    int fd[2];
    if (pipe(fd))
        return -1;
    fflush(NULL);
    w->pid = fork();
    if (w->pid < 0) {
        close(fd[0]);
        close(fd[1]);
        return -1;
    }
    if (!w->pid) {
        close(fd[0]);
        struct sim_result r;
        for (uint64_t i = k; i < n; i += jobs) {
            sim_run_once(cfg, first + i, &r, NULL);
            if (pipe_write_all(fd[1], &r, sizeof r))
                break;
        }
        _exit(0);
    }
    close(fd[1]);
    w->fd = fd[0];
    return 0;
}

static int run_in_processes(const struct sim_run_config *cfg, uint64_t first, uint64_t n, unsigned jobs,
                            bool progress, struct sim_result *results)
{
    struct worker workers[64];
    unsigned started = 0;
    time_t last = time(NULL);
    int bad = 0;
    while (started < jobs && !worker_start(&workers[started], cfg, first, n, jobs, started))
        started++;
    bad = started < jobs;
    for (uint64_t i = 0; i < n && !bad; i++) {
        bad = read_all(workers[i % jobs].fd, &results[i], sizeof *results);
        if (progress && !bad)
            say_progress(cfg, i + 1, n, &last);
    }
    for (unsigned k = 0; k < started; k++) {
        close(workers[k].fd);
        waitpid(workers[k].pid, NULL, 0);
    }
    return bad ? -1 : 0;
}

static void summary_add(const struct sim_run_config *cfg, struct sim_summary *s, const struct sim_result *r)
{
    s->faults += r->faults;
    s->recovered += r->recovered;
    s->lost += r->lost;
    s->sent += r->sent;
    s->multicast += r->multicast;
    s->wrong_items += r->wrong_items;
    s->wrong_unheard += r->wrong_unheard;
    s->sins += r->sins;
    s->pings += r->pings;
    s->ike += r->ike;
    s->ike_bytes += r->ike_bytes;
    if (r->bound_s > s->bound_s)
        s->bound_s = r->bound_s;
    if (r->recovery_s > r->bound_s && !s->late++)
        s->late_seed = r->seed;
    for (int k = 0; k < SIM_SCENARIOS; k++) {
        s->kinds[k].faults += r->kinds[k].faults;
        s->kinds[k].recovered += r->kinds[k].recovered;
        s->kinds[k].down_s += r->kinds[k].down_s;
    }
    sim_samples_add(&s->availability, r->available);
    if (!cfg->days)
        sim_samples_add(&s->recovery, r->recovery_s);
}

int sim_run_many(const struct sim_run_config *cfg, uint64_t first, uint64_t n, unsigned jobs, bool progress,
                 struct sim_summary *out, struct dt_err *err)
{
    *out = (struct sim_summary){.seeds = n};
    out->results = calloc(n ? n : 1, sizeof *out->results);
    if (!out->results)
        return dt_err_set(err, 0, "memory ran out for the results of %llu seeds", (unsigned long long)n);
    if (jobs > n)
        jobs = (unsigned)n;
    if (jobs > 64)
        jobs = 64;
    if (jobs > 1 && !cfg->days) { /* what is said of days needs each of their recoveries */
        if (run_in_processes(cfg, first, n, jobs, progress, out->results))
            return dt_err_set(err, 0, "a process that ran seeds of %s came to a sudden end",
                              cfg->scenario->name);
    } else {
        time_t last = time(NULL);
        struct sim_run_config one = *cfg;
        struct sim_samples each[1 + SIM_SCENARIOS] = {0};
        one.progress = progress && n == 1;
        for (uint64_t i = 0; i < n; i++) {
            sim_run_once(&one, first + i, &out->results[i], cfg->days ? each : NULL);
            if (progress && n > 1)
                say_progress(cfg, i + 1, n, &last);
        }
        if (cfg->days)
            out->recovery = each[0];
        for (int k = 0; k < SIM_SCENARIOS; k++)
            out->kind_recovery[k] = each[1 + k];
    }
    for (uint64_t i = 0; i < n; i++) {
        if (out->results[i].failed)
            return dt_err_set(err, 0, "%s, seed %llu: %s", cfg->scenario->name,
                              (unsigned long long)out->results[i].seed, out->results[i].text);
        summary_add(cfg, out, &out->results[i]);
    }
    out->median = sim_samples_rank(&out->recovery, 0.5);
    out->p99 = sim_samples_rank(&out->recovery, 0.99);
    out->worst = sim_samples_rank(&out->recovery, 1);
    out->available = sim_samples_mean(&out->availability);
    return 0;
}

void sim_summary_free(struct sim_summary *s)
{
    free(s->results);
    sim_samples_free(&s->recovery);
    sim_samples_free(&s->availability);
    for (int k = 0; k < SIM_SCENARIOS; k++)
        sim_samples_free(&s->kind_recovery[k]);
    *s = (struct sim_summary){0};
}

bool sim_summary_good(const struct sim_run_config *cfg, const struct sim_summary *s)
{
    if (!cfg->pairing
             ->server_waits) /* a plain server speaks first, and an item may keep a wrong SPI for it */
        return true;
    if (s->wrong_unheard || s->sins)
        return false;
    return s->recovered == s->faults && !s->late;
}
