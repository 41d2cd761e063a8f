/* A sequence diagram: client A, client B, NAT, server (and the second NAT where it is used) as lifelines; each packet
 * an arrow with its SPI; epochs, items and outages as bars along them. Time runs down, stretched where much happens,
 * so that every label has a row of its own and nothing overlaps. */
#ifndef DT_SIM_SEQUENCE_H
#define DT_SIM_SEQUENCE_H

#include "sim/world/note.h"
#include "sim/report/text.h"

#define SIM_SEQ_ROWS_MAX 160
#define SIM_SEQ_LINES    5

struct sim_seq_row { /* a label that stands in the drawing */
    dt_time at;
    int y, x;   /* baseline; where it is anchored */
    int anchor; /* -1: x is its left end, 0: its middle, 1: its right end */
    char text[72];
    const char *class; /* of the style sheet */
};

struct sim_seq {
    const struct sim_notes *notes;
    int width, height; /* user units, which are CSS pixels */
    int lines;         /* lifelines in use */
    uint32_t node[SIM_SEQ_LINES];
    int x[SIM_SEQ_LINES];
    dt_time from, to; /* what is drawn */
    struct sim_seq_row row[SIM_SEQ_ROWS_MAX + 8];
    int rows;
    uint32_t *drawn; /* notes that are drawn, in order */
    size_t ndrawn, skipped;
    struct {
        dt_time at;
        int y;
    } * tick; /* the time scale: rises in both */
    size_t nticks;
};

/* From `from` to `to`; narrow: for a phone (358 wide), else 760. 0, or -1: memory. */
int sim_seq_layout(struct sim_seq *s, const struct sim_notes *notes, dt_time from, dt_time to, bool narrow);
void sim_seq_free(struct sim_seq *s);
/* The <svg> element, its style sheet included. */
void sim_seq_svg(const struct sim_seq *s, struct sim_text *out);
/* About how wide a label is, in user units. */
int sim_seq_text_width(const char *text);
/* The style sheet that diagrams and charts share. */
extern const char sim_svg_style[];

#endif
