/* Requests queue: a connection's next line is taken from the loop alone, one at a time, never from inside whatever
 * answered the one before it. So a command never runs in the middle of somebody else's work, and a line costs no stack.
 * For the same reason a connection that breaks while it is answered is closed from the loop. */
#include "control/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"
#include "base/utf8.h"

struct conn;

struct dt_control_request {
    struct conn *conn;
    json_int_t id;
    void (*cancel)(void *arg);
    void *cancel_arg;
    uint64_t dropped;                       /* events since the last one that went out */
    const struct dt_control_pieces *pieces; /* of an answer that was begun; NULL */
    void *pieces_ctx;
    bool begun;
};

struct conn {
    struct dt_list link;
    struct dt_list turn; /* in the server's list of those that wait for the loop; else alone */
    struct dt_control_server *server;
    uv_pipe_t pipe;
    struct dt_control_request *req; /* the one under way */
    bool closing;
    bool broken; /* to be closed at its turn */
    bool last;   /* close once everything is written */
    bool full;   /* nothing is read until a line has been taken */
    bool ended;  /* the peer says no more */
    size_t len;
    char buf[DT_CONTROL_LINE_MAX];
};

struct dt_control_server {
    uv_pipe_t pipe;
    uv_idle_t idle; /* runs while somebody waits for a turn */
    struct dt_list conns, turns;
    size_t nconn;
    const struct dt_control_command *commands;
    void *ctx;
    gid_t gid;
    struct dt_control_counters count;
    bool closed;
    unsigned handles; /* of its own that are not closed yet */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

struct out {
    uv_write_t write;
    char *text;
};

static void take_turns(uv_idle_t *idle);

static void server_free(struct dt_control_server *s)
{
    if (s->closed && s->nconn == 0 && s->handles == 0)
        free(s);
}

/* The loop comes back to it: there may be a line to handle, or it is broken. */
static void conn_turn(struct conn *c)
{
    struct dt_control_server *s = c->server;
    if (c->closing || s->closed || !dt_list_empty(&c->turn))
        return;
    dt_list_add_tail(&s->turns, &c->turn);
    uv_idle_start(&s->idle, take_turns);
}

static void conn_break(struct conn *c)
{
    c->broken = true;
    conn_turn(c);
}

static size_t conn_backlog(struct conn *c)
{
    return uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe);
}

static void conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct dt_control_server *s = c->server;
    s->nconn--;
    free(c);
    server_free(s);
}

static void conn_close(struct conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    dt_list_del(&c->turn);
    struct dt_control_request *req = c->req;
    c->req = NULL;
    if (req != NULL) {
        if (req->pieces != NULL)
            req->pieces->end(req->pieces_ctx);
        else if (req->cancel != NULL)
            req->cancel(req->cancel_arg);
        free(req);
    }
    dt_list_del(&c->link);
    uv_close((uv_handle_t *)&c->pipe, conn_closed);
}

static void written(uv_write_t *w, int status)
{
    struct out *o = DT_CONTAINER_OF(w, struct out, write);
    struct conn *c = w->data;
    free(o->text);
    free(o);
    if (status < 0 || (c->last && conn_backlog(c) == 0))
        conn_close(c);
    else
        conn_turn(c); /* it may have waited for its reader */
}

static json_t *failure(json_int_t id, int code, json_t *detail, const char *text)
{
    json_t *t = json_string(text);
    if (t == NULL) /* a name from the wire that is not UTF-8 */
        t = json_string("failed, and the reason cannot be written as text");
    return json_pack("{s:i, s:I, s:b, s:i, s:o, s:o*}", "v", DT_CONTROL_VERSION, "id", id, "ok", 0, "code",
                     code, "error", t, "detail", detail);
}

/* What the client would not take is not sent. */
static char *too_long(json_int_t id, char *text)
{
    char why[160];
    snprintf(why, sizeof(why),
             "the answer has %zu bytes, and a client takes %u at most: ask for less, by name", strlen(text),
             DT_CONTROL_ANSWER_MAX);
    free(text);
    json_t *msg = failure(id, 1, NULL, why);
    text = msg != NULL ? json_dumps(msg, JSON_COMPACT) : NULL;
    json_decref(msg);
    return text;
}

/* Takes text (NULL: no memory). Closes nothing and calls nobody: whoever answers may be in the middle of something. */
static void conn_send(struct conn *c, char *text, size_t len)
{
    struct out *o = calloc(1, sizeof(*o));
    if (text == NULL || o == NULL || c->broken || c->closing) {
        free(text);
        free(o);
        conn_break(c);
        return;
    }
    o->text = text;
    o->write.data = c;
    uv_buf_t b = uv_buf_init(text, (unsigned)len);
    if (uv_write(&o->write, (uv_stream_t *)&c->pipe, &b, 1, written) != 0) {
        free(o->text);
        free(o);
        conn_break(c);
    }
}

/* Takes msg. */
static void conn_write(struct conn *c, json_t *msg)
{
    json_int_t id = json_integer_value(json_object_get(msg, "id"));
    char *text = msg != NULL ? json_dumps(msg, JSON_COMPACT) : NULL;
    json_decref(msg);
    if (text != NULL && strlen(text) >= DT_CONTROL_ANSWER_MAX)
        text = too_long(id, text);
    size_t len = text != NULL ? strlen(text) : 0;
    if (text != NULL)
        text[len++] = '\n'; /* in the place of the NUL */
    conn_send(c, text, len);
}

static void request_finish(struct dt_control_request *req, json_t *msg)
{
    struct conn *c = req->conn;
    c->req = NULL;
    free(req);
    conn_write(c, msg);
    conn_turn(c); /* the next request may be waiting */
}

void dt_control_answer(struct dt_control_request *req, json_t *result)
{
    request_finish(req, json_pack("{s:i, s:I, s:b, s:o}", "v", DT_CONTROL_VERSION, "id", req->id, "ok", 1,
                                  "result", result != NULL ? result : json_null()));
}

void dt_control_answer_pieces(struct dt_control_request *req, const struct dt_control_pieces *p, void *ctx)
{
    req->pieces = p;
    req->pieces_ctx = ctx;
    conn_turn(req->conn);
}

/* The next piece of an answer, with what stands before the first and behind the last one. */
static void conn_next_piece(struct conn *c)
{
    struct dt_control_request *req = c->req;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    bool more = false;
    if (f != NULL && !req->begun)
        fprintf(f, "{\"v\":%d,\"id\":%" JSON_INTEGER_FORMAT ",\"ok\":true,\"result\":", DT_CONTROL_VERSION,
                req->id);
    req->begun = true;
    if (f != NULL) {
        more = req->pieces->next(req->pieces_ctx, f);
        if (!more)
            fputs("}\n", f);
    }
    if (f != NULL && (ferror(f) | fclose(f)) != 0) {
        free(text);
        text = NULL;
    }
    if (!more) {
        req->pieces->end(req->pieces_ctx);
        c->req = NULL;
        free(req);
    }
    conn_send(c, text, len);
    conn_turn(c);
}

void dt_control_fail(struct dt_control_request *req, int code, json_t *detail, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    dt_utf8_vprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    request_finish(req, failure(req->id, code, detail, text));
}

void dt_control_event(struct dt_control_request *req, json_t *event)
{
    struct conn *c = req->conn;
    if (event == NULL)
        return; /* out of memory, or something in it is not UTF-8 */
    if (conn_backlog(c) > DT_CONTROL_BACKLOG_MAX) {
        req->dropped++;
        c->server->count.events_dropped++;
        json_decref(event);
        return;
    }
    if (req->dropped > 0)
        json_object_set_new(event, "dropped_before", json_integer((json_int_t)req->dropped));
    req->dropped = 0;
    conn_write(c, json_pack("{s:i, s:I, s:o}", "v", DT_CONTROL_VERSION, "id", req->id, "event", event));
}

void dt_control_on_cancel(struct dt_control_request *req, void (*fn)(void *arg), void *arg)
{
    req->cancel = fn;
    req->cancel_arg = arg;
}

/* Says why and closes: what the peer speaks is not this protocol, or it may not speak at all. */
static void conn_refuse(struct conn *c, json_int_t id, const char *text)
{
    c->last = true;
    uv_read_stop((uv_stream_t *)&c->pipe);
    conn_write(c, failure(id, 1, NULL, text));
}

static void conn_dispatch(struct conn *c, const json_t *msg)
{
    struct dt_control_server *s = c->server;
    const json_t *v = json_object_get(msg, "v"), *id = json_object_get(msg, "id");
    const char *name = json_string_value(json_object_get(msg, "command"));
    json_t *args = json_object_get(msg, "args");
    char text[256];
    if (json_integer_value(v) != DT_CONTROL_VERSION) {
        s->count.malformed++;
        snprintf(text, sizeof(text),
                 "the daemon speaks version %d of the control protocol, the request is version %lld",
                 DT_CONTROL_VERSION, (long long)json_integer_value(v));
        conn_refuse(c, json_integer_value(id), text);
        return;
    }
    if (name == NULL || (args != NULL && !json_is_object(args))) {
        s->count.malformed++;
        conn_refuse(c, json_integer_value(id), "a request has a command (a string) and args (an object)");
        return;
    }
    const struct dt_control_command *cmd = s->commands;
    while (cmd->name != NULL && strcmp(cmd->name, name) != 0)
        cmd++;
    struct dt_control_request *req = calloc(1, sizeof(*req));
    if (req == NULL) {
        conn_break(c);
        return;
    }
    *req = (struct dt_control_request){.conn = c, .id = json_integer_value(id)};
    c->req = req;
    s->count.requests++;
    if (cmd->name == NULL) {
        dt_control_fail(req, 1, NULL, "this daemon has no command \"%.40s\"", name);
        return;
    }
    json_t *none = args == NULL ? json_object() : NULL;
    json_incref(args);
    cmd->run(s->ctx, req, args != NULL ? args : none);
    json_decref(args);
    json_decref(none);
}

static void give_buffer(uv_handle_t *h, size_t want, uv_buf_t *buf)
{
    struct conn *c = h->data;
    *buf = uv_buf_init(c->buf + c->len, (unsigned)(sizeof(c->buf) - c->len));
}

static void got(uv_stream_t *st, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = st->data;
    if (n >= 0)
        c->len += (size_t)n;
    else if (n == UV_EOF)
        c->ended = true;
    else
        c->broken = true;
    if (c->len == sizeof(c->buf)) {
        c->full = true;
        uv_read_stop(st);
    }
    conn_turn(c);
}

static void take_line(struct conn *c, size_t len)
{
    json_t *msg = json_loadb(c->buf, len, JSON_REJECT_DUPLICATES, NULL);
    memmove(c->buf, c->buf + len + 1, c->len - len - 1);
    c->len -= len + 1;
    if (c->full)
        uv_read_start((uv_stream_t *)&c->pipe, give_buffer, got);
    c->full = false;
    if (json_is_object(msg)) {
        conn_dispatch(c, msg);
    } else {
        c->server->count.malformed++;
        conn_refuse(c, 0, "the request is not a JSON object on one line");
    }
    json_decref(msg);
}

/* Takes the next line, if it may be taken: the request before it is answered, and its reader keeps up. */
static void conn_next_line(struct conn *c)
{
    if (c->ended && c->req != NULL) /* nobody waits for it any more */
        conn_close(c);
    if (c->closing || c->last || c->req != NULL || conn_backlog(c) > DT_CONTROL_BACKLOG_MAX)
        return;
    const char *nl = memchr(c->buf, '\n', c->len);
    if (nl != NULL) {
        take_line(c, (size_t)(nl - c->buf));
        conn_turn(c); /* answered at once: there may be another */
    } else if (c->len == sizeof(c->buf)) {
        c->server->count.malformed++;
        conn_refuse(c, 0, "the request is longer than 65536 bytes");
    } else if (c->ended) {
        c->last = true;
        if (conn_backlog(c) == 0)
            conn_close(c);
    }
}

static bool conn_has_piece(struct conn *c)
{
    return c->req != NULL && c->req->pieces != NULL;
}

/* One line of each connection that has one, and one piece in all: a piece is work, and the loop has other things to do.
 * Whatever a command does, to whichever connection: only the list is kept in hand, and who comes anew waits for the next
 * round. */
static void take_turns(uv_idle_t *idle)
{
    struct dt_control_server *s = idle->data;
    bool made = false;
    for (size_t n = s->nconn; n > 0 && !made && !dt_list_empty(&s->turns); n--) {
        struct conn *c = DT_CONTAINER_OF(s->turns.next, struct conn, turn);
        dt_list_del(&c->turn);
        if (c->broken) {
            conn_close(c);
        } else if (!conn_has_piece(c)) {
            conn_next_line(c);
        } else if (conn_backlog(c) <=
                   DT_CONTROL_BACKLOG_MAX) { /* else it comes again when its reader has read */
            conn_next_piece(c);
            made = true;
        }
    }
    if (dt_list_empty(&s->turns))
        uv_idle_stop(idle);
}

/* The peer's groups as they were when it connected, from the kernel: no name service is asked, which may take long. */
static bool in_group(int fd, gid_t wanted)
{
    gid_t groups[1024];
    socklen_t len = sizeof(groups);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
        return false;
    for (size_t i = 0; i < len / sizeof(groups[0]); i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

static bool may_speak(struct conn *c)
{
    uv_os_fd_t fd;
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (uv_fileno((uv_handle_t *)&c->pipe, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return false;
    if (cred.uid == 0 || cred.uid == geteuid())
        return true;
    gid_t wanted = c->server->gid;
    return wanted != (gid_t)-1 && (cred.gid == wanted || in_group(fd, wanted));
}

static void incoming(uv_stream_t *listener, int status)
{
    struct dt_control_server *s = listener->data;
    struct conn *c = status == 0 ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL)
        return;
    c->server = s;
    dt_list_init(&c->link);
    dt_list_init(&c->turn);
    uv_pipe_init(listener->loop, &c->pipe, 0);
    c->pipe.data = c;
    s->nconn++;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) != 0) {
        conn_close(c);
        return;
    }
    dt_list_add_tail(&s->conns, &c->link);
    if (!may_speak(c)) {
        s->count.refused++;
        conn_refuse(c, 0, "only root and members of the socket's group may speak to this daemon");
    } else if (s->nconn > DT_CONTROL_CLIENTS_MAX) {
        s->count.refused++;
        conn_refuse(c, 0, "too many connections to the control socket at a time");
    } else {
        uv_read_start((uv_stream_t *)&c->pipe, give_buffer, got);
    }
}

/* Is somebody listening there already? A file that nobody listens on is removed. */
static int take_path(const char *path, struct dt_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : dt_err_set(err, 0, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return dt_err_set(err, 0, "%s is in the way: it is not a socket, and is left alone", path);
    struct dt_control_client *c = dt_control_connect(path, NULL);
    if (c != NULL) {
        dt_control_disconnect(c);
        return dt_err_set(
            err, 0, "another daemon is already running and answers at %s; it is left undisturbed", path);
    }
    if (unlink(path) != 0)
        return dt_err_set(err, 0, "cannot remove the stale socket %s: %s", path, strerror(errno));
    return 0;
}

static void handle_closed(uv_handle_t *h)
{
    struct dt_control_server *s = h->data;
    s->handles--;
    server_free(s);
}

/* The file is made with its group: to change that afterwards is a right that not everybody has who may change his own. */
static int bind_with_group(uv_pipe_t *pipe, const char *path, gid_t gid)
{
    gid_t own = getegid();
    bool other = gid != (gid_t)-1 && gid != own && setegid(gid) == 0;
    mode_t old = umask(0117);
    int rc = uv_pipe_bind(pipe, path);
    umask(old);
    if (other && setegid(own) != 0)
        rc = rc == 0 ? uv_translate_sys_error(errno) : rc;
    return rc;
}

static int have_group(const char *path, gid_t gid)
{
    struct stat st;
    if (gid == (gid_t)-1 || (stat(path, &st) == 0 && st.st_gid == gid))
        return 0;
    return chown(path, (uid_t)-1, gid) == 0 ? 0 : uv_translate_sys_error(errno);
}

struct dt_control_server *dt_control_server_open(uv_loop_t *loop, const char *path, gid_t gid,
                                                 const struct dt_control_command *commands, void *ctx,
                                                 struct dt_err *err)
{
    struct dt_control_server *s;
    if (strlen(path) >= sizeof(s->path)) {
        dt_err_set(err, 0, "the socket's path %s is longer than %zu bytes", path, sizeof(s->path) - 1);
        return NULL;
    }
    if (take_path(path, err) != 0)
        return NULL;
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    strcpy(s->path, path);
    s->commands = commands;
    s->ctx = ctx;
    s->gid = gid;
    dt_list_init(&s->conns);
    dt_list_init(&s->turns);
    uv_pipe_init(loop, &s->pipe, 0);
    uv_idle_init(loop, &s->idle);
    s->pipe.data = s->idle.data = s;
    s->handles = 2;
    int rc = bind_with_group(&s->pipe, path, gid);
    bool bound = rc == 0;
    if (rc == 0 && (rc = have_group(path, gid)) == 0)
        rc = uv_listen((uv_stream_t *)&s->pipe, 16, incoming);
    if (rc != 0) {
        dt_err_set(err, 0, "cannot listen at %s: %s", path, uv_strerror(rc));
        if (!bound)
            s->path[0] = '\0';
        dt_control_server_close(s);
        return NULL;
    }
    return s;
}

void dt_control_server_close(struct dt_control_server *s)
{
    if (s == NULL || s->closed)
        return;
    s->closed = true;
    dt_list_for_each_safe (l, &s->conns) {
        conn_close(DT_CONTAINER_OF(l, struct conn, link));
    }
    if (s->path[0] != '\0')
        unlink(s->path);
    uv_close((uv_handle_t *)&s->pipe, handle_closed);
    uv_close((uv_handle_t *)&s->idle, handle_closed);
}

const struct dt_control_counters *dt_control_server_counters(const struct dt_control_server *s)
{
    return &s->count;
}

const char *dt_control_arg_string(const json_t *args, const char *name)
{
    return json_string_value(json_object_get(args, name));
}

int64_t dt_control_arg_int(const json_t *args, const char *name, int64_t otherwise)
{
    const json_t *v = json_object_get(args, name);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool dt_control_arg_bool(const json_t *args, const char *name, bool otherwise)
{
    const json_t *v = json_object_get(args, name);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}
