/* Reads the files of published test vectors in test/support/vectors: records of `name = value` lines between blank lines,
 * '#' starts a comment line. Any mistake in a file fails the test that reads it. */
#ifndef DT_TEST_SUPPORT_VECTORS_H
#define DT_TEST_SUPPORT_VECTORS_H

#include "support/test.h"

#include "base/bytes.h"

#define VECTOR_FIELDS 16

struct vectors {
    FILE *file;
    const char *name;
    int line;    /* of the file, so far */
    int records; /* read so far */
    int n;       /* fields of the record read last */
    struct {
        char *name;
        char *value;
    } field[VECTOR_FIELDS];
};

static inline void vectors_open(struct vectors *v, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", DT_VECTOR_DIR, name);
    *v = (struct vectors){.name = name, .file = fopen(path, "r")};
    if (!v->file)
        fail_msg("cannot read %s", path);
}

static inline void vectors_forget(struct vectors *v)
{
    while (v->n > 0)
        free(v->field[--v->n].name); /* the value lies behind it in the same block */
}

/* The next record into v; false at the end of the file, which is then closed. */
static inline bool vectors_next(struct vectors *v)
{
    static char buf[16384];
    vectors_forget(v);
    while (fgets(buf, sizeof buf, v->file)) {
        v->line++;
        size_t len = strcspn(buf, "\n");
        if (buf[len] != '\n')
            fail_msg("%s:%d: line too long", v->name, v->line);
        buf[len] = '\0';
        if (buf[0] == '#')
            continue;
        if (!len) {
            if (v->n)
                break;
            continue;
        }
        char *eq = strstr(buf, " =");
        if (!eq || v->n == VECTOR_FIELDS)
            fail_msg("%s:%d: not a field, or too many", v->name, v->line);
        *eq = '\0';
        char *value = eq + 2 + (eq[2] == ' ');
        v->field[v->n].name = malloc(len + 2);
        memcpy(v->field[v->n].name, buf, len + 1);
        v->field[v->n].value = v->field[v->n].name + (value - buf);
        v->n++;
    }
    if (v->n) {
        v->records++;
        return true;
    }
    fclose(v->file);
    v->file = NULL;
    return false;
}

/* NULL when the record has no such field. */
static inline const char *vector_text(const struct vectors *v, const char *name)
{
    for (int i = 0; i < v->n; i++) {
        if (!strcmp(v->field[i].name, name))
            return v->field[i].value;
    }
    return NULL;
}

static inline long vector_number(const struct vectors *v, const char *name)
{
    const char *t = vector_text(v, name);
    if (!t)
        fail_msg("%s:%d: no field %s", v->name, v->line, name);
    return strtol(t, NULL, 10);
}

static inline size_t vector_bytes(const struct vectors *v, const char *name, void *out, size_t cap)
{
    const char *t = vector_text(v, name);
    long n = t ? dt_unhex(out, cap, t) : -1;
    if (n < 0)
        fail_msg("%s:%d: field %s is missing, no hex, or longer than %zu bytes", v->name, v->line, name, cap);
    return (size_t)n;
}

/* Where a failed check stands, for the log. */
#define VECTOR_CHECK(v, what, cond)                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            fail_msg("%s: record that ends at line %d: %s: %s", (v)->name, (v)->line, what, #cond);          \
    } while (0)

#endif
