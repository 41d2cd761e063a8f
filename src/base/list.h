/* An intrusive doubly linked ring. */
#ifndef DT_BASE_LIST_H
#define DT_BASE_LIST_H

#include <stdbool.h>

#include "base/bytes.h"

struct dt_list {
    struct dt_list *prev, *next;
};

static inline void dt_list_init(struct dt_list *l)
{
    l->prev = l->next = l;
}

static inline bool dt_list_empty(const struct dt_list *l)
{
    return l->next == l;
}

static inline void dt_list_add_tail(struct dt_list *head, struct dt_list *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

/* Unlinks n and leaves it an empty ring, so that a second del is harmless. */
static inline void dt_list_del(struct dt_list *n)
{
    /* The analyzer takes the next element of dt_list_for_each_safe for the one that was freed. */
    n->prev->next = n->next; /* NOLINT(clang-analyzer-unix.Malloc) */
    n->next->prev = n->prev;
    dt_list_init(n);
}

/* pos is a name that the loop declares: it cannot stand in parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define dt_list_for_each(pos, head) for (struct dt_list *pos = (head)->next; pos != (head); pos = pos->next)
/* The body may unlink pos. */
#define dt_list_for_each_safe(pos, head)                                                                     \
    for (struct dt_list *pos = (head)->next, *pos##_next = pos->next; pos != (head);                         \
         pos = pos##_next, pos##_next = pos->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
