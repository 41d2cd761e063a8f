/* The name that somebody probably meant. */
#ifndef DT_BASE_SUGGEST_H
#define DT_BASE_SUGGEST_H

#include <stddef.h>

/* How many letters must be put in, left out, changed or swapped with their neighbour to make a of b. */
size_t dt_edit_distance(const char *a, const char *b);

/* The nearest of n names, or NULL when none is near (more than a third of its letters would change). */
const char *dt_suggest(const char *word, const char *const *names, size_t n);

#endif
