/* Lists of facts, and the difference of two.
 *
 * A fact is one thing that is so or is not: an address is there, a device is up, a sysctl has a value. It has a *place* (what
 * it is about: two facts of one place exclude each other) and a *value*. What a fact looks like is its owner's business; here
 * it is so many octets and the functions of its sort. */
#ifndef DT_HOST_FACTS_H
#define DT_HOST_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One sort of facts. All functions are given facts of that sort. */
struct dt_host_sort {
    size_t size; /* of a fact, in octets; it is moved by copying */
    /* Order of places, which is the order in which facts are set; they are taken away in reverse. 0: the same place. */
    int (*place_cmp)(const void *a, const void *b);
    /* Of what is wanted and what the host has in that place: does it serve as it is? */
    bool (*serves)(const void *wanted, const void *had);
    /* Of what the host has and nobody wants: does it stay all the same? */
    bool (*stays)(const void *had);
    /* Of what the host has: somebody else put it there. Its end is told. */
    bool (*foreign)(const void *had);
    /* Of what is wanted: is it owner's concern? The number is the caller's. */
    bool (*concerns)(const void *wanted, uint32_t owner);
};

/* A list of facts of one sort, one behind the other. Zeroed before its first use; dt_host_facts_free gives its memory back. */
struct dt_host_facts {
    void *v; /* n facts */
    size_t n, cap;
};
/* Adds a copy. 0, or -1: no memory. */
int dt_host_facts_put(struct dt_host_facts *l, const struct dt_host_sort *s, const void *f);
void dt_host_facts_free(struct dt_host_facts *l);
const void *dt_host_facts_at(const struct dt_host_facts *l, const struct dt_host_sort *s,
                             size_t i); /* i < n */
/* Sorts; of several for one place the first that was added stays. 0, or -1: no memory, and the list is as it was. */
int dt_host_facts_settle(struct dt_host_facts *l, const struct dt_host_sort *s);
/* In a settled list, the fact of the same place; NULL: there is none. */
const void *dt_host_facts_find(const struct dt_host_facts *l, const struct dt_host_sort *s, const void *f);
/* Of two settled lists: what is to be set (in order), and what is to be taken away (in order). A place whose value
 * changes is set alone: setting replaces. 0, or -1: no memory. */
int dt_host_diff(const struct dt_host_sort *s, const struct dt_host_facts *want,
                 const struct dt_host_facts *have, struct dt_host_facts *set, struct dt_host_facts *remove);

#endif
