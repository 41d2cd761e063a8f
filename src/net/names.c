#include "net/names.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/list.h"
#include "net/mark.h"
#include "net/resolv.h"

/* A server that does not answer gives way to the next after 1 s; when none does, all are asked again, for 2, 4 and 8 s. */
#define TIMEOUT_MS  1000
#define TRIES       4
#define EVENTS      16 /* of sockets, before others get their turn */
#define ADDRS_SEEN  32 /* of an answer; what comes behind is counted */
#define UNREACHABLE 2  /* the last rank of an address */

enum ask_state { WAITING, ASKING, ANSWERED };

struct ask {
    struct dt_list link; /* in waiting, waiting_again, asking or answered */
    struct dt_names *names;
    enum ask_state state;
    bool again, forgotten;
    struct dt_names_answer answer;
    char name[];
};

struct dt_names {
    int fd, timer; /* an epoll of c-ares' sockets and the timer */
    uint32_t mark;
    int (*marked)(void *user, uint8_t ver, bool stream);
    void *user;
    int way4, way6; /* dt_mark_leads_to */
    uint16_t port;
    struct resolv resolv;
    ares_channel channel; /* NULL: none could be made */
    bool closing;         /* the channel is: what it asked is asked anew, or thrown away */
    unsigned nasking, nasking_again, asked;
    struct dt_list waiting, waiting_again, asking, answered;
};

/* ---- the channel: c-ares, its sockets and its timer -------------------------------------------- */

static int mark_query(ares_socket_t fd, int type, void *user)
{
    const struct dt_names *n = user;
    return n->mark == 0 || dt_mark_socket(fd, n->mark, NULL) == 0 ? ARES_SUCCESS : -1;
}

/* c-ares wants all five once one of them is another. */
static ares_socket_t marked_open(int family, int type, int protocol, void *user)
{
    const struct dt_names *n = user;
    int fd = n->marked(n->user, family == AF_INET ? 4 : 6, type == SOCK_STREAM);
    return fd >= 0 ? fd : ARES_SOCKET_BAD;
}

static int marked_close(ares_socket_t fd, void *user)
{
    return close(fd);
}

static int marked_connect(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len, void *user)
{
    return connect(fd, to, len);
}

static ares_ssize_t marked_recv(ares_socket_t fd, void *buf, size_t cap, int flags, struct sockaddr *from,
                                ares_socklen_t *len, void *user)
{
    return recvfrom(fd, buf, cap, flags, from, len);
}

static ares_ssize_t marked_send(ares_socket_t fd, const struct iovec *iov, int n, void *user)
{
    return writev(fd, iov, n);
}

static const struct ares_socket_functions marked_sockets = {.asocket = marked_open,
                                                            .aclose = marked_close,
                                                            .aconnect = marked_connect,
                                                            .arecvfrom = marked_recv,
                                                            .asendv = marked_send};

static void watch_socket(void *user, ares_socket_t fd, int readable, int writable)
{
    struct dt_names *n = user;
    struct epoll_event ev = {.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u), .data.fd = fd};
    if (ev.events == 0)
        epoll_ctl(n->fd, EPOLL_CTL_DEL, fd, NULL);
    else if (epoll_ctl(n->fd, EPOLL_CTL_MOD, fd, &ev) != 0)
        epoll_ctl(n->fd, EPOLL_CTL_ADD, fd, &ev); /* unwatched, the timer still ends what it asks */
}

static void channel_open(struct dt_names *n)
{
    char lookups[] = "fb"; /* the hosts file first, then the servers */
    struct ares_options o = {.timeout = TIMEOUT_MS,
                             .tries = TRIES,
                             .lookups = lookups,
                             .udp_port = n->port,
                             .tcp_port = n->port,
                             .sock_state_cb = watch_socket,
                             .sock_state_cb_data = n,
                             .resolvconf_path = (char *)(uintptr_t)resolv_file(&n->resolv)};
    int mask =
        ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
    if (n->port != 0)
        mask |= ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT;
    if (ares_init_options(&n->channel, &o, mask) != ARES_SUCCESS) {
        n->channel = NULL;
        return;
    }
    if (n->marked != NULL)
        ares_set_socket_functions(n->channel, &marked_sockets, n);
    else
        ares_set_socket_configure_callback(n->channel, mark_query, n);
}

static void channel_close(struct dt_names *n)
{
    if (n->channel == NULL)
        return;
    n->closing = true;
    ares_destroy(n->channel); /* tells each that is under way: looked_up */
    n->closing = false;
    n->channel = NULL;
}

/* When c-ares, or an answer that waits here, wants its turn. */
static void set_timer(struct dt_names *n)
{
    struct itimerspec at = {.it_value = {.tv_nsec = 1}};
    struct timeval tv;
    if (dt_list_empty(&n->answered)) {
        const struct timeval *left = n->channel != NULL ? ares_timeout(n->channel, NULL, &tv) : NULL;
        at.it_value = (struct timespec){.tv_sec = 0};
        if (left != NULL)
            at.it_value = (struct timespec){.tv_sec = left->tv_sec, .tv_nsec = left->tv_usec * 1000 + 1};
    }
    timerfd_settime(n->timer, 0, &at, NULL);
}

struct dt_names *dt_names_open(const struct dt_names_cfg *cfg, struct dt_err *err)
{
    struct dt_names *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    struct dt_list *lists[] = {&n->waiting, &n->waiting_again, &n->asking, &n->answered};
    for (size_t i = 0; i < DT_ARRAY_LEN(lists); i++)
        dt_list_init(lists[i]);
    n->mark = cfg->mark;
    n->marked = cfg->marked;
    n->user = cfg->user;
    n->way4 = dt_mark_open(4, cfg->mark);
    n->way6 = dt_mark_open(6, cfg->mark);
    n->port = cfg->port;
    resolv_init(&n->resolv, cfg->resolv_conf, cfg->resolved_conf);
    n->fd = epoll_create1(EPOLL_CLOEXEC);
    n->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = n->timer};
    if (n->fd < 0 || n->timer < 0 || epoll_ctl(n->fd, EPOLL_CTL_ADD, n->timer, &ev) != 0) {
        dt_err_set(err, 0, "names cannot be looked up: %s", strerror(errno));
        dt_names_close(n);
        return NULL;
    }
    return n;
}

static void ask_free(struct dt_names *n, struct ask *a)
{
    dt_list_del(&a->link);
    n->asked--;
    free(a);
}

static void list_free(struct dt_names *n, struct dt_list *list)
{
    while (!dt_list_empty(list)) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): ask_free unlinks it */
        ask_free(n, DT_CONTAINER_OF(list->next, struct ask, link));
}

void dt_names_close(struct dt_names *n)
{
    if (n == NULL)
        return;
    channel_close(n);
    struct dt_list *lists[] = {&n->waiting, &n->waiting_again, &n->asking, &n->answered};
    for (size_t i = 0; i < DT_ARRAY_LEN(lists); i++)
        list_free(n, lists[i]);
    int fds[] = {n->way4, n->way6, n->timer};
    for (size_t i = 0; i < DT_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (n->fd >= 0)
        close(n->fd);
    free(n);
}

int dt_names_fd(const struct dt_names *n)
{
    return n->fd;
}

/* ---- answers ----------------------------------------------------------------------------------- */

static struct dt_addr ares_node_addr(const struct ares_addrinfo_node *node)
{
    struct dt_addr none = {0};
    if (node->ai_family == AF_INET)
        return dt_addr4_bytes(&((const struct sockaddr_in *)(const void *)node->ai_addr)->sin_addr);
    if (node->ai_family == AF_INET6)
        return dt_addr6_bytes(&((const struct sockaddr_in6 *)(const void *)node->ai_addr)->sin6_addr);
    return none;
}

/* 0 is tried first. */
static unsigned rank_of(const struct dt_names *n, const struct dt_addr *a)
{
    return !dt_mark_leads_to(a->ver == 4 ? n->way4 : n->way6, a) ? UNREACHABLE : a->ver == 6 ? 0 : 1;
}

static void answer_take_addresses(const struct dt_names *n, const struct ares_addrinfo *info,
                                  struct dt_names_answer *out)
{
    struct dt_addr a[ADDRS_SEEN];
    unsigned rank[ADDRS_SEEN];
    size_t count = 0;
    for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next) {
        struct dt_addr one = ares_node_addr(node);
        bool known = one.ver == 0;
        for (size_t i = 0; i < count; i++)
            known = known || dt_addr_eq(&a[i], &one);
        if (!known && count < ADDRS_SEEN) {
            a[count] = one;
            rank[count++] = rank_of(n, &one);
        } else if (!known && out->more < UINT16_MAX - ADDRS_SEEN) {
            out->more++;
        }
    }
    for (unsigned want = 0; want <= UNREACHABLE; want++)
        for (size_t i = 0; i < count && out->naddr < DT_NAMES_ADDRS; i++)
            if (rank[i] == want)
                out->addr[out->naddr++] = a[i];
    out->more += (uint16_t)(count - out->naddr);
}

static void move_to(struct ask *a, struct dt_list *list, enum ask_state state)
{
    dt_list_del(&a->link);
    dt_list_add_tail(list, &a->link);
    a->state = state;
}

/* c-ares has an answer, or has been told to give up. */
static void looked_up(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct ask *a = arg;
    struct dt_names *n = a->names;
    n->nasking--;
    n->nasking_again -= a->again;
    if (a->forgotten) {
        ask_free(n, a);
    } else if (n->closing) {
        move_to(a, a->again ? &n->waiting_again : &n->waiting, WAITING);
    } else {
        if (info != NULL)
            answer_take_addresses(n, info, &a->answer);
        if (a->answer.naddr == 0)
            snprintf(a->answer.why, sizeof(a->answer.why), "%s",
                     status != ARES_SUCCESS ? ares_strerror(status) : "it has no address");
        move_to(a, &n->answered, ANSWERED);
    }
    if (info != NULL)
        ares_freeaddrinfo(info);
}

/* ---- questions --------------------------------------------------------------------------------- */

/* The next that may be asked now, or NULL. */
static struct ask *take_waiting(struct dt_names *n)
{
    struct dt_list *from = &n->waiting;
    if (n->nasking >= DT_NAMES_AT_ONCE)
        return NULL;
    if (dt_list_empty(from)) {
        from = &n->waiting_again;
        if (dt_list_empty(from) || n->nasking_again >= DT_NAMES_AT_ONCE / 2)
            return NULL;
    }
    struct ask *a = DT_CONTAINER_OF(from->next, struct ask, link);
    move_to(a, &n->asking, ASKING);
    n->nasking++;
    n->nasking_again += a->again;
    return a;
}

static void ask_waiting(struct dt_names *n)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = ARES_AI_NOSORT};
    struct ask *a;
    if (n->channel != NULL && resolv_changed(&n->resolv))
        channel_close(n);
    while ((a = take_waiting(n)) != NULL) {
        if (n->channel == NULL)
            channel_open(n);
        if (n->channel == NULL)
            looked_up(a, ARES_ENOMEM, 0, NULL);
        else
            ares_getaddrinfo(n->channel, a->name, NULL, &hints, looked_up, a);
    }
    set_timer(n);
}

int dt_names_ask(struct dt_names *n, const char *name, bool again, uint64_t ticket, struct dt_err *err)
{
    size_t len = strlen(name) + 1;
    if (n->asked >= DT_NAMES_ASKED)
        return dt_err_set(err, 0, "too many names are being looked up");
    struct ask *a = calloc(1, sizeof(*a) + len);
    if (a == NULL)
        return dt_err_set(err, 0, "out of memory");
    memcpy(a->name, name, len);
    a->names = n;
    a->again = again;
    a->answer.ticket = ticket;
    dt_list_add_tail(again ? &n->waiting_again : &n->waiting, &a->link);
    n->asked++;
    ask_waiting(n);
    return 0;
}

void dt_names_forget(struct dt_names *n, uint64_t ticket)
{
    struct dt_list *lists[] = {&n->asking, &n->waiting, &n->waiting_again, &n->answered};
    for (size_t i = 0; i < DT_ARRAY_LEN(lists); i++)
        dt_list_for_each (l, lists[i]) {
            struct ask *a = DT_CONTAINER_OF(l, struct ask, link);
            if (a->answer.ticket != ticket || a->forgotten)
                continue;
            if (a->state == ASKING)
                a->forgotten = true; /* c-ares has it */
            else
                ask_free(n, a);
            return;
        }
}

static void turn(struct dt_names *n)
{
    struct epoll_event ev[EVENTS];
    int count = epoll_wait(n->fd, ev, EVENTS, 0);
    for (int i = 0; i < count; i++) {
        uint64_t expired;
        int fd = ev[i].data.fd;
        if (fd == n->timer && read(fd, &expired, sizeof(expired)) < 0)
            continue; /* it was set anew meanwhile */
        if (n->channel == NULL)
            continue;
        if (fd == n->timer)
            ares_process_fd(n->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        else
            ares_process_fd(n->channel, ev[i].events & ~(unsigned)EPOLLOUT ? fd : ARES_SOCKET_BAD,
                            ev[i].events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
    }
    ask_waiting(n);
}

bool dt_names_next(struct dt_names *n, struct dt_names_answer *out)
{
    if (dt_list_empty(&n->answered))
        turn(n);
    if (dt_list_empty(&n->answered))
        return false;
    struct ask *a = DT_CONTAINER_OF(n->answered.next, struct ask, link);
    *out = a->answer;
    ask_free(n, a);
    if (dt_list_empty(&n->answered))
        set_timer(n);
    return true;
}
