/* Which tunnels `dovetail up` asked for, kept on disk. Control thread. */
#ifndef DT_TUNNELS_WANTS_H
#define DT_TUNNELS_WANTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct daemon;
struct tun;

struct wants {
    json_t *before; /* of the daemon before this one: {"up", "closed"}; NULL: none */
    char *text;     /* what the file has; NULL: there is none */
    bool unread;    /* it is there, and cannot be believed */
};

bool wants_path(const struct daemon *d, char *out,
                size_t cap);       /* of the file; false, and empty: nothing is kept */
void wants_load(struct daemon *d); /* before the first configuration is applied */
void wants_recall(struct daemon *d,
                  struct tun *t);    /* sets `wanted` and `unsure` of one with start = manual */
void wants_save(struct daemon *d);   /* where it is not what the file has */
void wants_forget(struct daemon *d); /* what was asked for before: each tunnel has been told */
void wants_close(struct daemon *d);

#endif
