/* A chained hash table of intrusive nodes that grows by doubling. The caller hashes (with dt_siphash where a
 * peer chooses the key) and compares; the table owns only its bucket array. Single thread. */
#ifndef DT_BASE_TABLE_H
#define DT_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct dt_table_node {
    struct dt_table_node *next;
    uint64_t hash;
};

struct dt_table {
    struct dt_table_node **bucket;
    size_t nbucket; /* a power of two, or 0 before the first insert */
    size_t count;
};

void dt_table_init(struct dt_table *t);
void dt_table_free(struct dt_table *t); /* the bucket array only */
/* 0, or -1 when memory is out (the table is unchanged). */
int dt_table_insert(struct dt_table *t, struct dt_table_node *n, uint64_t hash);
void dt_table_remove(struct dt_table *t, struct dt_table_node *n);
/* First node with that hash, then the next one after it; compare the key yourself. */
static inline struct dt_table_node *dt_table_first(const struct dt_table *t, uint64_t hash)
{
    struct dt_table_node *n = t->nbucket ? t->bucket[hash & (t->nbucket - 1)] : NULL;
    while (n && n->hash != hash)
        n = n->next;
    return n;
}

static inline struct dt_table_node *dt_table_next(const struct dt_table_node *from)
{
    struct dt_table_node *n = from->next;
    while (n && n->hash != from->hash)
        n = n->next;
    return n;
}
/* Every node, in no order; removing the node that was given last is allowed, nothing else. */
struct dt_table_iter {
    size_t bucket;
    struct dt_table_node *next;
};
struct dt_table_node *dt_table_iterate(const struct dt_table *t,
                                       struct dt_table_iter *it); /* it: start from {0} */

#endif
