#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

/* All of it; a file that grows meanwhile is read to where it ended at first. */
static int fd_read_whole(int fd, size_t size, struct dt_block_text *out)
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

/* One file has one number, whatever it is called. */
static char *file_id(const struct stat *st)
{
    char *id = NULL;
    return asprintf(&id, "%llx:%llx", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino) < 0
               ? NULL
               : id;
}

int dt_config_text_read(struct dt_block_text *out, const char *file, const struct dt_config_opener *opener,
                        struct dt_err *err)
{
    struct stat st;
    int fd = opener->open(opener->user, file, false), rc = -1;
    *out = (struct dt_block_text){.file = strdup(file)};
    if (fd >= 0 && fstat(fd, &st) == 0) {
        out->id = file_id(&st);
        errno = S_ISDIR(st.st_mode) ? EISDIR : ENOMEM;
        if (S_ISREG(st.st_mode) && st.st_size > (off_t)DT_CONFIG_TEXT_MAX)
            out->len = DT_CONFIG_TEXT_MAX + 1;
        else if (!S_ISDIR(st.st_mode))
            rc = S_ISREG(st.st_mode) && st.st_size > 0 ? fd_read_whole(fd, (size_t)st.st_size, out)
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

/* ---- this process's own files ---- */

static int disk_open(void *user, const char *path, bool secret)
{
    return open(path, O_RDONLY | O_CLOEXEC | (secret ? O_NONBLOCK | O_NOFOLLOW : 0));
}

static bool folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int disk_match(void *user, const char *pattern, struct dt_config_paths *out)
{
    glob_t g = {0};
    int rc = glob(pattern, 0, NULL, &g);
    *out = (struct dt_config_paths){.n = 0};
    if (rc == GLOB_NOMATCH)
        return 0;
    if (rc != 0) {
        errno = rc == GLOB_NOSPACE ? ENOMEM : EACCES;
        return -1;
    }
    out->v = calloc(g.gl_pathc, sizeof(*out->v));
    for (size_t i = 0; i < g.gl_pathc && out->v != NULL; i++)
        if (!folder(g.gl_pathv[i]) && (out->v[out->n] = strdup(g.gl_pathv[i])) != NULL)
            out->n++;
    globfree(&g);
    errno = ENOMEM;
    return out->v != NULL ? 0 : -1;
}

const struct dt_config_opener dt_config_disk = {.open = disk_open, .match = disk_match};

void dt_config_paths_free(struct dt_config_paths *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (struct dt_config_paths){.n = 0};
}

/* ---- includes ---- */

static int include_open(void *user, const char *from, const char *pattern, struct dt_block_text **list,
                        size_t *n, struct dt_err *err)
{
    const struct dt_config_opener *opener = user;
    const char *slash = strrchr(from, '/');
    bool many = strpbrk(pattern, "*?[") != NULL;
    char path[4096], *one = path;
    struct dt_config_paths named = {.v = &one, .n = 1}, found = {.n = 0};
    int dir = pattern[0] == '/' || slash == NULL ? 0 : (int)(slash - from) + 1;
    *list = NULL;
    *n = 0;
    if ((size_t)snprintf(path, sizeof(path), "%.*s%s", dir, from, pattern) >= sizeof(path))
        return dt_err_set(err, 0, "include: the path is longer than %zu bytes", sizeof(path) - 1);
    if (many && opener->match(opener->user, path, &found) != 0)
        return dt_err_set(err, 0, "include: %.200s: the folder cannot be read", path);
    const struct dt_config_paths *all = many ? &found : &named;
    *list = calloc(all->n + 1, sizeof(**list));
    int rc = *list != NULL ? 0 : dt_err_set(err, 0, "out of memory");
    for (size_t i = 0; i < all->n && rc == 0; i++) {
        struct dt_err why = {0};
        rc = dt_config_text_read(&(*list)[(*n)++], all->v[i], opener, &why);
        if (rc != 0)
            dt_err_set(err, 0, "include: %.200s %s", all->v[i], why.text);
    }
    dt_config_paths_free(&found);
    if (rc == 0)
        return 0;
    include_close(user, *list, *n);
    *list = NULL;
    *n = 0;
    return -1;
}

struct dt_block_includer dt_config_includer(const struct dt_config_opener *opener)
{
    return (struct dt_block_includer){
        .open = include_open, .close = include_close, .user = (void *)(uintptr_t)opener};
}

int dt_config_file_read(struct dt_block_file *out, const char *file, const struct dt_config_opener *opener,
                        struct dt_err *err)
{
    struct dt_block_text text;
    struct dt_err why = {0};
    const struct dt_block_includer includer = dt_config_includer(opener);
    *out = (struct dt_block_file){0};
    int rc = dt_config_text_read(&text, file, opener, &why);
    rc = rc == 0 ? dt_block_parse(out, &text, &includer, err) : dt_err_set(err, 0, "%s: %s", file, why.text);
    dt_config_text_free(&text);
    return rc;
}

void dt_config_named_files(const struct dt_block_file *f,
                           void (*each)(void *user, const char *path, bool secret), void *user)
{
    static const char prefix[] = "file:";
    static const struct {
        const char *key;
        bool secret;
    } keys[] = {{"psk", true},          {"secrets", true}, {"private_key", true},
                {"certificate", false}, {"ca", false},     {"crl_file", false}};
    for (size_t i = 0; i < f->nsettings; i++) {
        const struct dt_setting *s = &f->settings[i];
        for (size_t k = 0; k < DT_ARRAY_LEN(keys); k++)
            for (size_t v = 0; strcmp(s->key, keys[k].key) == 0 && v < s->n; v++)
                if (strncmp(f->values[s->value + v], prefix, sizeof(prefix) - 1) == 0)
                    each(user, f->values[s->value + v] + sizeof(prefix) - 1, keys[k].secret);
    }
}
