#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

/* All of it; a file that grows meanwhile is read to where it ended at first. */
static int read_whole(int fd, size_t size, struct dt_block_text *out)
{
    ssize_t n = 1;
    out->text = malloc(size + 1);
    if (out->text == NULL)
        return -1;
    while (out->len < size && (n = read(fd, out->text + out->len, size - out->len)) > 0)
        out->len += (size_t)n;
    return n < 0 ? -1 : 0;
}

/* What is no file, such as a pipe, is read as it comes. */
static int read_stream(int fd, struct dt_block_text *out)
{
    size_t cap = 0;
    for (ssize_t n = 1; n > 0 && out->len <= DT_CONFIG_TEXT_MAX; out->len += (size_t)n) {
        if (out->len == cap) {
            cap = cap ? cap * 2 : 65536;
            char *more = malloc(cap);
            if (more == NULL)
                return -1;
            if (out->text != NULL) {
                memcpy(more, out->text, out->len);
                dt_wipe(out->text, out->len); /* it may hold secrets */
            }
            free(out->text);
            out->text = more;
        }
        n = read(fd, out->text + out->len, cap - out->len);
        if (n < 0)
            return -1;
    }
    return 0;
}

int dt_config_text_read(struct dt_block_text *out, const char *file, struct dt_err *err)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC), rc = -1;
    *out = (struct dt_block_text){.file = strdup(file), .id = realpath(file, NULL)};
    if (fd >= 0 && fstat(fd, &st) == 0) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : ENOMEM;
        if (S_ISREG(st.st_mode) && st.st_size > (off_t)DT_CONFIG_TEXT_MAX)
            out->len = DT_CONFIG_TEXT_MAX + 1;
        else if (!S_ISDIR(st.st_mode))
            rc = S_ISREG(st.st_mode) && st.st_size > 0 ? read_whole(fd, (size_t)st.st_size, out)
                                                       : read_stream(fd, out);
    }
    if (out->len > DT_CONFIG_TEXT_MAX)
        rc = dt_err_set(err, 0, "is longer than the 64 MiB that are read");
    else if (rc != 0 || out->file == NULL)
        rc = dt_err_set(err, 0, "cannot be read: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

void dt_config_text_free(struct dt_block_text *t)
{
    if (t->text != NULL)
        dt_wipe(t->text, t->len < DT_CONFIG_TEXT_MAX ? t->len : 0);
    free(t->text);
    free(t->file);
    free(t->id);
}

static void include_close(void *user, struct dt_block_text *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dt_config_text_free(&list[i]);
    free(list);
}

static bool regular(const char *path)
{
    struct stat st;
    return stat(path, &st) != 0 || !S_ISDIR(st.st_mode);
}

static int include_open(void *user, const char *from, const char *pattern, struct dt_block_text **list,
                        size_t *n, struct dt_err *err)
{
    const char *slash = strrchr(from, '/');
    bool many = strpbrk(pattern, "*?[") != NULL;
    char path[4096];
    glob_t g = {0};
    int dir = pattern[0] == '/' || slash == NULL ? 0 : (int)(slash - from) + 1;
    *list = NULL;
    *n = 0;
    if ((size_t)snprintf(path, sizeof(path), "%.*s%s", dir, from, pattern) >= sizeof(path))
        return dt_err_set(err, 0, "include: the path is longer than %zu bytes", sizeof(path) - 1);
    int rc = glob(path, many ? 0 : GLOB_NOCHECK | GLOB_NOESCAPE, NULL, &g);
    if (rc == GLOB_NOMATCH)
        return 0;
    if (rc != 0)
        return dt_err_set(err, 0, "include: %.200s: the folder cannot be read", path);
    *list = calloc(g.gl_pathc, sizeof(**list));
    rc = *list != NULL ? 0 : dt_err_set(err, 0, "out of memory");
    for (size_t i = 0; i < g.gl_pathc && rc == 0; i++) {
        struct dt_err why = {0};
        if (many && !regular(g.gl_pathv[i]))
            continue;
        rc = dt_config_text_read(&(*list)[(*n)++], g.gl_pathv[i], &why);
        if (rc != 0)
            dt_err_set(err, 0, "include: %.200s %s", g.gl_pathv[i], why.text);
    }
    globfree(&g);
    if (rc == 0)
        return 0;
    include_close(user, *list, *n);
    *list = NULL;
    *n = 0;
    return -1;
}

const struct dt_block_includer dt_config_includer = {.open = include_open, .close = include_close};

int dt_config_file_read(struct dt_block_file *out, const char *file, struct dt_err *err)
{
    struct dt_block_text text;
    struct dt_err why = {0};
    *out = (struct dt_block_file){0};
    int rc = dt_config_text_read(&text, file, &why);
    rc = rc == 0 ? dt_block_parse(out, &text, &dt_config_includer, err)
                 : dt_err_set(err, 0, "%s: %s", file, why.text);
    dt_config_text_free(&text);
    return rc;
}
