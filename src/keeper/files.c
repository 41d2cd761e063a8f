/* The child that reads the configuration for a daemon that may not: it finds out which files the configuration names, and gives
 * descriptors of these. It reads no secret file, and nothing of what it reads stays behind: the process ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/grow.h"
#include "config/file.h"
#include "keeper/message.h"

#define GRANTS_MAX 262144 /* files and patterns of one configuration */

struct grant {
    uint32_t what;
    char *path;
};

struct grants {
    struct grant *v;
    size_t n, cap;
};

static void grant_add(struct grants *g, uint32_t what, const char *path)
{
    if (g->n == GRANTS_MAX || dt_grow(g->v, g->cap, g->n, 64) != 0)
        return; /* what is not granted is not read: a complaint, and no configuration */
    char *copy = strdup(path);
    if (copy != NULL)
        g->v[g->n++] = (struct grant){.what = what, .path = copy};
}

static int grant_cmp(const void *a, const void *b)
{
    const struct grant *x = a, *y = b;
    return x->what != y->what ? (x->what < y->what ? -1 : 1) : strcmp(x->path, y->path);
}

/* ---- what the configuration names ---- */

static int noting_open(void *user, const char *path, bool secret)
{
    grant_add(user, KEEPER_FILE_TEXT, path);
    return dt_config_disk.open(NULL, path, secret);
}

static int noting_match(void *user, const char *pattern, struct dt_config_paths *out)
{
    grant_add(user, KEEPER_FILE_MATCH, pattern);
    return dt_config_disk.match(NULL, pattern, out);
}

static void note_named(void *user, const char *path, bool secret)
{
    grant_add(user, secret ? KEEPER_FILE_SECRET : KEEPER_FILE_TEXT, path);
}

/* A file that is not as it should be names what it names as far as it was read: the daemon finds the same fault. */
static void find_out(struct grants *g, const char *config)
{
    struct dt_config_opener noting = {.open = noting_open, .match = noting_match, .user = g};
    struct dt_block_file file;
    dt_config_file_read(&file, config, &noting, NULL);
    dt_config_named_files(&file, note_named, g);
    dt_block_file_free(&file);
    if (g->n > 0)
        qsort(g->v, g->n, sizeof(g->v[0]), grant_cmp);
}

static bool is_granted(const struct grants *g, const struct keeper_file_request *r)
{
    struct grant key = {.what = r->what, .path = (char *)(uintptr_t)r->path};
    return g->n > 0 && bsearch(&key, g->v, g->n, sizeof(g->v[0]), grant_cmp) != NULL;
}

/* ---- answers ---- */

static int give_paths(int fd, const char *pattern)
{
    struct dt_config_paths list = {.n = 0};
    struct keeper_file_reply reply = {.error = 0};
    if (dt_config_disk.match(NULL, pattern, &list) != 0)
        reply.error = errno;
    reply.n = (uint32_t)list.n;
    int rc = keeper_send(fd, &reply, sizeof(reply), NULL, 0);
    for (size_t i = 0; i < list.n && rc == 0; i++)
        rc = keeper_send(fd, list.v[i], strlen(list.v[i]) + 1, NULL, 0);
    dt_config_paths_free(&list);
    return rc;
}

static int give_file(int fd, const struct keeper_file_request *r)
{
    struct keeper_file_reply reply = {.error = 0};
    int file = dt_config_disk.open(NULL, r->path, r->what == KEEPER_FILE_SECRET);
    if (file < 0)
        reply.error = errno;
    int rc = keeper_send(fd, &reply, sizeof(reply), &file, file >= 0);
    if (file >= 0)
        close(file);
    return rc;
}

void keeper_files_serve(int fd, const char *config)
{
    struct grants g = {.n = 0};
    struct keeper_file_request r;
    find_out(&g, config);
    for (;;) {
        ssize_t n = keeper_recv(fd, &r, sizeof(r), NULL, NULL);
        if (n <= 0 || !keeper_file_request_ok(&r, (size_t)n))
            break;
        const struct keeper_file_reply refused = {.error = EACCES};
        int rc = !is_granted(&g, &r)           ? keeper_send(fd, &refused, sizeof(refused), NULL, 0)
                 : r.what == KEEPER_FILE_MATCH ? give_paths(fd, r.path)
                                               : give_file(fd, &r);
        if (rc != 0)
            break;
    }
    for (size_t i = 0; i < g.n; i++)
        free(g.v[i].path);
    free(g.v);
}
