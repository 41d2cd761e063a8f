/* Inside the keeper room: the daemon's end. */
#ifndef DT_KEEPER_CLIENT_H
#define DT_KEEPER_CLIENT_H

#include "base/bytes.h"
#include "keeper/message.h"

struct dt_keeper {
    int fd;
    char *config;
    char why[256];   /* it is gone; else empty */
    unsigned unasked; /* wants, one after the other, that could not be asked at all */
    struct dt_err unasked_why;
    uint32_t *owner; /* of what was missing at the last want, sorted */
    size_t nowner, owner_cap;
    bool unread;               /* the host could not be read then */
    struct dt_host_filter_counters dropped;
    struct dt_host_fact first; /* that was missing */
    char missing_why[DT_ERR_TEXT];
};

/* One request and its last answer, with what comes beside it. 0, or -1 with *err: refused, or the keeper is gone. */
int keeper_ask(struct dt_keeper *k, const struct keeper_request *r, struct keeper_reply *reply, int *fds,
               size_t nfds, struct dt_err *err);

#endif
