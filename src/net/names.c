#include "net/names.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/list.h"

#define STACK (256u << 10) /* of a thread; the C library's resolver keeps its buffers there */

enum ask_state { WAITING, ASKING, ANSWERED };

struct ask {
    struct dt_list link; /* in waiting, waiting_again, asking or answered */
    enum ask_state state;
    bool again, forgotten;
    struct dt_names_answer answer;
    char name[];
};

/* Shared with the threads, and freed by the last who lets go. */
struct dt_names {
    pthread_mutex_t lock;
    unsigned refs; /* its owner's, and each thread's */
    bool closed;
    int fd;
    unsigned threads, asking_again, asked;
    struct dt_list waiting, waiting_again, asking, answered;
};

struct dt_names *dt_names_open(struct dt_err *err)
{
    struct dt_names *n = calloc(1, sizeof(*n));
    if (n == NULL || (n->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) {
        free(n);
        dt_err_set(err, 0, "names cannot be looked up: no memory or no descriptor");
        return NULL;
    }
    pthread_mutex_init(&n->lock, NULL);
    n->refs = 1;
    struct dt_list *lists[] = {&n->waiting, &n->waiting_again, &n->asking, &n->answered};
    for (size_t i = 0; i < DT_ARRAY_LEN(lists); i++)
        dt_list_init(lists[i]);
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

/* Gives the lock back. */
static void let_go(struct dt_names *n)
{
    bool last = --n->refs == 0;
    pthread_mutex_unlock(&n->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&n->lock);
    close(n->fd);
    free(n);
}

void dt_names_close(struct dt_names *n)
{
    if (n == NULL)
        return;
    pthread_mutex_lock(&n->lock);
    n->closed = true;
    list_free(n, &n->waiting);
    list_free(n, &n->waiting_again);
    list_free(n, &n->answered);
    dt_list_for_each (l, &n->asking)
        DT_CONTAINER_OF(l, struct ask, link)->forgotten = true;
    let_go(n);
}

int dt_names_fd(const struct dt_names *n)
{
    return n->fd;
}

static struct dt_addr addr_of(const struct addrinfo *ai)
{
    struct dt_addr none = {0};
    if (ai->ai_family == AF_INET)
        return dt_addr4_bytes(&((const struct sockaddr_in *)(const void *)ai->ai_addr)->sin_addr);
    if (ai->ai_family == AF_INET6)
        return dt_addr6_bytes(&((const struct sockaddr_in6 *)(const void *)ai->ai_addr)->sin6_addr);
    return none;
}

/* On a thread, without the lock. */
static void look_up(const char *name, struct dt_names_answer *out)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *res = NULL;
    int rc = getaddrinfo(name, NULL, &hints, &res);
    for (const struct addrinfo *ai = res; ai != NULL; ai = ai->ai_next) {
        struct dt_addr a = addr_of(ai);
        bool known = a.ver == 0;
        for (uint8_t i = 0; i < out->naddr; i++)
            known = known || dt_addr_eq(&out->addr[i], &a);
        if (!known && out->naddr < DT_NAMES_ADDRS)
            out->addr[out->naddr++] = a;
        else if (!known)
            out->more++;
    }
    if (out->naddr == 0)
        snprintf(out->why, sizeof(out->why), "%s", rc != 0 ? gai_strerror(rc) : "it has no address");
    if (res != NULL)
        freeaddrinfo(res);
}

/* The next that may be asked now, or NULL. */
static struct ask *take_waiting(struct dt_names *n)
{
    struct dt_list *from = &n->waiting;
    if (dt_list_empty(from)) {
        from = &n->waiting_again;
        if (dt_list_empty(from) || n->asking_again >= DT_NAMES_THREADS / 2)
            return NULL;
    }
    struct ask *a = DT_CONTAINER_OF(from->next, struct ask, link);
    dt_list_del(&a->link);
    dt_list_add_tail(&n->asking, &a->link);
    a->state = ASKING;
    n->asking_again += a->again;
    return a;
}

static void *thread(void *arg)
{
    struct dt_names *n = arg;
    struct ask *a;
    pthread_mutex_lock(&n->lock);
    while (!n->closed && (a = take_waiting(n)) != NULL) {
        struct dt_names_answer answer = {.ticket = a->answer.ticket};
        pthread_mutex_unlock(&n->lock);
        look_up(a->name, &answer); /* nobody frees it while it is asked for */
        pthread_mutex_lock(&n->lock);
        n->asking_again -= a->again;
        if (a->forgotten) {
            ask_free(n, a);
            continue;
        }
        a->answer = answer;
        a->state = ANSWERED;
        dt_list_del(&a->link);
        dt_list_add_tail(&n->answered, &a->link);
        const uint64_t one = 1;
        if (write(n->fd, &one, sizeof(one)) < 0)
            break; /* it cannot be: the counter is taken to 0 long before it is full */
    }
    n->threads--;
    let_go(n);
    return NULL;
}

/* With the lock. A thread for what waits, where one more may be. */
static void start_thread(struct dt_names *n)
{
    pthread_attr_t attr;
    pthread_t id;
    if (n->threads >= DT_NAMES_THREADS)
        return;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK);
    n->threads++;
    n->refs++;
    if (pthread_create(&id, &attr, thread, n) != 0) { /* who is there already takes it on */
        n->threads--;
        n->refs--;
    }
    pthread_attr_destroy(&attr);
}

int dt_names_ask(struct dt_names *n, const char *name, bool again, uint64_t ticket, struct dt_err *err)
{
    size_t len = strlen(name) + 1;
    struct ask *a = calloc(1, sizeof(*a) + len);
    if (a == NULL)
        return dt_err_set(err, 0, "out of memory");
    memcpy(a->name, name, len);
    a->again = again;
    a->answer.ticket = ticket;
    dt_list_init(&a->link);
    pthread_mutex_lock(&n->lock);
    bool room = n->asked < DT_NAMES_ASKED;
    if (room) {
        n->asked++;
        dt_list_add_tail(again ? &n->waiting_again : &n->waiting, &a->link);
        start_thread(n);
        room = n->threads > 0; /* else nobody would ever ask */
        if (!room)
            ask_free(n, a);
    } else {
        free(a);
    }
    pthread_mutex_unlock(&n->lock);
    return room ? 0 : dt_err_set(err, 0, "too many names are being looked up");
}

static bool forget_in(struct dt_names *n, struct dt_list *list, uint64_t ticket)
{
    dt_list_for_each (l, list) {
        struct ask *a = DT_CONTAINER_OF(l, struct ask, link);
        if (a->answer.ticket != ticket || a->forgotten)
            continue;
        if (a->state == ASKING)
            a->forgotten = true;
        else
            ask_free(n, a);
        return true;
    }
    return false;
}

void dt_names_forget(struct dt_names *n, uint64_t ticket)
{
    struct dt_list *lists[] = {&n->asking, &n->waiting, &n->waiting_again, &n->answered};
    pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < DT_ARRAY_LEN(lists); i++)
        if (forget_in(n, lists[i], ticket))
            break;
    pthread_mutex_unlock(&n->lock);
}

bool dt_names_next(struct dt_names *n, struct dt_names_answer *out)
{
    uint64_t count;
    pthread_mutex_lock(&n->lock);
    bool any = !dt_list_empty(&n->answered);
    if (any) {
        struct ask *a = DT_CONTAINER_OF(n->answered.next, struct ask, link);
        *out = a->answer;
        ask_free(n, a);
    } else if (read(n->fd, &count, sizeof(count)) < 0) {
        any = false; /* it was at 0 already */
    }
    pthread_mutex_unlock(&n->lock);
    return any;
}
