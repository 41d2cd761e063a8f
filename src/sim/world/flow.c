#include "sim/world/flow.h"

#include "base/bytes.h"

void sim_flow_send(struct sim_flow *f, uint32_t flow, dt_time now, dt_time next, uint8_t mark[SIM_MARK_LEN])
{
    if (!f->sent && !f->first_done)
        f->good_next = now;
    dt_put_be32(mark, flow);
    dt_put_be32(mark + 4, (uint32_t)f->sent++);
    dt_put_be64(mark + 8, now);
    dt_put_be64(mark + 16, next);
}

bool sim_mark_read(struct sim_mark *m, const void *p, size_t len)
{
    const uint8_t *b = p;
    if (len < SIM_MARK_LEN)
        return false;
    *m = (struct sim_mark){dt_get_be32(b), dt_get_be32(b + 4), dt_get_be64(b + 8), dt_get_be64(b + 16)};
    return true;
}

static void gap(struct sim_flow *f, dt_time from, dt_time to)
{
    dt_time took = dt_time_sub(to, from);
    f->down += took;
    if (took > f->worst)
        f->worst = took;
    f->last_down = from;
    f->last_up = to;
    f->gaps++;
}

bool sim_flow_delivered(struct sim_flow *f, const struct sim_mark *m)
{
    f->delivered++;
    f->first_done = true;
    if (m->number < f->expected) /* a straggler */
        return false;
    bool missed = m->number > f->expected;
    if (missed)
        gap(f, f->good_next, m->sent);
    f->expected = m->number + 1;
    f->good_next = m->next;
    return missed;
}

bool sim_flow_end(struct sim_flow *f, dt_time now)
{
    if (f->sent <= f->expected)
        return false;
    gap(f, f->good_next, now);
    return true;
}
