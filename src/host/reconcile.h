/* Want, have, difference: a part of the host that is to be as somebody wants it.
 *
 * Nothing that was put into the kernel is remembered as done: whoever administers the host, another daemon, or a link that
 * goes down may take it away. So the owner states the whole of what it wants, as facts, and dt_host_reconcile reads what
 * there is, applies the difference, and reads again. It does so at start, after each change of what is wanted, at news from
 * the kernel, and on a slow timer.
 *
 *   want    the facts that the owner asks for
 *   have    the facts that the kernel has, as far as they are the owner's to say
 *
 * What the facts are: host/host.h for dovetaild, natd/facts.h for dovetail-natd.
 *
 * Everything belongs to one thread. Nothing here blocks longer than the ops do. */
#ifndef DT_HOST_RECONCILE_H
#define DT_HOST_RECONCILE_H

#include "base/err.h"
#include "host/facts.h"

/* The host itself. */
struct dt_host_ops {
    /* Fills *have (empty before) with what is the owner's to say. -1 with *err: nothing is known. */
    int (*read)(void *user, struct dt_host_facts *have, struct dt_err *err);
    /* One fact set, or taken away. -1 with *err. */
    int (*change)(void *user, bool set, const void *fact, struct dt_err *err);
    /* A fact that stood and was found missing, or that stood in our place and is foreign: it has been mended (err NULL), or
     * could not be, which is told once. May be NULL. */
    void (*mended)(void *user, bool set, const void *fact, const struct dt_err *err);
};

/* What there is to say of a host that is not as wanted: once when that begins, once when its reason changes (the first that is
 * missing, why, or that the host cannot be read), once when it is over. */
enum dt_host_news { DT_HOST_SAME, DT_HOST_BEGINS, DT_HOST_CHANGES, DT_HOST_OVER };

struct dt_host_result {
    unsigned set, removed; /* changes that were made */
    unsigned missing;      /* facts that are wanted and not there after all */
    const void *first;     /* the first of these; NULL when there are none. Valid until the next call */
    struct dt_err why;     /* the first refusal */
    enum dt_host_news news;
    unsigned
        looks; /* that found it not as wanted, one after the other, this one too; DT_HOST_OVER: that were */
};

struct dt_host;
/* All three are borrowed. NULL: no memory. */
struct dt_host *dt_host_new(const struct dt_host_sort *sort, const struct dt_host_ops *ops, void *user);
void dt_host_free(struct dt_host *h); /* NULL is fine; leaves the host as it is */
/* Takes *want over (it is empty afterwards) as what is wanted from now on, and reconciles. 0: the host is as wanted, or
 * -1: something is missing or could not be read; *result (may be NULL) says what. */
int dt_host_want(struct dt_host *h, struct dt_host_facts *want, struct dt_host_result *result);
/* The same again with what is wanted already. */
int dt_host_reconcile(struct dt_host *h, struct dt_host_result *result);
/* Why a fact that is of this owner's concern is missing; NULL: none is. Valid until the next call. */
const char *dt_host_missing(const struct dt_host *h, uint32_t owner);
/* All that is missing, settled. When the host could not be read: as it was found before that. Valid until the next call. */
const struct dt_host_facts *dt_host_missing_facts(const struct dt_host *h);

#endif
