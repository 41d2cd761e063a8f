/* The daemon's end: a configuration, read through descriptors of the keeper's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "config/file.h"
#include "keeper/client.h"

#define MATCHES_MAX 65536

struct files {
    int fd; /* of the reader */
};

static int send_path(const struct files *x, uint32_t what, const char *path)
{
    struct keeper_file_request r = {.what = what};
    size_t n = strlen(path);
    if (n >= sizeof(r.path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(r.path, path, n + 1);
    return keeper_send(x->fd, &r, offsetof(struct keeper_file_request, path) + n + 1, NULL, 0);
}

static int load_read_answer(const struct files *x, struct keeper_file_reply *reply, int *fd, size_t *nfds)
{
    ssize_t n = keeper_recv(x->fd, reply, sizeof(*reply), fd, nfds);
    if (n == (ssize_t)sizeof(*reply))
        return 0;
    errno = n < 0 ? errno : EPIPE;
    return -1;
}

static int files_open(void *user, const char *path, bool secret)
{
    const struct files *x = user;
    struct keeper_file_reply reply;
    size_t nfds = 1;
    int fd = -1;
    if (send_path(x, secret ? KEEPER_FILE_SECRET : KEEPER_FILE_TEXT, path) != 0 ||
        load_read_answer(x, &reply, &fd, &nfds) != 0)
        return -1;
    errno = reply.error;
    return nfds == 1 ? fd : -1;
}

static int files_match(void *user, const char *pattern, struct dt_config_paths *out)
{
    const struct files *x = user;
    struct keeper_file_reply reply;
    char path[KEEPER_PATH_MAX];
    *out = (struct dt_config_paths){.n = 0};
    if (send_path(x, KEEPER_FILE_MATCH, pattern) != 0 || load_read_answer(x, &reply, NULL, NULL) != 0)
        return -1;
    errno = reply.error != 0 ? reply.error : ENOMEM;
    out->v = reply.error == 0 && reply.n <= MATCHES_MAX ? calloc(reply.n + 1, sizeof(*out->v)) : NULL;
    if (out->v == NULL)
        return -1;
    while (out->n < reply.n) {
        ssize_t n = keeper_recv(x->fd, path, sizeof(path), NULL, NULL);
        if (n <= 0 || path[n - 1] != '\0' || (out->v[out->n] = strdup(path)) == NULL) {
            dt_config_paths_free(out);
            errno = EPIPE;
            return -1;
        }
        out->n++;
    }
    return 0;
}

int dt_keeper_load(struct dt_keeper *k, struct dt_config *out)
{
    const struct keeper_request r = {.what = KEEPER_LOAD};
    struct keeper_reply reply;
    struct dt_err err = {0};
    struct files x = {.fd = -1};
    struct dt_config_opener opener = {.open = files_open, .match = files_match, .user = &x};
    struct timeval patience = {.tv_sec = DT_KEEPER_PATIENCE};
    if (keeper_ask(k, &r, &reply, &x.fd, 1, &err) != 0)
        return dt_config_unread(out, k->config, err.text);
    setsockopt(x.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    int rc = dt_config_load_with(out, k->config, &opener);
    close(x.fd);
    return rc;
}
