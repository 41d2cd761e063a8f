/* The daemon's end: a request, and the answer to it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/client.h"

/* ---- is it there? ---- */

static int keeper_lost(struct dt_keeper *k, const char *why, struct dt_err *err)
{
    shutdown(k->fd, SHUT_RDWR); /* one that only slept finds that out, and ends */
    if (k->why[0] == '\0')
        snprintf(k->why, sizeof(k->why),
                 "%s: this host is not kept any more, and no configuration can be read; restart dovetaild",
                 why);
    return dt_err_set(err, 0, "%s", k->why);
}

int dt_keeper_fd(const struct dt_keeper *k)
{
    return k->fd;
}

const char *dt_keeper_gone(const struct dt_keeper *k)
{
    return k->why[0] != '\0' ? k->why : NULL;
}

/* It says nothing that it was not asked for. */
const char *dt_keeper_look(struct dt_keeper *k)
{
    struct pollfd p = {.fd = k->fd, .events = POLLIN};
    if (k->why[0] == '\0' && poll(&p, 1, 0) > 0)
        keeper_lost(k, "the process with rights (dovetail-keeper) has ended", NULL);
    return dt_keeper_gone(k);
}

/* ---- requests ---- */

/* Whoever watches the descriptor has made it non-blocking. False: not within the patience. */
static bool wait_for(const struct dt_keeper *k, short events)
{
    struct pollfd p = {.fd = k->fd, .events = events};
    int n;
    do
        n = poll(&p, 1, DT_KEEPER_PATIENCE * 1000);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static int send_all(struct dt_keeper *k, const struct keeper_request *r, const int *fds, size_t nfds,
                    struct dt_err *err)
{
    int rc;
    while ((rc = keeper_send(k->fd, r, keeper_request_len(r), fds, nfds)) != 0 && errno == EAGAIN)
        if (!wait_for(k, POLLOUT))
            return keeper_lost(k, "the process with rights (dovetail-keeper) does not answer", err);
    return rc == 0 ? 0 : keeper_lost(k, "the process with rights (dovetail-keeper) has ended", err);
}

static int send_request(struct dt_keeper *k, const struct keeper_request *r, struct dt_err *err)
{
    if (k->why[0] != '\0')
        return dt_err_set(err, 0, "%s", k->why);
    return send_all(k, r, NULL, 0, err);
}

static int read_reply(struct dt_keeper *k, struct keeper_reply *reply, int *fds, size_t *nfds,
                      struct dt_err *err)
{
    if (!wait_for(k, POLLIN))
        return keeper_lost(k, "the process with rights (dovetail-keeper) does not answer", err);
    if (keeper_recv(k->fd, reply, sizeof(*reply), fds, nfds) >= (ssize_t)offsetof(struct keeper_reply, u))
        return 0;
    return keeper_lost(k, "the process with rights (dovetail-keeper) has ended", err);
}

/* The last answer. */
static int keeper_read_answer(struct dt_keeper *k, struct keeper_reply *reply, int *fds, size_t nfds,
                              struct dt_err *err)
{
    size_t got = nfds;
    memset(reply, 0, sizeof(*reply));
    if (read_reply(k, reply, fds, &got, err) != 0)
        return -1;
    if (reply->rc == 0 && got == nfds)
        return 0;
    for (size_t i = 0; fds != NULL && i < got; i++)
        close(fds[i]);
    if (reply->rc == 0)
        return dt_err_set(err, 0, "the process with rights gave %zu descriptors, not %zu", got, nfds);
    if (err != NULL)
        *err = reply->u.err;
    return -1;
}

int keeper_ask(struct dt_keeper *k, const struct keeper_request *r, struct keeper_reply *reply, int *fds,
               size_t nfds, struct dt_err *err)
{
    return send_request(k, r, err) == 0 ? keeper_read_answer(k, reply, fds, nfds, err) : -1;
}

void dt_keeper_dismiss(struct dt_keeper *k)
{
    const struct keeper_request r = {.what = KEEPER_DISMISS};
    struct keeper_reply reply;
    if (k == NULL)
        return;
    keeper_ask(k, &r, &reply, NULL, 0, NULL);
    close(k->fd);
    free(k->config);
    free(k->owner);
    free(k);
}

int dt_keeper_setup(struct dt_keeper *k, const struct dt_keeper_setup *s, char note[DT_ERR_TEXT],
                    struct dt_err *err)
{
    const struct keeper_request r = {.what = KEEPER_SETUP, .u.setup = *s};
    struct keeper_reply reply;
    if (keeper_ask(k, &r, &reply, NULL, 0, err) != 0)
        return -1;
    snprintf(note, DT_ERR_TEXT, "%s", reply.u.err.text);
    return 0;
}

int dt_keeper_device(struct dt_keeper *k, struct dt_tun *tun, int *fd, size_t queues, struct dt_err *err)
{
    const struct keeper_request r = {.what = KEEPER_DEVICE};
    struct keeper_reply reply;
    if (keeper_ask(k, &r, &reply, fd, queues, err) != 0)
        return -1;
    *tun = reply.u.tun;
    return 0;
}

int dt_keeper_keep(struct dt_keeper *k, enum dt_keeper_file file, const void *data, size_t len,
                   struct dt_err *err)
{
    const struct keeper_request r = {.what = KEEPER_KEEP, .n = file};
    struct keeper_reply reply;
    int fd = memfd_create("dovetail", MFD_CLOEXEC), rc = -1;
    if (k->why[0] != '\0')
        dt_err_set(err, 0, "%s", k->why);
    else if (fd < 0 || pwrite(fd, data, len, 0) != (ssize_t)len)
        dt_err_set(err, 0, "no memory: %s", strerror(errno));
    else if (send_all(k, &r, &fd, 1, err) == 0)
        rc = keeper_read_answer(k, &reply, NULL, 0, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

int dt_keeper_keylog(struct dt_keeper *k, struct dt_err *err)
{
    const struct keeper_request r = {.what = KEEPER_KEYLOG};
    struct keeper_reply reply;
    int fd;
    return keeper_ask(k, &r, &reply, &fd, 1, err) == 0 ? fd : -1;
}

int dt_keeper_socket(struct dt_keeper *k, uint8_t ver, bool stream, struct dt_err *err)
{
    const struct keeper_request r = {.what = KEEPER_SOCKET, .u.socket = {.ver = ver, .stream = stream}};
    struct keeper_reply reply;
    int fd;
    return keeper_ask(k, &r, &reply, &fd, 1, err) == 0 ? fd : -1;
}

int dt_keeper_names(struct dt_keeper *k, const struct dt_keeper_names *n, struct dt_err *err)
{
    const struct keeper_request r = {.what = KEEPER_NAMES, .u.names = *n};
    struct keeper_reply reply;
    int fd;
    return keeper_ask(k, &r, &reply, &fd, 1, err) == 0 ? fd : -1;
}

bool dt_keeper_hear(int fd, struct dt_keeper_word *w)
{
    ssize_t n;
    do
        n = recv(fd, w, sizeof(*w), MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n != sizeof(*w))
        *w = (struct dt_keeper_word){.end = true, .rc = -1, .text = "the process that ran it has ended"};
    w->text[sizeof(w->text) - 1] = '\0';
    return true;
}

int dt_keeper_discover_open(struct dt_keeper *k, struct dt_keeper_discover *out, struct dt_err *err)
{
    const struct keeper_request r = {.what = KEEPER_DISCOVER_OPEN};
    struct keeper_reply reply;
    int fds[4];
    if (keeper_ask(k, &r, &reply, fds, 4, err) != 0)
        return -1;
    *out = (struct dt_keeper_discover){.raw4 = fds[0], .raw6 = fds[1], .tap4 = fds[2], .tap6 = fds[3]};
    return 0;
}

void dt_keeper_discover_close(struct dt_keeper *k)
{
    const struct keeper_request r = {.what = KEEPER_DISCOVER_CLOSE};
    struct keeper_reply reply;
    keeper_ask(k, &r, &reply, NULL, 0, NULL);
}

/* ---- the host ---- */

static int send_facts(struct dt_keeper *k, const struct dt_host_facts *want, struct dt_err *err)
{
    struct keeper_request r = {.what = KEEPER_FACTS};
    if (want->n > KEEPER_FACTS_MAX)
        return dt_err_set(err, 0, "%zu addresses and routes are wanted of this host; at most %d are possible",
                          want->n, KEEPER_FACTS_MAX);
    for (size_t i = 0; i < want->n; i += r.n) {
        r.n = (uint32_t)(want->n - i < KEEPER_FACTS_EACH ? want->n - i : KEEPER_FACTS_EACH);
        memcpy(r.u.fact, dt_host_facts_at(want, &dt_host_sort, i), r.n * sizeof(r.u.fact[0]));
        if (send_request(k, &r, err) != 0)
            return -1;
    }
    r.what = KEEPER_WANT;
    r.n = (uint32_t)want->n;
    return send_request(k, &r, err);
}

static void note_owners(struct dt_keeper *k, const struct keeper_reply *reply)
{
    size_t n = reply->n < KEEPER_OWNERS_EACH ? reply->n : KEEPER_OWNERS_EACH;
    if (k->nowner + n > k->owner_cap) {
        size_t cap = 2 * (k->nowner + n);
        uint32_t *v = realloc(k->owner, cap * sizeof(*v));
        if (v == NULL) {
            k->unread = true; /* who is missed is not known: everybody */
            return;
        }
        k->owner = v;
        k->owner_cap = cap;
    }
    memcpy(k->owner + k->nowner, reply->u.owner, n * sizeof(reply->u.owner[0]));
    k->nowner += n;
}

static int owner_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* What was missing before is missing still; the rest stands, as far as is known. */
static int want_failed(struct dt_keeper *k, struct dt_host_result *result, const struct dt_err *err)
{
    bool same = k->unasked > 0 && strcmp(k->unasked_why.text, err->text) == 0;
    enum dt_host_news news = k->unasked == 0 ? DT_HOST_BEGINS : same ? DT_HOST_SAME : DT_HOST_CHANGES;
    k->unasked_why = *err;
    *result = (struct dt_host_result){.why = *err, .news = news, .looks = ++k->unasked};
    return -1;
}

static void want_was_asked(struct dt_keeper *k, struct dt_host_result *result)
{
    if (k->unasked > 0 && result->news == DT_HOST_SAME) {
        result->news = result->missing == 0 && !k->unread ? DT_HOST_OVER : DT_HOST_CHANGES;
        result->looks += k->unasked;
    }
    k->unasked = 0;
}

int dt_keeper_want(struct dt_keeper *k, struct dt_host_facts *want, struct dt_host_result *result,
                   void (*mended)(void *user, bool set, const struct dt_host_fact *f,
                                  const struct dt_err *err),
                   void *user)
{
    struct keeper_reply reply;
    struct dt_err err = {0};
    int rc = send_facts(k, want, &err);
    dt_host_facts_free(want);
    if (rc == 0) {
        k->nowner = 0;
        k->unread = false;
    }
    while (rc == 0) {
        memset(&reply, 0, sizeof(reply));
        if (read_reply(k, &reply, NULL, NULL, &err) != 0)
            break;
        if (reply.answer == KEEPER_MENDED && mended != NULL)
            mended(user, reply.u.mended.set, &reply.u.mended.fact,
                   reply.u.mended.failed ? &reply.u.mended.err : NULL);
        else if (reply.answer == KEEPER_OWNERS)
            note_owners(k, &reply);
        if (reply.answer != KEEPER_DONE)
            continue;
        k->first = reply.u.want.first;
        k->dropped = reply.u.want.dropped;
        *result = (struct dt_host_result){.set = reply.u.want.set,
                                          .removed = reply.u.want.removed,
                                          .missing = reply.u.want.missing,
                                          .first = reply.u.want.missing > 0 ? &k->first : NULL,
                                          .why = reply.u.want.why,
                                          .news = reply.u.want.news,
                                          .looks = reply.u.want.looks};
        k->unread = k->unread || reply.u.want.unread;
        want_was_asked(k, result);
        snprintf(k->missing_why, sizeof(k->missing_why), "%s", result->why.text);
        if (k->nowner > 0)
            qsort(k->owner, k->nowner, sizeof(k->owner[0]), owner_cmp);
        return reply.rc;
    }
    return want_failed(k, result, &err);
}

static bool is_owner(const struct dt_keeper *k, uint32_t owner)
{
    return k->nowner > 0 && bsearch(&owner, k->owner, k->nowner, sizeof(owner), owner_cmp) != NULL;
}

struct dt_host_filter_counters dt_keeper_dropped(const struct dt_keeper *k)
{
    return k->dropped;
}

const char *dt_keeper_missing(const struct dt_keeper *k, uint32_t owner)
{
    if (!k->unread && !is_owner(k, owner) && !is_owner(k, 0))
        return NULL;
    return k->missing_why[0] != '\0' ? k->missing_why : "the kernel does not keep what is set";
}
