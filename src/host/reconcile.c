/* Want, have, difference. */
#include "host/reconcile.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PASSES    3  /* reading, changing, reading again: a change may take another fact with it */
#define STUCK_MAX 64 /* that are told one by one */

struct dt_host {
    const struct dt_host_sort *sort;
    const struct dt_host_ops *ops;
    void *user;
    struct dt_host_facts want, have, set, remove;
    struct dt_host_facts stood; /* what was wanted and there at the end of the last reconciliation */
    struct dt_host_facts missing;
    struct dt_host_facts stuck,
        stuck_before;   /* could not be mended, which was told: in this reconciliation, and in the last */
    struct {            /* what result.news said last */
        unsigned looks; /* 0: all is as wanted */
        bool unread;
        struct dt_host_facts first; /* one, or none */
        struct dt_err why;
    } told;
    struct dt_err why;
    bool drifted;   /* in this reconciliation somebody was found to have been at the host */
    bool unread;    /* the host could not be read: nothing is known of it */
    bool unsettled; /* there was no memory to sort what is wanted */
    bool again;     /* not the first pass: what somebody else put there has been told */
};

struct dt_host *dt_host_new(const struct dt_host_sort *sort, const struct dt_host_ops *ops, void *user)
{
    struct dt_host *h = calloc(1, sizeof *h);
    if (h) {
        h->sort = sort;
        h->ops = ops;
        h->user = user;
    }
    return h;
}

void dt_host_free(struct dt_host *h)
{
    if (!h)
        return;
    struct dt_host_facts *all[] = {&h->want,    &h->have,  &h->set,          &h->remove,    &h->stood,
                                   &h->missing, &h->stuck, &h->stuck_before, &h->told.first};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dt_host_facts_free(all[i]);
    free(h);
}

static bool stood_before(const struct dt_host *h, const void *f)
{
    const void *found = dt_host_facts_find(&h->stood, h->sort, f);
    return found && h->sort->serves(found, f);
}

static bool is_among(const struct dt_host *h, const struct dt_host_facts *l, const void *f)
{
    for (size_t i = 0; i < l->n; i++)
        if (h->sort->place_cmp(dt_host_facts_at(l, h->sort, i), f) == 0)
            return true;
    return false;
}

/* True: nobody has heard yet that it cannot be mended. */
static bool is_newly_stuck(struct dt_host *h, const void *f)
{
    if (h->stuck.n == STUCK_MAX || is_among(h, &h->stuck, f))
        return false;
    (void)dt_host_facts_put(&h->stuck, h->sort, f); /* what is forgotten here is told again */
    return !is_among(h, &h->stuck_before, f);
}

static void change_one(struct dt_host *h, bool set, const void *f, struct dt_host_result *r)
{
    struct dt_err err = {0};
    bool drift = set ? stood_before(h, f) : !h->again && h->sort->foreign(f);
    int rc = h->ops->change(h->user, set, f, &err);
    if (rc < 0 && !h->why.text[0])
        h->why = err;
    if (rc == 0 && set)
        r->set++;
    else if (rc == 0)
        r->removed++;
    h->drifted = h->drifted || drift;
    if (drift && h->ops->mended && (rc == 0 || is_newly_stuck(h, f)))
        h->ops->mended(h->user, set, f, rc < 0 ? &err : NULL);
}

static void change_all(struct dt_host *h, bool set, const struct dt_host_facts *l, struct dt_host_result *r)
{
    for (size_t i = 0; i < l->n; i++)
        change_one(h, set, dt_host_facts_at(l, h->sort, i), r);
}

/* What drifted has been told once. What is missing in the next pass as well may have gone with a change of ours; while somebody
 * is at the host it is theirs, and told. */
static void forget_told(struct dt_host *h)
{
    size_t kept = 0, m = 0;
    for (size_t i = 0; h->drifted && i < h->stood.n; i++) {
        const void *f = dt_host_facts_at(&h->stood, h->sort, i);
        while (m < h->set.n && h->sort->place_cmp(dt_host_facts_at(&h->set, h->sort, m), f) < 0)
            m++;
        if (m < h->set.n && h->sort->place_cmp(dt_host_facts_at(&h->set, h->sort, m), f) == 0)
            continue;
        memmove((char *)h->stood.v + kept++ * h->sort->size, f, h->sort->size);
    }
    h->stood.n = kept;
}

static int read_difference(struct dt_host *h, struct dt_err *err)
{
    h->have.n = 0;
    if (h->unsettled && dt_host_facts_settle(&h->want, h->sort) < 0)
        return dt_err_set(err, 0, "out of memory");
    h->unsettled = false;
    if (h->ops->read(h->user, &h->have, err) < 0)
        return -1;
    if (dt_host_facts_settle(&h->have, h->sort) < 0 ||
        dt_host_diff(h->sort, &h->want, &h->have, &h->set, &h->remove) < 0)
        return dt_err_set(err, 0, "out of memory");
    return 0;
}

/* After the last pass: what is still to be set is what is missing. */
static void host_take_stock(struct dt_host *h)
{
    h->stood.n = h->missing.n = 0;
    size_t m = 0;
    for (size_t i = 0; i < h->want.n; i++) {
        const void *f = dt_host_facts_at(&h->want, h->sort, i);
        bool gone = m < h->set.n && h->sort->place_cmp(dt_host_facts_at(&h->set, h->sort, m), f) == 0;
        m += gone;
        if (dt_host_facts_put(gone ? &h->missing : &h->stood, h->sort, f) < 0)
            return; /* what is forgotten here is found missing next time */
    }
}

static int reconcile(struct dt_host *h, struct dt_host_result *r)
{
    struct dt_err err = {0};
    unsigned done = 0;
    h->why = (struct dt_err){.notify = 0};
    h->drifted = false;
    for (int pass = 0;; pass++) {
        h->unread = read_difference(h, &err) < 0;
        if (h->unread) {
            h->why = err;
            r->why = err;
            return -1;
        }
        if (pass == PASSES || (!h->set.n && !h->remove.n) || (pass && r->set + r->removed == done))
            break;
        done = r->set + r->removed; /* where nothing could be changed, there is nothing to read again */
        h->again = pass > 0;
        /* First what closes and leads in, then what is no longer wanted. */
        change_all(h, true, &h->set, r);
        change_all(h, false, &h->remove, r);
        forget_told(h);
    }
    host_take_stock(h);
    r->missing = (unsigned)h->missing.n;
    r->why = h->why;
    if (h->missing.n)
        r->first = h->missing.v;
    return h->missing.n ? -1 : 0;
}

static bool told_already(const struct dt_host *h, const struct dt_host_result *r)
{
    const void *first = h->told.first.n ? h->told.first.v : NULL;
    return h->told.unread == h->unread && strcmp(h->told.why.text, r->why.text) == 0 && !first == !r->first &&
           (!first || h->sort->place_cmp(first, r->first) == 0);
}

static void note_news(struct dt_host *h, struct dt_host_result *r, bool as_wanted)
{
    if (as_wanted) {
        r->news = h->told.looks ? DT_HOST_OVER : DT_HOST_SAME;
        r->looks = h->told.looks;
        h->told.looks = 0;
        return;
    }
    r->news = !h->told.looks ? DT_HOST_BEGINS : told_already(h, r) ? DT_HOST_SAME : DT_HOST_CHANGES;
    h->told.looks += h->told.looks < UINT_MAX;
    r->looks = h->told.looks;
    h->told.unread = h->unread;
    h->told.why = r->why;
    h->told.first.n = 0;
    if (r->first)
        (void)dt_host_facts_put(&h->told.first, h->sort, r->first);
}

int dt_host_reconcile(struct dt_host *h, struct dt_host_result *result)
{
    struct dt_host_result none, *r = result ? result : &none;
    *r = (struct dt_host_result){.set = 0};
    struct dt_host_facts before = h->stuck_before;
    h->stuck_before = h->stuck;
    h->stuck = before;
    h->stuck.n = 0;
    int rc = reconcile(h, r);
    note_news(h, r, rc == 0);
    return rc;
}

int dt_host_want(struct dt_host *h, struct dt_host_facts *want, struct dt_host_result *result)
{
    dt_host_facts_free(&h->want);
    h->want = *want;
    *want = (struct dt_host_facts){.v = NULL};
    h->unsettled = true;
    return dt_host_reconcile(h, result);
}

const struct dt_host_facts *dt_host_missing_facts(const struct dt_host *h)
{
    return &h->missing;
}

const char *dt_host_missing(const struct dt_host *h, uint32_t owner)
{
    if (h->unread)
        return h->why.text;
    for (size_t i = 0; i < h->missing.n; i++)
        if (h->sort->concerns(dt_host_facts_at(&h->missing, h->sort, i), owner))
            return h->why.text[0] ? h->why.text : "the kernel does not keep what is set";
    return NULL;
}
