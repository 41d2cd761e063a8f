#include "sim/report/sequence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW    15 /* a label's row */
#define STEP   4  /* an arrow's head, or a bar's end */
#define TOP    44
#define BOTTOM 34

int sim_seq_text_width(const char *text)
{
    return (int)(strlen(text) * 6);
}

/* ---- which notes are drawn ------------------------------------------------------------------- */

static bool is_bar_end(const struct sim_note *n)
{
    return n->kind == SIM_NOTE_EPOCH_NEW || n->kind == SIM_NOTE_EPOCH_GONE ||
           n->kind == SIM_NOTE_EPOCH_PROVED || n->kind == SIM_NOTE_ITEM_NEW || n->kind == SIM_NOTE_ITEM_SET ||
           n->kind == SIM_NOTE_ITEM_GONE;
}

static int lifeline_of(const struct sim_seq *s, uint32_t node)
{
    for (int i = 0; i < s->lines; i++)
        if (s->node[i] == node)
            return i;
    return -1;
}

/* Two data packets of a kind are enough to see that it goes on; anything else that happens starts the count anew. */
struct seen {
    uint32_t spi, a, b;
    bool lost;
    int n;
};

static bool repeats(struct seen *seen, int *nseen, const struct sim_note *n)
{
    if (n->kind != SIM_NOTE_PACKET && n->kind != SIM_NOTE_MISDELIVERED && n->kind != SIM_NOTE_MULTICAST &&
        n->kind != SIM_NOTE_DROP) {
        *nseen = 0;
        return false;
    }
    if (n->load != SIM_LOAD_DATA && n->kind == SIM_NOTE_PACKET)
        return false;
    uint32_t spi = n->spi_out ? n->spi_out : n->spi_in;
    if (n->kind == SIM_NOTE_DROP)
        spi = ~spi;
    for (int i = 0; i < *nseen; i++)
        if (seen[i].spi == spi && seen[i].a == n->a && seen[i].b == n->b &&
            seen[i].lost == (n->until == DT_NEVER))
            return ++seen[i].n > 2;
    if (*nseen < 32)
        seen[(*nseen)++] = (struct seen){spi, n->a, n->b, n->until == DT_NEVER, 1};
    return false;
}

static bool wanted(const struct sim_seq *s, const struct sim_note *n)
{
    if (n->at < s->from || n->at > s->to || n->kind == SIM_NOTE_SAY || n->kind == SIM_NOTE_OUTAGE)
        return false;
    if (n->kind == SIM_NOTE_ITEM_GONE && n->b == UINT32_MAX)
        return true;
    if ((n->kind == SIM_NOTE_ITEM_NEW || n->kind == SIM_NOTE_ITEM_SET || n->kind == SIM_NOTE_ITEM_GONE) &&
        n->ike_item)
        return false;
    if (n->kind == SIM_NOTE_EPOCH_USED && !n->number)
        return false;
    return lifeline_of(s, n->a) >= 0;
}

static int cmp_at(const void *a, const void *b, void *notes)
{
    const struct sim_note *v = notes, *x = &v[*(const uint32_t *)a], *y = &v[*(const uint32_t *)b];
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static int label_cost(const struct sim_note *n)
{
    return is_bar_end(n) ? 0 : n->kind == SIM_NOTE_MISDELIVERED ? 0 : 1;
}

/* At most as many labels as fit: the first two thirds from the beginning, the rest up to the end. */
static int choose_stretch(struct sim_seq *s)
{
    const struct sim_notes *notes = s->notes;
    struct seen seen[32];
    int nseen = 0, cost = 0;
    uint32_t *v = malloc((notes->n + 1) * sizeof *v);
    size_t n = 0;
    if (!v)
        return -1;
    for (uint32_t i = 0; i < notes->n; i++) {
        if (!wanted(s, &notes->v[i]))
            continue;
        if (repeats(seen, &nseen, &notes->v[i])) {
            s->skipped++;
            continue;
        }
        v[n++] = i;
        cost += label_cost(&notes->v[i]);
    }
    qsort_r(v, n, sizeof *v, cmp_at, notes->v);
    if (cost > SIM_SEQ_ROWS_MAX) {
        size_t head = 0, tail = n;
        for (int c = 0; head < n && c < SIM_SEQ_ROWS_MAX * 2 / 3; head++)
            c += label_cost(&notes->v[v[head]]);
        for (int c = 0; tail > head && c < SIM_SEQ_ROWS_MAX / 3 - 1; tail--)
            c += label_cost(&notes->v[v[tail - 1]]);
        s->skipped += tail - head;
        memmove(v + head, v + tail, (n - tail) * sizeof *v);
        n -= tail - head;
    }
    s->drawn = v;
    s->ndrawn = n;
    return 0;
}

/* ---- where everything stands ----------------------------------------------------------------- */

static void lifelines(struct sim_seq *s, bool narrow)
{
    static const char *const order[] = {"client A", "client B", "NAT", "NAT 2", "server"};
    bool second = false;
    for (size_t i = 0; i < s->notes->n; i++)
        second |=
            s->notes->v[i].kind == SIM_NOTE_PACKET && !strcmp(s->notes->names[s->notes->v[i].a], "NAT 2");
    for (int k = 0; k < 5; k++)
        for (uint32_t i = 0; i < SIM_NOTE_NAMES; i++)
            if (!strcmp(s->notes->names[i], order[k]) && (k != 3 || second))
                s->node[s->lines++] = i;
    int left = narrow ? 78 : 120, right = s->width - (narrow ? 34 : 70);
    for (int i = 0; i < s->lines; i++)
        s->x[i] = left + (right - left) * i / (s->lines > 1 ? s->lines - 1 : 1);
}

static int y_of(const struct sim_seq *s, dt_time at)
{
    size_t lo = 0, hi = s->nticks;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->tick[mid].at <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return TOP;
    if (lo == s->nticks)
        return s->tick[lo - 1].y;
    dt_time span = s->tick[lo].at - s->tick[lo - 1].at;
    double part = (double)(at - s->tick[lo - 1].at) / (double)span;
    return s->tick[lo - 1].y + (int)(part * (s->tick[lo].y - s->tick[lo - 1].y));
}

struct moment {
    dt_time at;
    bool label;
};

static int cmp_moment(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : (int)y->label - (int)x->label;
}

/* The time scale: each label moves it on by a row, each other moment by a step. */
static int scale(struct sim_seq *s)
{
    struct moment *m = calloc(2 * s->ndrawn + 2, sizeof *m);
    size_t n = 0;
    if (!m)
        return -1;
    for (size_t i = 0; i < s->ndrawn; i++) {
        const struct sim_note *note = &s->notes->v[s->drawn[i]];
        m[n++] = (struct moment){note->at, label_cost(note) > 0};
        if (note->kind == SIM_NOTE_PACKET && note->until != DT_NEVER)
            m[n++] = (struct moment){note->until, false};
    }
    qsort(m, n, sizeof *m, cmp_moment);
    s->tick = calloc(n + 1, sizeof *s->tick);
    if (!s->tick) {
        free(m);
        return -1;
    }
    int y = TOP;
    for (size_t i = 0; i < n; i++) {
        y += m[i].label ? ROW : STEP;
        if (s->nticks && s->tick[s->nticks - 1].at == m[i].at)
            s->tick[s->nticks - 1].y = y;
        else {
            s->tick[s->nticks].at = m[i].at;
            s->tick[s->nticks++].y = y;
        }
    }
    s->height = y + BOTTOM;
    free(m);
    return 0;
}

static const char *note_class(const struct sim_note *n)
{
    static const char *const load[] = {"ike", "data", "ping", "ping"};
    if (n->kind == SIM_NOTE_ITEM_WRONG || n->kind == SIM_NOTE_MISDELIVERED || n->kind == SIM_NOTE_DROP)
        return "bad";
    if (n->kind == SIM_NOTE_MULTICAST)
        return "warn";
    if (n->kind == SIM_NOTE_PACKET)
        return n->proto == SIM_IKE ? "ike" : load[n->load & 3];
    return "say";
}

static void words(const struct sim_note *n, char *out, size_t cap, bool narrow)
{
    switch (n->kind) {
    case SIM_NOTE_EPOCH_USED:
        snprintf(out, cap, narrow ? "epoch %u carries" : "epoch %u carries data%s%s", n->number,
                 n->text[0] ? ", " : "", n->text);
        return;
    case SIM_NOTE_ITEM_WRONG:
        snprintf(out, cap, narrow ? "wrong item" : "%.60s", n->text);
        return;
    case SIM_NOTE_MULTICAST:
        snprintf(out, cap, narrow ? "%08x to all" : "%08x: no item, to all %u clients", n->spi_in, n->number);
        return;
    default:
        snprintf(out, cap, "%.*s", narrow ? 14 : 60, n->text);
    }
}

/* Labels one by one from the top: each takes the first free row at or below its moment. */
static void labels(struct sim_seq *s, bool narrow)
{
    int last = TOP - ROW;
    for (size_t i = 0; i < s->ndrawn && s->rows < SIM_SEQ_ROWS_MAX; i++) {
        const struct sim_note *n = &s->notes->v[s->drawn[i]];
        if (!label_cost(n))
            continue;
        struct sim_seq_row *r = &s->row[s->rows++];
        int a = lifeline_of(s, n->a), b = lifeline_of(s, n->b);
        r->at = n->at;
        r->class = note_class(n);
        r->y = y_of(s, n->at) - 3;
        if (r->y < last + ROW - 2)
            r->y = last + ROW - 2;
        last = r->y;
        words(n, r->text, sizeof r->text, narrow);
        int w = sim_seq_text_width(r->text), x = s->x[a];
        if (n->kind == SIM_NOTE_PACKET && b >= 0) {
            r->anchor = b > a ? -1 : 1;
            r->x = x + (b > a ? 10 : -10);
        } else {
            r->anchor = x + 12 + w < s->width ? -1 : 1;
            r->x = x + (r->anchor < 0 ? 12 : -12);
        }
        if (r->anchor < 0 && r->x + w > s->width - 2)
            r->x = s->width - 2 - w;
        if (r->anchor > 0 && r->x - w < (narrow ? 44 : 64))
            r->anchor = -1, r->x = narrow ? 44 : 64;
    }
    if (last + BOTTOM > s->height)
        s->height = last + BOTTOM;
}

int sim_seq_layout(struct sim_seq *s, const struct sim_notes *notes, dt_time from, dt_time to, bool narrow)
{
    *s = (struct sim_seq){.notes = notes, .width = narrow ? 358 : 760, .from = from, .to = to};
    lifelines(s, narrow);
    if (choose_stretch(s) || scale(s)) {
        sim_seq_free(s);
        return -1;
    }
    labels(s, narrow);
    return 0;
}

void sim_seq_free(struct sim_seq *s)
{
    free(s->drawn);
    free(s->tick);
    s->drawn = NULL;
    s->tick = NULL;
}

/* ---- drawing --------------------------------------------------------------------------------- */

const char sim_svg_style[] =
    ":root{--ink:#1c2733;--dim:#5b6b7b;--paper:#fff;--line:#c5ced8;--ike:#7a5ea8;--data:#1f6fb2;--ping:#"
    "0e8a6d;"
    "--bad:#c62f3b;--warn:#b26a00;--good:#0e8a6d;--soft:#eef2f6}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e3e9ef;--dim:#9aa9b8;--paper:#12181f;--line:#36424f;--"
    "ike:#b79ae6;"
    "--data:#6db5f2;--ping:#4fcfae;--bad:#ff7b84;--warn:#f0b35a;--good:#4fcfae;--soft:#1b242e}}"
    "svg text{font:10px/1 ui-monospace,Menlo,Consolas,monospace;fill:var(--ink)}"
    "svg .dim{fill:var(--dim)}svg .name{font-weight:700}"
    "svg .life{stroke:var(--line);stroke-width:1.5}svg line,svg path{fill:none}"
    "svg .ike{stroke:var(--ike)}svg .data{stroke:var(--data)}svg .ping{stroke:var(--ping)}"
    "svg .bad{stroke:var(--bad)}svg .warn{stroke:var(--warn)}"
    "svg text.ike{stroke:none;fill:var(--ike)}svg text.data{stroke:none;fill:var(--data)}"
    "svg text.ping{stroke:none;fill:var(--ping)}svg text.bad{stroke:none;fill:var(--bad)}"
    "svg text.warn{stroke:none;fill:var(--warn)}svg text.say{stroke:none;fill:var(--dim)}"
    "svg .halo{paint-order:stroke;stroke:var(--paper)!important;stroke-width:3px}"
    "svg .epoch{fill:var(--data)}svg .new{fill:var(--data);opacity:.35}svg .item{fill:var(--good)}"
    "svg .out{fill:var(--good);opacity:.35}svg .wrong{fill:var(--bad)}svg "
    ".outage{fill:var(--bad);opacity:.55}"
    "svg .fault{fill:var(--warn);opacity:.13}svg .grid{stroke:var(--line);stroke-dasharray:2 3}"
    "svg .box{fill:var(--soft)}";

static void lifeline_bar(struct sim_text *out, const char *class, int x, int y0, int y1, const char *tip)
{
    if (y1 <= y0)
        y1 = y0 + 2;
    sim_text_add(out, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"4\" height=\"%d\" rx=\"1.5\"><title>",
                 class, x, y0, y1 - y0);
    sim_text_escape(out, tip);
    sim_text_put(out, "</title></rect>");
}

/* The next note after k of that kind about the same thing; its time, or the drawing's end. */
static dt_time ends(const struct sim_seq *s, size_t k, enum sim_note_kind kind, bool *found)
{
    const struct sim_note *n = &s->notes->v[k];
    bool item =
        n->kind == SIM_NOTE_ITEM_NEW || n->kind == SIM_NOTE_ITEM_SET || n->kind == SIM_NOTE_ITEM_WRONG;
    for (size_t i = k + 1; i < s->notes->n; i++) {
        const struct sim_note *m = &s->notes->v[i];
        if (m->a != n->a || m->at < n->at)
            continue;
        bool same = item ? m->b == n->b && m->spi_out == n->spi_out && !m->ike_item
                         : m->b == n->b && m->number == n->number;
        if (item && m->kind == SIM_NOTE_ITEM_GONE && m->b == UINT32_MAX)
            same = true;
        if (same && (m->kind == kind || (kind == SIM_NOTE_ITEM_SET && m->kind == SIM_NOTE_ITEM_WRONG) ||
                     (item && m->kind == SIM_NOTE_ITEM_GONE))) {
            *found = m->kind == kind || m->kind == SIM_NOTE_ITEM_WRONG;
            return m->at;
        }
    }
    *found = false;
    return s->to;
}

static int lane(int used[8][2], int y0, int y1)
{
    for (int i = 0; i < 8; i++)
        if (used[i][1] <= y0) {
            used[i][1] = y1;
            return i;
        }
    return 7;
}

static void bars_of(const struct sim_seq *s, int line, struct sim_text *out)
{
    int used[8][2] = {{0}};
    bool server = line == s->lines - 1;
    for (size_t i = 0; i < s->notes->n; i++) {
        const struct sim_note *n = &s->notes->v[i];
        char tip[96];
        bool found;
        if (n->a != s->node[line] || n->at > s->to || n->ike_item)
            continue;
        if (n->kind == SIM_NOTE_EPOCH_NEW) {
            dt_time gone = ends(s, i, SIM_NOTE_EPOCH_GONE, &found),
                    proved = ends(s, i, SIM_NOTE_EPOCH_PROVED, &found);
            if (gone < s->from)
                continue;
            int y0 = y_of(s, n->at), y1 = y_of(s, gone), k = lane(used, y0, y1);
            int x = s->x[line] + (server ? 4 + 6 * k : -8 - 6 * k),
                mid = proved < gone ? y_of(s, proved) : y1;
            snprintf(tip, sizeof tip, "epoch %u: %08x out, %08x in", n->number, n->spi_out, n->spi_in);
            if (mid > y0)
                lifeline_bar(out, "new", x, y0, mid, tip);
            if (mid < y1)
                lifeline_bar(out, "epoch", x, mid, y1, tip);
        } else if (n->kind == SIM_NOTE_ITEM_NEW) {
            dt_time set = ends(s, i, SIM_NOTE_ITEM_SET, &found),
                    gone = ends(s, i, SIM_NOTE_ITEM_GONE, &found);
            if (gone < s->from)
                continue;
            int y0 = y_of(s, n->at), y1 = y_of(s, gone), k = lane(used, y0, y1),
                mid = y_of(s, set < gone ? set : gone);
            bool wrong = false;
            for (size_t j = i + 1; j < s->notes->n && s->notes->v[j].at <= set; j++)
                wrong |= s->notes->v[j].kind == SIM_NOTE_ITEM_WRONG && s->notes->v[j].spi_out == n->spi_out;
            snprintf(tip, sizeof tip, "item of %s: %08x out", s->notes->names[n->b % SIM_NOTE_NAMES],
                     n->spi_out);
            lifeline_bar(out, "out", s->x[line] + 4 + 6 * k, y0, mid, tip);
            if (mid < y1)
                lifeline_bar(out, wrong ? "wrong" : "item", s->x[line] + 4 + 6 * k, mid, y1, tip);
        }
    }
}

static void outages(const struct sim_seq *s, struct sim_text *out)
{
    for (size_t i = 0; i < s->notes->n; i++) {
        const struct sim_note *n = &s->notes->v[i];
        int line = lifeline_of(s, n->a);
        if (n->kind == SIM_NOTE_OUTAGE && line >= 0 && n->until > s->from && n->at < s->to)
            lifeline_bar(out, "outage", s->x[line] + 4 + 6 * (int)(n->number & 1), y_of(s, n->at),
                         y_of(s, n->until),
                         n->number ? "nothing from the server arrived" : "nothing arrived at the server");
        if (n->kind == SIM_NOTE_FAULT && n->until > s->from && n->at < s->to)
            sim_text_add(out, "<rect class=\"fault\" x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\"/>",
                         y_of(s, n->at), s->width,
                         y_of(s, n->until < s->to ? n->until : s->to) - y_of(s, n->at) + 2);
    }
}

static void arrow(const struct sim_seq *s, const struct sim_note *n, struct sim_text *out)
{
    int a = lifeline_of(s, n->a), b = lifeline_of(s, n->b);
    if (b < 0)
        return;
    bool lost = n->until == DT_NEVER;
    int x0 = s->x[a], y0 = y_of(s, n->at), x1 = s->x[b], y1 = lost ? y0 + STEP : y_of(s, n->until),
        d = x1 > x0 ? 1 : -1;
    if (lost)
        x1 = (x0 + x1) / 2;
    sim_text_add(out, "<path class=\"%s\" d=\"M%d %dL%d %d", note_class(n), x0 + d, y0, x1 - d, y1);
    if (lost)
        sim_text_add(out, "m-3 -3l6 6m-6 0l6 -6\"/>");
    else
        sim_text_add(out, "m%d -3l%d 3l%d 3\"/>", -5 * d, 5 * d, -5 * d);
}

static void time_text(char *out, size_t cap, dt_time at, bool narrow)
{
    double t = dt_time_seconds(at);
    if (t < 3600)
        snprintf(out, cap, narrow ? "%.2f" : "%.3f", t);
    else
        snprintf(out, cap, "%d:%02d:%02d", (int)(t / 3600), (int)(t / 60) % 60, (int)t % 60);
}

void sim_seq_svg(const struct sim_seq *s, struct sim_text *out)
{
    bool narrow = s->width < 500;
    sim_text_add(out,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                 "role=\"img\">",
                 s->width, s->height, s->width, s->height);
    sim_text_add(out, "<title>Sequence diagram</title><style>%s</style>", sim_svg_style);
    outages(s, out);
    for (int i = 0; i < s->lines; i++) {
        const char *name = s->notes->names[s->node[i]];
        sim_text_add(out, "<text class=\"name\" x=\"%d\" y=\"16\" text-anchor=\"%s\">%s</text>",
                     i == s->lines - 1 ? s->width - 4 : s->x[i], i == s->lines - 1 ? "end" : "middle",
                     narrow && !strncmp(name, "client ", 7) ? name + 7 : name);
        sim_text_add(out, "<line class=\"life\" x1=\"%d\" y1=\"24\" x2=\"%d\" y2=\"%d\"/>", s->x[i], s->x[i],
                     s->height - 22);
        bars_of(s, i, out);
    }
    for (size_t i = 0; i < s->ndrawn; i++) {
        const struct sim_note *n = &s->notes->v[s->drawn[i]];
        if (n->kind == SIM_NOTE_PACKET)
            arrow(s, n, out);
        else if (n->kind == SIM_NOTE_MISDELIVERED || n->kind == SIM_NOTE_ITEM_WRONG ||
                 n->kind == SIM_NOTE_DROP)
            sim_text_add(out, "<path class=\"bad\" stroke-width=\"2\" d=\"M%d %dm-4 -4l8 8m-8 0l8 -8\"/>",
                         s->x[lifeline_of(s, n->a)], y_of(s, n->at));
    }
    char t[24], before[24] = "";
    for (int i = 0; i < s->rows; i++) {
        static const char *const anchor[] = {"start", "middle", "end"};
        const struct sim_seq_row *r = &s->row[i];
        time_text(t, sizeof t, r->at, narrow);
        if (strcmp(t, before))
            sim_text_add(out, "<text class=\"dim\" x=\"2\" y=\"%d\">%s</text>", r->y, t);
        memcpy(before, t, sizeof t);
        sim_text_add(out, "<text class=\"%s halo\" x=\"%d\" y=\"%d\" text-anchor=\"%s\">", r->class, r->x,
                     r->y, anchor[r->anchor + 1]);
        sim_text_escape(out, r->text);
        sim_text_put(out, "</text>");
    }
    sim_text_add(out, "<text class=\"dim\" x=\"2\" y=\"%d\">%zu packets like others not drawn</text></svg>",
                 s->height - 6, s->skipped);
}
