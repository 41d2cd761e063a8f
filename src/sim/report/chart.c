#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/report/report.h"

#define BINS 80

struct axis {
    int x0, x1;
    double lo, hi; /* logarithms */
};

static int place(const struct axis *a, double v)
{
    double l = v > 0 ? log10(v) : a->lo;
    double part = (l - a->lo) / (a->hi - a->lo);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return a->x0 + (int)(part * (a->x1 - a->x0) + 0.5);
}

void sim_chart_span(char *out, size_t cap, double s)
{
    if (s == 0)
        snprintf(out, cap, "0 s");
    else if (s < 1)
        snprintf(out, cap, "%.0f ms", s * 1000);
    else if (s < 100)
        snprintf(out, cap, "%.3g s", s);
    else if (s < 7200)
        snprintf(out, cap, "%.0f min", s / 60);
    else
        snprintf(out, cap, "%.1f h", s / 3600);
}

static void svg_begin(struct sim_text *out, int width, int height, const char *title)
{
    sim_text_add(out,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                 "role=\"img\">"
                 "<title>%s</title><style>%s</style>",
                 width, height, width, height, title, sim_svg_style);
}

/* A histogram standing on its base line: how many samples fall in each of BINS stretches of the axis. */
static void histogram(struct sim_text *out, const struct axis *a, const struct sim_samples *s, int base,
                      int tall, const char *class)
{
    size_t bins[BINS] = {0}, most = 1;
    for (size_t i = 0; i < s->n; i++) {
        int b = (place(a, s->v[i]) - a->x0) * BINS / (a->x1 - a->x0 + 1);
        if (++bins[b] > most)
            most = bins[b];
    }
    for (int b = 0; b < BINS; b++) {
        if (!bins[b])
            continue;
        int x = a->x0 + b * (a->x1 - a->x0) / BINS, w = (a->x1 - a->x0) / BINS;
        int h = (int)(tall * sqrt((double)bins[b] / (double)most));
        sim_text_add(out, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>", class, x,
                     base - (h ? h : 1), w > 1 ? w : 1, h ? h : 1);
    }
}

static void ticks(struct sim_text *out, const struct axis *a, const double *v, const char *const *text, int n,
                  int top, int bottom)
{
    for (int i = 0; i < n; i++) {
        int x = place(a, v[i]);
        sim_text_add(out,
                     "<line class=\"grid\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>"
                     "<text class=\"dim\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>",
                     x, top, x, bottom, x, bottom + 12, text[i]);
    }
}

void sim_chart_recovery(struct sim_text *out, struct sim_series *v, int n, bool narrow)
{
    static const double at[] = {0.1, 1, 10, 60, 600, 3600, 28800};
    static const char *const text[] = {"0.1 s", "1 s", "10 s", "1 min", "10 min", "1 h", "8 h"};
    int width = narrow ? 358 : 760, high = 62, height = n * high + 34;
    struct axis a = {14, width - 16, -1.3, log10(40000)};
    svg_begin(out, width, height, "Time until all traffic flowed again");
    ticks(out, &a, at, text, 7, 4, n * high + 8);
    for (int i = 0; i < n; i++) {
        int top = i * high, base = top + high - 4;
        char median[24], p99[24], worst[24];
        sim_chart_span(median, sizeof median, sim_samples_rank(v[i].recovery, 0.5));
        sim_chart_span(p99, sizeof p99, sim_samples_rank(v[i].recovery, 0.99));
        sim_chart_span(worst, sizeof worst, sim_samples_rank(v[i].recovery, 1));
        sim_text_add(out, "<text class=\"name halo\" x=\"6\" y=\"%d\">%s</text>", top + 14, v[i].name);
        sim_text_add(out, "<text class=\"dim halo\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", width - 6,
                     top + 14);
        sim_text_add(out, narrow ? "%s / %s / %s" : "median %s, 99 %% %s, worst %s", median, p99, worst);
        sim_text_put(out, "</text>");
        histogram(out, &a, v[i].recovery, base, high - 26, v[i].recovered < v[i].faults ? "wrong" : "epoch");
        sim_text_add(out, "<line class=\"life\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>", a.x0, base, a.x1,
                     base);
        if (v[i].bound_s > 0)
            sim_text_add(out,
                         "<line class=\"warn\" stroke-width=\"2\" x1=\"%d\" y1=\"%d\" x2=\"%d\" "
                         "y2=\"%d\"><title>bound %.1f s</title></line>",
                         place(&a, v[i].bound_s), top + 22, place(&a, v[i].bound_s), base, v[i].bound_s);
    }
    sim_text_put(out, "</svg>");
}

void sim_chart_missing(struct sim_text *out, struct sim_series *v, int n, bool narrow)
{
    static const double at[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1};
    static const char *const text[] = {"1e-6", "1e-5", "0.01 %", "0.1 %", "1 %", "10 %"};
    int width = narrow ? 358 : 760, high = 54, height = n * high + 34;
    struct axis a = {14, width - 16, -6.3, 0};
    svg_begin(out, width, height, "Share of the time without traffic");
    ticks(out, &a, at, text, 6, 4, n * high + 8);
    for (int i = 0; i < n; i++) {
        struct sim_samples missing = {0};
        for (size_t k = 0; k < v[i].availability->n; k++)
            sim_samples_add(&missing, 1 - v[i].availability->v[k]);
        int top = i * high, base = top + high - 4;
        sim_text_add(out, "<text class=\"name halo\" x=\"6\" y=\"%d\">%s</text>", top + 14, v[i].name);
        sim_text_add(
            out, "<text class=\"dim halo\" x=\"%d\" y=\"%d\" text-anchor=\"end\">available %.4f %%</text>",
            width - 6, top + 14, 100 * sim_samples_mean(v[i].availability));
        histogram(out, &a, &missing, base, high - 26, "item");
        sim_text_add(out, "<line class=\"life\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>", a.x0, base, a.x1,
                     base);
        sim_samples_free(&missing);
    }
    sim_text_put(out, "</svg>");
}
