#include "base/table.h"

#include <stdlib.h>

void dt_table_init(struct dt_table *t)
{
    *t = (struct dt_table){0};
}

void dt_table_free(struct dt_table *t)
{
    free(t->bucket);
    dt_table_init(t);
}

static int table_grow(struct dt_table *t)
{
    size_t n = t->nbucket ? t->nbucket * 2 : 16;
    struct dt_table_node **bucket = calloc(n, sizeof(struct dt_table_node *));
    if (!bucket)
        return t->nbucket ? 0 : -1; /* a full table is slow, not broken */
    for (size_t i = 0; i < t->nbucket; i++)
        for (struct dt_table_node *at = t->bucket[i], *next; at; at = next) {
            next = at->next;
            at->next = bucket[at->hash & (n - 1)];
            bucket[at->hash & (n - 1)] = at;
        }
    free(t->bucket);
    t->bucket = bucket;
    t->nbucket = n;
    return 0;
}

int dt_table_insert(struct dt_table *t, struct dt_table_node *n, uint64_t hash)
{
    if (t->count >= t->nbucket && table_grow(t))
        return -1;
    struct dt_table_node **head = &t->bucket[hash & (t->nbucket - 1)];
    n->hash = hash;
    n->next = *head;
    *head = n;
    t->count++;
    return 0;
}

void dt_table_remove(struct dt_table *t, struct dt_table_node *n)
{
    if (!t->nbucket)
        return;
    for (struct dt_table_node **at = &t->bucket[n->hash & (t->nbucket - 1)]; *at; at = &(*at)->next)
        if (*at == n) {
            *at = n->next;
            n->next = NULL;
            t->count--;
            return;
        }
}

struct dt_table_node *dt_table_iterate(const struct dt_table *t, struct dt_table_iter *it)
{
    while (!it->next && it->bucket < t->nbucket)
        it->next = t->bucket[it->bucket++];
    struct dt_table_node *n = it->next;
    if (n)
        it->next = n->next;
    return n;
}
