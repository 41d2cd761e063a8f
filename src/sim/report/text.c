#include "sim/report/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void sim_text_free(struct sim_text *t)
{
    free(t->p);
    *t = (struct sim_text){0};
}

static bool text_room(struct sim_text *t, size_t more)
{
    if (t->failed)
        return false;
    if (t->len + more + 1 <= t->cap)
        return true;
    size_t cap = t->cap ? t->cap * 2 : 4096;
    while (cap < t->len + more + 1)
        cap *= 2;
    char *p = realloc(t->p, cap);
    if (!p) {
        t->failed = true;
        return false;
    }
    t->p = p;
    t->cap = cap;
    return true;
}

void sim_text_add(struct sim_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !text_room(t, (size_t)n))
        return;
    va_start(ap, fmt);
    vsnprintf(t->p + t->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->len += (size_t)n;
}

static void text_put(struct sim_text *t, const char *s, size_t n)
{
    if (!text_room(t, n))
        return;
    memcpy(t->p + t->len, s, n);
    t->len += n;
    t->p[t->len] = 0;
}

void sim_text_put(struct sim_text *t, const char *s)
{
    text_put(t, s, strlen(s));
}

void sim_text_escape(struct sim_text *t, const char *s)
{
    for (; *s; s++) {
        const char *as = *s == '&'   ? "&amp;"
                         : *s == '<' ? "&lt;"
                         : *s == '>' ? "&gt;"
                         : *s == '"' ? "&quot;"
                                     : NULL;
        if (as)
            sim_text_put(t, as);
        else
            text_put(t, s, 1);
    }
}

void sim_text_json(struct sim_text *t, const char *s)
{
    text_put(t, "\"", 1);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            sim_text_add(t, "\\%c", *s);
        else if ((unsigned char)*s < 32)
            sim_text_add(t, "\\u%04x", (unsigned char)*s);
        else
            text_put(t, s, 1);
    }
    text_put(t, "\"", 1);
}

static int text_write_all(const struct sim_text *t, int fd, size_t *done)
{
    while (*done < t->len) {
        ssize_t w = write(fd, t->p + *done, t->len - *done);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return w ? errno : EIO;
        *done += (size_t)w;
    }
    return fsync(fd) && errno != EINVAL && errno != EROFS ? errno : 0;
}

int sim_text_write(const struct sim_text *t, const char *path, struct dt_err *err)
{
    if (t->failed)
        return dt_err_set(err, 0, "%s is not written: memory ran out while the report was made", path);
    struct stat st;
    bool special = !stat(path, &st) && !S_ISREG(st.st_mode); /* a device or a pipe must not be renamed over */
    size_t n = strlen(path) + 16, done = 0;
    char *temp = malloc(n);
    if (!temp)
        return dt_err_set(err, 0, "%s is not written: memory ran out", path);
    snprintf(temp, n, special ? "%s" : "%s.XXXXXX", path);
    int fd = special ? open(path, O_WRONLY | O_CLOEXEC) : mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        dt_err_set(err, 0, "%s cannot be written: %s", path, strerror(errno));
        free(temp);
        return -1;
    }
    int bad = text_write_all(t, fd, &done);
    if (!special && !bad && fchmod(fd, 0644))
        bad = errno;
    if (close(fd) && !bad)
        bad = errno;
    if (!special && !bad && rename(temp, path))
        bad = errno;
    if (bad) {
        if (!special)
            unlink(temp);
        dt_err_set(err, 0, "%s is not written: %s (%zu of %zu bytes fitted; nothing is left behind)", path,
                   strerror(bad), done, t->len);
    }
    free(temp);
    return bad ? -1 : 0;
}

char *sim_span(char out[SIM_SPAN_LEN], dt_time t)
{
    if (t == DT_NEVER)
        snprintf(out, SIM_SPAN_LEN, "never");
    else if (t < DT_SEC)
        snprintf(out, SIM_SPAN_LEN, "%.0f ms", (double)t / 1e6);
    else if (t < 60 * DT_SEC)
        snprintf(out, SIM_SPAN_LEN, "%.1f s", (double)t / 1e9);
    else if (t < 3600 * DT_SEC)
        snprintf(out, SIM_SPAN_LEN, "%llu min %llu s", (unsigned long long)(t / DT_SEC / 60),
                 (unsigned long long)(t / DT_SEC % 60));
    else
        snprintf(out, SIM_SPAN_LEN, "%llu h %llu min", (unsigned long long)(t / DT_SEC / 3600),
                 (unsigned long long)(t / DT_SEC / 60 % 60));
    return out;
}
