#include "control/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct dt_control_client {
    int fd;
    uint64_t id;
    char *buf;
    size_t len, cap;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static int connect_error(struct dt_err *err, const char *path)
{
    switch (errno) {
    case ENOENT:
        return dt_err_set(
            err, 0,
            "no daemon answers at %s: the socket does not exist (is it running? --socket PATH names another)",
            path);
    case ECONNREFUSED:
        return dt_err_set(err, 0, "no daemon answers at %s: it has ended without removing its socket", path);
    case EACCES:
        return dt_err_set(
            err, 0, "no permission to speak to the daemon at %s: be root or a member of the socket's group",
            path);
    default:
        return dt_err_set(err, 0, "cannot connect to %s: %s", path, strerror(errno));
    }
}

struct dt_control_client *dt_control_connect(const char *path, struct dt_err *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sa.sun_path)) {
        dt_err_set(err, 0, "the socket's path has %zu bytes, at most %zu are possible", strlen(path),
                   sizeof(sa.sun_path) - 1);
        return NULL;
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    struct dt_control_client *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    memcpy(c->path, sa.sun_path, sizeof(c->path));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
        connect_error(err, path);
        dt_control_disconnect(c);
        return NULL;
    }
    return c;
}

void dt_control_disconnect(struct dt_control_client *c)
{
    if (c == NULL)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c->buf);
    free(c);
}

int dt_control_send(struct dt_control_client *c, const char *command, json_t *args, struct dt_err *err)
{
    json_t *req = json_pack("{s:i, s:I, s:s, s:o}", "v", DT_CONTROL_VERSION, "id", (json_int_t)++c->id,
                            "command", command, "args", args != NULL ? args : json_object());
    char *line = req != NULL ? json_dumps(req, JSON_COMPACT) : NULL;
    json_decref(req);
    if (line == NULL)
        return dt_err_set(err, 0, "the request cannot be written as JSON (is an argument not UTF-8?)");
    size_t len = strlen(line);
    line[len++] = '\n'; /* in the place of the NUL */
    int rc = 0;
    for (size_t done = 0; done < len;) {
        ssize_t n = send(c->fd, line + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            /* A server that refused has said why and closed: the answer is waiting to be read. */
            if (errno != EPIPE && errno != ECONNRESET)
                rc = dt_err_set(err, 0, "the daemon at %s does not listen: %s", c->path, strerror(errno));
            break;
        }
        done += (size_t)n;
    }
    free(line);
    return rc;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* One line without its end, NUL-terminated at the start of buf; its length, or -1. */
static long read_line(struct dt_control_client *c, int timeout_ms, struct dt_err *err)
{
    int64_t until = timeout_ms < 0 ? 0 : now_ms() + timeout_ms;
    size_t seen = 0;
    for (;;) {
        char *nl = c->len > seen ? memchr(c->buf + seen, '\n', c->len - seen) : NULL;
        if (nl != NULL) {
            *nl = '\0';
            return nl - c->buf;
        }
        seen = c->len;
        if (c->len + 1 >= c->cap) {
            if (c->cap >= DT_CONTROL_PIECES_MAX)
                return dt_err_set(err, 0, "the daemon's answer is longer than %u bytes",
                                  DT_CONTROL_PIECES_MAX);
            size_t cap = c->cap ? c->cap * 2 : 4096;
            char *buf = realloc(c->buf, cap);
            if (buf == NULL)
                return dt_err_set(err, 0, "out of memory");
            c->buf = buf;
            c->cap = cap;
        }
        int left = -1;
        if (timeout_ms >= 0) {
            int64_t ms = until - now_ms();
            left = ms > 0 ? (int)ms : 0;
        }
        struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
        int rc = poll(&pfd, 1, left);
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc == 0)
            return dt_err_set(err, 0, "no answer from the daemon at %s within %d ms", c->path, timeout_ms);
        ssize_t n = read(c->fd, c->buf + c->len, c->cap - 1 - c->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return dt_err_set(err, 0, "the daemon at %s closed the connection", c->path);
        c->len += (size_t)n;
    }
}

static enum dt_control_kind broken(struct dt_control_message *m)
{
    m->code = 1;
    return DT_CONTROL_ERROR;
}

static enum dt_control_kind message_classify(const json_t *msg, struct dt_control_message *m)
{
    json_t *event = json_object_get(msg, "event");
    if (event != NULL) {
        m->value = json_incref(event);
        return DT_CONTROL_EVENT;
    }
    if (json_is_true(json_object_get(msg, "ok"))) {
        m->value = json_incref(json_object_get(msg, "result"));
        return DT_CONTROL_ANSWER;
    }
    json_t *code = json_object_get(msg, "code"), *text = json_object_get(msg, "error");
    m->code = json_is_integer(code) && json_integer_value(code) > 0 ? (int)json_integer_value(code) : 1;
    dt_err_set(&m->err, 0, "%s",
               json_is_string(text) ? json_string_value(text) : "the daemon gave no reason");
    m->value = json_incref(json_object_get(msg, "detail"));
    return DT_CONTROL_ERROR;
}

enum dt_control_kind dt_control_next(struct dt_control_client *c, int timeout_ms,
                                     struct dt_control_message *m)
{
    memset(m, 0, sizeof(*m));
    long len = read_line(c, timeout_ms, &m->err);
    if (len < 0)
        return broken(m);
    json_error_t jerr;
    json_t *msg = json_loadb(c->buf, (size_t)len, 0, &jerr);
    memmove(c->buf, c->buf + len + 1, c->len - (size_t)len - 1);
    c->len -= (size_t)len + 1;
    if (!json_is_object(msg)) {
        json_decref(msg);
        dt_err_set(&m->err, 0, "the answer at %s is not a JSON object: is it a daemon of Dovetail?", c->path);
        return broken(m);
    }
    enum dt_control_kind kind = message_classify(msg, m);
    json_decref(msg);
    return kind;
}

int dt_control_call(const char *path, const char *command, json_t *args, json_t **result, struct dt_err *err)
{
    *result = NULL;
    struct dt_control_client *c = dt_control_connect(path, err);
    if (c == NULL) {
        json_decref(args);
        return 1;
    }
    struct dt_control_message m = {.code = 1};
    if (dt_control_send(c, command, args, &m.err) == 0)
        while (dt_control_next(c, -1, &m) == DT_CONTROL_EVENT)
            json_decref(m.value);
    dt_control_disconnect(c);
    if (m.code != 0 && err != NULL)
        *err = m.err;
    *result = m.value;
    return m.code;
}
