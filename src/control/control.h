/* The control socket: JSON objects, one a line, over a Unix stream socket. Shared by dovetaild and
 * dovetail-natd (server side, on libuv) and dovetail (client side, blocking).
 *
 * Request    {"v":1, "id":N, "command":"status", "args":{...}}
 * Answer     {"v":1, "id":N, "ok":true,  "result":...}
 *            {"v":1, "id":N, "ok":false, "code":1|2, "error":"one sentence", "detail":{...}}
 * Stream     {"v":1, "id":N, "event":{...}}, any number of them before the answer; the answer ends it.
 *
 * `code` is the exit status that dovetail ends with: 1 refused or failed, 2 bad usage or configuration.
 * One request is handled at a time on a connection, except that closing it ends whatever is under way; the next
 * is taken from the loop, never from inside a call of the server's. A line is at most DT_CONTROL_LINE_MAX bytes, and
 * a server has at most DT_CONTROL_CLIENTS_MAX connections. For a reader that is slow no more than
 * DT_CONTROL_BACKLOG_MAX bytes and one answer are kept: its next request waits, an answer in pieces is not made further,
 * and a stream loses events (it is told how many). Only root, the server's own user and members of the socket's group may speak (SO_PEERCRED,
 * SO_PEERGROUPS); others are told so and closed. */
#ifndef DT_CONTROL_CONTROL_H
#define DT_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <jansson.h>
#include <uv.h>

#include "base/err.h"

#define DT_CONTROL_VERSION     1
#define DT_CONTROL_LINE_MAX    65536       /* a request */
#define DT_CONTROL_ANSWER_MAX  (64u << 20) /* an answer that is made at once */
#define DT_CONTROL_PIECES_MAX  (256u << 20) /* an answer in pieces; what a client accepts */
#define DT_CONTROL_CLIENTS_MAX 64
#define DT_CONTROL_BACKLOG_MAX (1u << 20) /* bytes queued for one slow reader of a stream */

#define DT_CONTROL_SOCKET      "/run/dovetail/dovetaild.sock"
#define DT_CONTROL_SOCKET_NATD "/run/dovetail/natd.sock"

/* ---- server ---- */

struct dt_control_server;
struct dt_control_request; /* one request that has not been answered yet */

struct dt_control_command {
    const char *name;
    /* Must answer (dt_control_answer or dt_control_fail), now or later. args is borrowed for the call and is
     * always an object. */
    void (*run)(void *ctx, struct dt_control_request *req, const json_t *args);
};

struct dt_control_counters {
    uint64_t requests, refused, malformed, events_dropped;
};

/* Listens at `path` (mode 0660, group `gid` when it is not (gid_t)-1). A stale socket file is replaced; one
 * that somebody answers on is an error ("already running"), and nothing is touched. The commands (ended by a
 * NULL name) must outlive the server. NULL with *err set on failure. */
struct dt_control_server *dt_control_server_open(uv_loop_t *loop, const char *path, gid_t gid,
                                                 const struct dt_control_command *commands, void *ctx,
                                                 struct dt_err *err);
/* Closes connections and listener, and unlinks the socket. Unanswered requests are cancelled. Its memory is
 * freed from the loop, so run it once more (UV_RUN_DEFAULT until it has no handles) afterwards. */
void dt_control_server_close(struct dt_control_server *s);
const struct dt_control_counters *dt_control_server_counters(const struct dt_control_server *s);

/* These three call no command and no cancel function from inside: they may be used in the middle of anything. */
/* Ends the request; `result` is stolen (NULL is null). After it, req is gone. An answer of more than
 * DT_CONTROL_ANSWER_MAX bytes becomes an error that says so. */
void dt_control_answer(struct dt_control_request *req, json_t *result);
/* Ends the request with a result that is made piece by piece, so that a long one holds nobody up and does not wait in
 * memory for a slow reader. In one turn of the loop one piece is made, for one connection. `next` writes JSON to `out`, from
 * the loop alone; false: that was the last of it. `end` is called once, when nothing more is
 * wanted of ctx, also where the peer has gone or the server closes; neither may answer or close anything. */
struct dt_control_pieces {
    bool (*next)(void *ctx, FILE *out);
    void (*end)(void *ctx);
};
void dt_control_answer_pieces(struct dt_control_request *req, const struct dt_control_pieces *p, void *ctx);
/* Ends the request with an error. `detail` (stolen) may be NULL: both sides' values, for --json. */
void dt_control_fail(struct dt_control_request *req, int code, json_t *detail, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* One event of a stream; `event` is stolen (NULL: nothing is sent). req stays, also when its reader is gone: then its
 * cancel function is called from the loop. */
void dt_control_event(struct dt_control_request *req, json_t *event);
/* Called, from the loop or dt_control_server_close(), when the peer goes away or the server closes before the request
 * was answered; req is gone after it. */
void dt_control_on_cancel(struct dt_control_request *req, void (*fn)(void *arg), void *arg);

/* Arguments: the value, or NULL / `otherwise` when it is absent or of another type. */
const char *dt_control_arg_string(const json_t *args, const char *name);
int64_t dt_control_arg_int(const json_t *args, const char *name, int64_t otherwise);
bool dt_control_arg_bool(const json_t *args, const char *name, bool otherwise);

/* ---- client ---- */

struct dt_control_client;

/* Connects; NULL with *err set (what is not there, and what to do about it). */
struct dt_control_client *dt_control_connect(const char *path, struct dt_err *err);
void dt_control_disconnect(struct dt_control_client *c);
/* Sends a request; args is stolen and may be NULL. 0 or -1. */
int dt_control_send(struct dt_control_client *c, const char *command, json_t *args, struct dt_err *err);

enum dt_control_kind { DT_CONTROL_ERROR, DT_CONTROL_EVENT, DT_CONTROL_ANSWER };
struct dt_control_message {
    json_t *value;     /* the event or the result: a new reference; on an error its detail, or NULL */
    int code;          /* 0, or the exit status to end with */
    struct dt_err err; /* the sentence, when code is not 0 */
};
/* Waits for the next message. timeout_ms < 0: for ever. A broken connection or a timeout is an error of
 * code 1. */
enum dt_control_kind dt_control_next(struct dt_control_client *c, int timeout_ms,
                                     struct dt_control_message *m);
/* Connect, send, wait for the answer. Returns the code (0: *result is a new reference). On an error
 * *result is the detail or NULL and *err has the sentence. Events are ignored. */
int dt_control_call(const char *path, const char *command, json_t *args, json_t **result, struct dt_err *err);

#endif
