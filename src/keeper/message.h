/* Inside the keeper room: what goes over the socket between the daemon and its keeper. One datagram (SOCK_SEQPACKET) is one
 * struct, cut behind what its kind uses; both ends are one program, forked. Descriptors go beside it (SCM_RIGHTS). */
#ifndef DT_KEEPER_MESSAGE_H
#define DT_KEEPER_MESSAGE_H

#include <sys/types.h>

#include "keeper/keeper.h"
#include "net/datapath.h"

#define KEEPER_FACTS_EACH  128
#define KEEPER_FACTS_MAX   DT_NL_DUMP_MAX /* of one want */
#define KEEPER_OWNERS_EACH 256
#define KEEPER_FDS_MAX     DT_DP_WORKERS_MAX
#define KEEPER_PATH_MAX    4096
#define KEEPER_KEEP_MAX    (64u << 20) /* octets */

enum keeper_what {
    KEEPER_LOAD = 1,
    KEEPER_SETUP,
    KEEPER_DEVICE,
    KEEPER_FACTS, /* n of what will be wanted; no answer */
    KEEPER_WANT,  /* n: how many there were in all */
    KEEPER_KEEP,  /* n: enum dt_keeper_file; beside it a descriptor of what is to be kept */
    KEEPER_KEYLOG,
    KEEPER_SOCKET,
    KEEPER_NAMES,
    KEEPER_DISCOVER_OPEN,
    KEEPER_DISCOVER_CLOSE,
    KEEPER_DISMISS,
};

struct keeper_socket {
    uint8_t ver, stream;
};

struct keeper_request {
    uint32_t what, n;
    union {
        struct dt_keeper_setup setup;
        struct dt_host_fact fact[KEEPER_FACTS_EACH];
        struct keeper_socket socket;
        struct dt_keeper_names names;
    } u;
};

/* Is it one, whole, and is everything in it as it may be? `len` octets were received into *r. */
bool keeper_request_ok(const struct keeper_request *r, size_t len);
size_t keeper_request_len(const struct keeper_request *r); /* of one that is to be sent */

enum keeper_answer {
    KEEPER_DONE = 1, /* of every request but KEEPER_FACTS: the last, and but for a want the only answer */
    KEEPER_MENDED,   /* of a want: as many as there are */
    KEEPER_OWNERS,   /* of a want: n owners of what is missing */
};

struct keeper_reply {
    uint32_t answer, n;
    int32_t rc;
    union {
        struct dt_err err; /* rc -1: why. KEEPER_SETUP, rc 0: the note */
        struct dt_tun tun;
        struct {
            struct dt_host_fact fact;
            struct dt_err err;
            uint8_t set, failed;
        } mended;
        uint32_t owner[KEEPER_OWNERS_EACH];
        struct {
            uint32_t set, removed, missing, news, looks; /* struct dt_host_result */
            struct dt_host_filter_counters dropped;
            struct dt_host_fact first;
            struct dt_err why;
            uint8_t unread; /* nothing is known of the host */
        } want;
    } u;
};

/* ---- the reader of configurations (files.c), on a socket of its own ---- */

enum keeper_file_what {
    KEEPER_FILE_TEXT = 1, /* the configuration, or what it includes */
    KEEPER_FILE_SECRET,
    KEEPER_FILE_MATCH, /* a pattern that is included: the paths follow, one a message */
};

struct keeper_file_request {
    uint32_t what;
    char path[KEEPER_PATH_MAX]; /* as far as its NUL */
};
bool keeper_file_request_ok(const struct keeper_file_request *r, size_t len);

struct keeper_file_reply {
    int32_t error; /* errno; 0 */
    uint32_t n;    /* of a match: so many paths follow */
};

/* 0, or -1 with errno. */
int keeper_send(int fd, const void *msg, size_t len, const int *fds, size_t nfds);
/* The length, 0 at the end, or -1 with errno. *nfds: how many fds has room for, then how many came; others are closed. */
ssize_t keeper_recv(int fd, void *msg, size_t cap, int *fds, size_t *nfds);

/* serve.c: the process. Does not return before the conversation is over; 0: with a goodbye. */
int keeper_serve(int fd, const char *config);
/* keep.c: writes what the descriptor has into the file, as a whole or not at all. 0, or -1 with *err. */
int keeper_keep(const char *path, bool database, int from, struct dt_err *err);

/* names.c: a child's. Says the end on `out`. */
void keeper_names_apply(int out, const char *device, const struct dt_keeper_names *n);

/* run.c: one program, no shell, until it ends or its time is up: then it and its process group are killed. */
struct keeper_program {
    const char *const *argv; /* argv[0] is looked for in PATH unless it has a slash */
    const char *const *envp;
    const char *input; /* on its standard input; NULL: nothing. A few kilobytes */
    unsigned seconds;
    void (*line)(void *user, const char *text); /* of its output, as it comes, at most RUN_LINES */
    void *user;
};
/* Its exit status; or -1 with *err: it cannot be run, a signal ended it, or its time was up. */
int keeper_run(const struct keeper_program *p, struct dt_err *err);
bool keeper_run_found(const char *name, char *path, size_t cap); /* in PATH */
/* A word to whoever listens at the other end; nobody may. */
void keeper_say(int out, bool end, int rc, const char *text);

/* files.c: the child. Does not return before the other end has closed. */
void keeper_files_serve(int fd, const char *config);

/* reconcile.c: the host's part of the keeper. */
struct keeper_host;
struct keeper_host *keeper_host_new(const struct dt_keeper_setup *s, struct dt_err *note);
void keeper_host_free(struct keeper_host *h);
int keeper_host_device(struct keeper_host *h, struct dt_tun *tun, int *fd, struct dt_err *err);
void keeper_host_tap(struct keeper_host *h, struct dt_tap *tap); /* borrowed; NULL: none any more */
bool keeper_host_add(struct keeper_host *h, const struct dt_host_fact *f, size_t n); /* false: too many */
/* What was added is wanted; answers on fd. -1: the answer cannot be sent, or `n` is not what was added. */
int keeper_host_want(struct keeper_host *h, size_t n, int fd);
/* The daemon was killed: what was not closed is taken away. */
void keeper_host_end(struct keeper_host *h);

#endif
