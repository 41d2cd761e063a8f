#include "sim/report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 400

static const char page_style[] =
    "*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 "
    "system-ui,sans-serif}"
    "main{max-width:820px;margin:0 auto;padding:20px 16px 40px}h1{font-size:1.5rem;margin:.2em "
    "0}h2{font-size:1.15rem;"
    "margin:1.8em 0 .5em}p{margin:.5em 0}.verdict{border-left:4px solid "
    "var(--good);background:var(--soft);padding:.6em .9em;"
    "margin:1em "
    "0}.verdict.no{border-color:var(--bad)}table{border-collapse:collapse;width:100%;font-size:.86rem}"
    "th,td{text-align:left;padding:.35em .6em .35em 0;border-bottom:1px solid var(--line);vertical-align:top}"
    "td.n,th.n{text-align:right;white-space:nowrap}.wrap{overflow-x:auto}.phone{display:none}svg{max-width:"
    "100%;height:auto;"
    "display:block}details{margin:.8em 0;border-top:1px solid "
    "var(--line);padding-top:.6em}summary{cursor:pointer;"
    "font-weight:600}.key{color:var(--dim);font-size:.86rem}footer{margin-top:2.5em;color:var(--dim);font-"
    "size:.82rem;"
    "overflow-wrap:anywhere}code{font-family:ui-monospace,Menlo,Consolas,monospace}tr.bad "
    "td{color:var(--bad)}"
    "tr.in "
    "td:first-child{border-bottom-color:transparent}td{white-space:nowrap}td:last-child{white-space:normal}"
    "@media(max-width:800px){.wide{display:none}.phone{display:block}}"
    "@media(max-width:560px){.m{display:none}th,td{padding-right:.4em}table{font-size:.78rem}td:first-child{"
    "white-space:normal}}";

void sim_story_span(const struct sim_story *s, dt_time *from, dt_time *to)
{
    dt_time fault = dt_seconds(s->result->fault_s), end = dt_seconds(s->result->end_s);
    *from = dt_time_sub(fault, DT_SEC / 2);
    *to = end + dt_seconds(s->result->recovery_s) + 3 * DT_SEC;
}

static size_t notes_count(const struct sim_notes *notes, enum sim_note_kind kind, dt_time from, dt_time to,
                          uint32_t b)
{
    size_t n = 0;
    for (size_t i = 0; i < notes->n; i++)
        n += notes->v[i].kind == kind && notes->v[i].at >= from && notes->v[i].at < to &&
             (b == UINT32_MAX || notes->v[i].b == b);
    return n;
}

static struct sim_line *story_next_line(struct sim_line *v, size_t *n, size_t cap, const struct sim_story *s,
                                        const struct sim_note *note, bool bad)
{
    if (*n == cap)
        return NULL;
    struct sim_line *l = &v[(*n)++];
    l->at = note->at;
    l->who = s->notes->names[note->a % SIM_NOTE_NAMES];
    l->bad = bad;
    return l;
}

static int lines_by_time(const void *a, const void *b)
{
    const struct sim_line *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

size_t sim_story_lines(const struct sim_story *s, struct sim_line *v, size_t cap)
{
    const struct sim_notes *notes = s->notes;
    dt_time from, to, multicast = 0;
    char span[SIM_SPAN_LEN];
    size_t n = 0;
    struct sim_line *l;
    bool told[SIM_NOTE_NAMES] = {0}; /* of SPIs that it does not know: once is enough */
    sim_story_span(s, &from, &to);
    for (size_t i = 0; i < notes->n; i++) {
        const struct sim_note *note = &notes->v[i];
        if (note->at < from || note->at > to || note->a >= SIM_NOTE_NAMES)
            continue;
        switch (note->kind) {
        case SIM_NOTE_SAY:
            if ((note->number == DT_EVENT_UNKNOWN_SPI && told[note->a]) || note->number == DT_EPOCH_IDLE ||
                note->number == DT_EPOCH_IDLE_OVER)
                break; /* a ping that is answered is no news, one that is not is told by what follows */
            told[note->a] |= note->number == DT_EVENT_UNKNOWN_SPI;
            if ((l = story_next_line(v, &n, cap, s, note, false)))
                snprintf(l->text, sizeof l->text, "%s", note->text);
            break;
        case SIM_NOTE_FAULT:
        case SIM_NOTE_ITEM_WRONG:
            if ((l = story_next_line(v, &n, cap, s, note, true)))
                snprintf(l->text, sizeof l->text, "%s", note->text);
            break;
        case SIM_NOTE_MULTICAST:
            if (note->at < multicast)
                break;
            multicast = note->at + 10 * DT_SEC;
            if ((l = story_next_line(v, &n, cap, s, note, true)))
                snprintf(l->text, sizeof l->text, "%s (%zu such packets within 10 s)", note->text,
                         notes_count(notes, SIM_NOTE_MULTICAST, note->at, multicast, UINT32_MAX));
            break;
        case SIM_NOTE_OUTAGE:
            if ((l = story_next_line(v, &n, cap, s, note, true)))
                snprintf(l->text, sizeof l->text, "%s for %s",
                         note->number ? "hears nothing from the server" : "is not heard by the server",
                         sim_span(span, dt_time_sub(note->until, note->at)));
            break;
        default:
            break;
        }
    }
    qsort(v, n, sizeof *v, lines_by_time);
    return n;
}

static void diagram(struct sim_text *out, const struct sim_story *s, bool narrow)
{
    struct sim_seq seq;
    dt_time from, to;
    sim_story_span(s, &from, &to);
    if (sim_seq_layout(&seq, s->notes, from, to, narrow))
        return;
    sim_seq_svg(&seq, out);
    sim_seq_free(&seq);
}

static void story(struct sim_text *out, const struct sim_story *s, bool open)
{
    static struct sim_line lines[LINES_MAX];
    size_t n = sim_story_lines(s, lines, LINES_MAX);
    sim_text_add(out, "<details%s><summary>%s: %s</summary><p class=\"key\">Seed %llu. ", open ? " open" : "",
                 s->pairing->name, s->pairing->what, (unsigned long long)s->result->seed);
    sim_text_put(
        out,
        "Left of a client and right of the server: epochs, pale until verified or heard. Right of the NAT: "
        "items, pale while outstanding, red when they pair SPIs of different clients. Red beside a client: "
        "outages. Shaded: the fault.</p><div class=\"wide\">");
    diagram(out, s, false);
    sim_text_put(out, "</div><div class=\"phone\">");
    diagram(out, s, true);
    sim_text_put(out, "</div><details><summary>In words</summary><div class=\"wrap\"><table>");
    for (size_t i = 0; i < n; i++) {
        sim_text_add(out, "<tr%s><td class=\"n\">%.3f s</td><td>%s</td><td>",
                     lines[i].bad ? " class=\"bad\"" : "", dt_time_seconds(lines[i].at), lines[i].who);
        sim_text_escape(out, lines[i].text);
        sim_text_put(out, "</td></tr>");
    }
    sim_text_put(out, "</table></div></details></details>");
}

void sim_page_html(struct sim_text *out, const struct sim_page *p)
{
    sim_text_put(out,
                 "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                 "content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light "
                 "dark\"><title>");
    sim_text_escape(out, p->title);
    sim_text_add(out, "</title><style>%s%s</style></head><body><main><h1>", sim_svg_style, page_style);
    sim_text_escape(out, p->title);
    sim_text_put(out, "</h1><p>");
    sim_text_escape(out, p->lead);
    sim_text_add(out, "</p><p class=\"verdict%s\">", p->good ? "" : " no");
    sim_text_escape(out, p->verdict);
    sim_text_put(out, "</p>");
    if (p->table)
        sim_text_add(out, "<div class=\"wrap\">%s</div>", p->table);
    if (p->nseries) {
        sim_text_put(
            out,
            "<h2>Time until all traffic flowed again</h2><p class=\"key\">From the moment the network was "
            "fair "
            "again; how many seeds, by the area. Upright line: the bound computed from the parameters.</p>");
        sim_text_put(out, "<div class=\"wide\">");
        sim_chart_recovery(out, p->series, p->nseries, false);
        sim_text_put(out, "</div><div class=\"phone\">");
        sim_chart_recovery(out, p->series, p->nseries, true);
        sim_text_put(out, "</div><h2>Share of the time without traffic</h2><p class=\"key\">Each seed's run, "
                          "the fault itself included.</p><div class=\"wide\">");
        sim_chart_missing(out, p->series, p->nseries, false);
        sim_text_put(out, "</div><div class=\"phone\">");
        sim_chart_missing(out, p->series, p->nseries, true);
        sim_text_put(out, "</div>");
    }
    if (p->nstories)
        sim_text_put(out, "<h2>What happened</h2>");
    for (int i = 0; i < p->nstories; i++)
        story(out, &p->stories[i], i == 0 || p->nstories == 1);
    sim_text_put(out, "<footer><code>");
    sim_text_escape(out, p->footer);
    sim_text_put(out, "</code></footer></main></body></html>\n");
}
