/* Messages: whole and plausible, or not at all. */
#include "keeper/message.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union fd_room {
    struct cmsghdr align;
    char room[CMSG_SPACE(KEEPER_FDS_MAX * sizeof(int))];
};

int keeper_send(int fd, const void *msg, size_t len, const int *fds, size_t nfds)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    union fd_room control;
    memset(&control, 0, sizeof(control));
    if (nfds > 0) {
        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len ? 0 : -1;
}

/* Takes what came beside a message; what there is no room for is closed. */
static void take_descriptors(struct msghdr *m, int *fds, size_t *nfds)
{
    size_t room = nfds != NULL ? *nfds : 0, got = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (got < room)
                fds[got++] = fd;
            else
                close(fd);
        }
    }
    if (nfds != NULL)
        *nfds = got;
}

ssize_t keeper_recv(int fd, void *msg, size_t cap, int *fds, size_t *nfds)
{
    struct iovec iov = {.iov_base = msg, .iov_len = cap};
    union fd_room control;
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    ssize_t n;
    do
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    take_descriptors(&m, fds, nfds);
    if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (size_t i = 0; nfds != NULL && i < *nfds; i++)
            close(fds[i]);
        if (nfds != NULL)
            *nfds = 0;
        errno = EMSGSIZE;
        return -1;
    }
    return n;
}

/* ---- what a stranger may say ---- */

static bool text_ok(const char *text, size_t cap, bool slash)
{
    size_t n = strnlen(text, cap);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || (!slash && text[i] == '/'))
            return false;
    return n > 0 && n < cap;
}

static bool path_ok(const char *path, size_t cap)
{
    return path[0] == '/' && text_ok(path, cap, true);
}

static bool setup_ok(const struct dt_keeper_setup *s)
{
    return text_ok(s->device, sizeof(s->device), false) && path_ok(s->socket, sizeof(s->socket)) &&
           (s->kept[0] == '\0' || path_ok(s->kept, sizeof(s->kept))) &&
           (s->leases[0] == '\0' || path_ok(s->leases, sizeof(s->leases))) &&
           (s->keylog[0] == '\0' || path_ok(s->keylog, sizeof(s->keylog))) && s->mtu >= 68 &&
           s->mtu <= 65535 && s->queues >= 1 && s->queues <= KEEPER_FDS_MAX;
}

static bool names_ok(const struct dt_keeper_names *n)
{
    bool ok = n->n <= DT_KEEPER_NAME_SERVERS && n->all <= 1 && n->look <= 1 && dt_domains_ok(n->domains);
    for (size_t i = 0; ok && i < n->n; i++)
        ok = dt_addr_is_host(&n->server[i]);
    return ok;
}

#define UP_TO(member) (offsetof(struct keeper_request, u) + sizeof(((struct keeper_request *)0)->u.member))

size_t keeper_request_len(const struct keeper_request *r)
{
    switch (r->what) {
    case KEEPER_SETUP:
        return UP_TO(setup);
    case KEEPER_FACTS:
        return offsetof(struct keeper_request, u) + r->n * sizeof(r->u.fact[0]);
    case KEEPER_SOCKET:
        return UP_TO(socket);
    case KEEPER_NAMES:
        return UP_TO(names);
    default:
        return offsetof(struct keeper_request, u);
    }
}

bool keeper_request_ok(const struct keeper_request *r, size_t len)
{
    if (len < offsetof(struct keeper_request, u) || r->what < KEEPER_LOAD || r->what > KEEPER_DISMISS)
        return false;
    if (r->what == KEEPER_KEEP && r->n > DT_KEEPER_LEASES)
        return false;
    if (r->what == KEEPER_FACTS && (r->n == 0 || r->n > KEEPER_FACTS_EACH))
        return false;
    if (len != keeper_request_len(r))
        return false;
    switch (r->what) {
    case KEEPER_SETUP:
        return setup_ok(&r->u.setup);
    case KEEPER_FACTS:
        for (uint32_t i = 0; i < r->n; i++)
            if (!dt_host_fact_ok(&r->u.fact[i]))
                return false;
        return true;
    case KEEPER_NAMES:
        return names_ok(&r->u.names);
    case KEEPER_SOCKET:
        return (r->u.socket.ver == 4 || r->u.socket.ver == 6) && r->u.socket.stream <= 1;
    default:
        return true;
    }
}

bool keeper_file_request_ok(const struct keeper_file_request *r, size_t len)
{
    const size_t before = offsetof(struct keeper_file_request, path);
    return len > before + 1 && len <= sizeof(*r) && r->what >= KEEPER_FILE_TEXT &&
           r->what <= KEEPER_FILE_MATCH && strnlen(r->path, len - before) == len - before - 1;
}
