/* Reports: one HTML page without scripts or anything from elsewhere, or an SVG alone. */
#ifndef DT_SIM_REPORT_H
#define DT_SIM_REPORT_H

#include "sim/run/run.h"
#include "sim/report/sequence.h"

/* One line of a distribution. */
struct sim_series {
    const char *name;
    struct sim_samples *recovery;     /* seconds */
    struct sim_samples *availability; /* shares */
    double bound_s;                   /* 0: none */
    uint64_t recovered, faults;
};

/* Recovery times (logarithmic), or what is missing to an availability of 1, one line a series. */
void sim_chart_recovery(struct sim_text *out, struct sim_series *v, int n, bool narrow);
void sim_chart_missing(struct sim_text *out, struct sim_series *v, int n, bool narrow);
/* Seconds for people: "0 s", "340 ms", "12.1 s", "15 min", "7.7 h". */
void sim_chart_span(char *out, size_t cap, double s);

struct sim_story { /* one pairing's run of the first seed */
    const struct sim_pairing *pairing;
    const struct sim_notes *notes;
    const struct sim_result *result;
};

struct sim_page {
    const char *title;
    const char *lead; /* a sentence or two */
    bool good;
    const char *verdict;
    const char *table; /* HTML, or NULL */
    struct sim_series *series;
    int nseries;
    struct sim_story *stories;
    int nstories;
    const char *footer; /* the command that makes it again */
};
void sim_page_html(struct sim_text *out, const struct sim_page *p);
/* Which stretch of a story is drawn. */
void sim_story_span(const struct sim_story *s, dt_time *from, dt_time *to);
/* What happened, line by line: "  31.204 s  NAT     …". Bounded; for the terminal and for the page. */
struct sim_line {
    dt_time at;
    const char *who;
    char text[160];
    bool bad;
};
size_t sim_story_lines(const struct sim_story *s, struct sim_line *v, size_t cap);

#endif
