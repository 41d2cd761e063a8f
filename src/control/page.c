#include "control/page.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 16u
#define PATIENCE    5u /* seconds */

struct dt_page {
    struct MHD_Daemon *http;
    pthread_mutex_t lock; /* the text */
    char *text;
    size_t len;
};

static struct MHD_Response *fixed(const char *text)
{
    return MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *conn, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **own)
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

struct dt_page *dt_page_open(const struct dt_addrport *at, struct dt_err *err)
{
    char text[DT_ADDRPORT_STRLEN];
    struct dt_page *p = calloc(1, sizeof(*p));
    if (!p) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(at->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(at->port)};
    memcpy(&in.sin_addr, at->addr.b, 4);
    memcpy(&in6.sin6_addr, at->addr.b, 16);
    bool v6 = at->addr.ver == 6;
    p->http = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | (v6 ? MHD_USE_IPv6 : 0),
                               at->port, NULL, NULL, answer, p, MHD_OPTION_SOCK_ADDR,
                               v6 ? (void *)&in6 : (void *)&in, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
                               MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE, MHD_OPTION_END);
    if (p->http)
        return p;
    dt_err_set(err, 0, "cannot serve metrics at %s: %s", dt_addrport_str(text, at), strerror(errno));
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
