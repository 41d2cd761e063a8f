#include "base/suggest.h"

#include <string.h>

#define WORD_MAX 64 /* longer words are compared by their first letters */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t dt_edit_distance(const char *a, const char *b)
{
    size_t la = least(strlen(a), WORD_MAX), lb = least(strlen(b), WORD_MAX);
    size_t row[3][WORD_MAX + 1]; /* optimal string alignment: two rows back for swapped neighbours */
    size_t *before = row[0], *last = row[1], *cur = row[2];
    for (size_t j = 0; j <= lb; j++)
        last[j] = j;
    for (size_t i = 1; i <= la; i++) {
        cur[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = last[j - 1] + (a[i - 1] != b[j - 1]);
            cur[j] = least(change, least(last[j], cur[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cur[j] = least(cur[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = cur;
        cur = free_row;
    }
    return last[lb];
}

const char *dt_suggest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_distance = 0;
    for (size_t i = 0; i < n; i++) {
        size_t d = dt_edit_distance(word, names[i]);
        if (d * 3 <= strlen(names[i]) + 1 && (best == NULL || d < best_distance)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
