#include "control/page.h"

#include <errno.h>
#include <linux/capability.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONNECTIONS 16u
#define PATIENCE    5u /* seconds */

struct dt_page {
    struct MHD_Daemon *http;
    int fd;               /* its socket, which it closes */
    int why;              /* errno of what did not start */
    pthread_mutex_t lock; /* the text */
    char *text;
    size_t len;
};

static struct MHD_Response *fixed(const char *text)
{
    return MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result page_answer(void *ctx, struct MHD_Connection *conn, const char *url,
                                   const char *method, const char *version, const char *data, size_t *size,
                                   void **own)
{
    struct dt_page *p = ctx;
    bool ok = !strcmp(url, "/metrics") && !strcmp(method, "GET");
    struct MHD_Response *r;
    if (ok) {
        pthread_mutex_lock(&p->lock);
        r = p->text ? MHD_create_response_from_buffer(p->len, p->text, MHD_RESPMEM_MUST_COPY) : fixed("");
        pthread_mutex_unlock(&p->lock);
        MHD_add_response_header(r, "Content-Type", "text/plain; version=0.0.4");
    } else {
        r = fixed("only GET /metrics is here\n");
    }
    enum MHD_Result rc = MHD_queue_response(conn, ok ? 200 : 404, r);
    MHD_destroy_response(r);
    return rc;
}

static int listen_at(const struct dt_addrport *at)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(at->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(at->port)};
    memcpy(&in.sin_addr, at->addr.b, 4);
    memcpy(&in6.sin6_addr, at->addr.b, 16);
    bool v6 = at->addr.ver == 6;
    int one = 1, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
        (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
        bind(fd, v6 ? (void *)&in6 : (void *)&in, v6 ? sizeof(in6) : sizeof(in)) || listen(fd, CONNECTIONS)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

/* Capabilities belong to a thread, and one that it starts begins with the same: this one has none left. */
static void *page_thread(void *arg)
{
    struct dt_page *p = arg;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !syscall(SYS_capset, &head, none))
        p->http = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL, NULL, page_answer,
                                   p, MHD_OPTION_LISTEN_SOCKET, p->fd, MHD_OPTION_CONNECTION_LIMIT,
                                   CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE, MHD_OPTION_END);
    if (!p->http)
        p->why = errno;
    return NULL;
}

struct dt_page *dt_page_open(const struct dt_addrport *at, struct dt_err *err)
{
    char text[DT_ADDRPORT_STRLEN];
    pthread_t thread = 0;
    struct dt_page *p = calloc(1, sizeof(*p));
    if (!p) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    p->fd = listen_at(at);
    p->why = p->fd < 0 ? errno : pthread_create(&thread, NULL, page_thread, p);
    if (!p->why)
        pthread_join(thread, NULL);
    if (p->http)
        return p;
    dt_err_set(err, 0, "cannot serve metrics at %s: %s", dt_addrport_str(text, at), strerror(p->why));
    if (p->fd >= 0)
        close(p->fd);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

void dt_page_close(struct dt_page *p)
{
    if (!p)
        return;
    MHD_stop_daemon(p->http);
    pthread_mutex_destroy(&p->lock);
    free(p->text);
    free(p);
}

void dt_page_make(struct dt_page *p, void (*write)(void *ctx, FILE *f), void *ctx)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = p ? open_memstream(&text, &len) : NULL;
    if (!f)
        return;
    write(ctx, f);
    if (fclose(f)) {
        free(text);
        return;
    }
    pthread_mutex_lock(&p->lock);
    free(p->text);
    p->text = text;
    p->len = len;
    pthread_mutex_unlock(&p->lock);
}
