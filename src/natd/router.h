/* The router as dovetail-natd wants it: read, compared and mended (host/reconcile.h); and what is missing of it. */
#ifndef DT_NATD_ROUTER_H
#define DT_NATD_ROUTER_H

#include "base/err.h"
#include "base/time.h"
#include "host/reconcile.h"
#include "natd/facts.h"
#include "natd/kernel.h"
#include "net/netlink_tc.h"

#define NATD_REASONS_MAX 8 /* that are told; what blocks comes first */
#define NATD_BEFORE_MAX  8 /* filters before ours that are named */

/* A filter that somebody put before ours, and that may keep packets from it. */
struct natd_before {
    uint8_t port, hook;
    uint16_t pref; /* 0: a program of TCX, which comes before all filters */
    char kind[16];
};

struct natd_router {
    struct dt_kernel *kernel; /* borrowed */
    const char *name[NATD_PORTS];
    struct natd_names names;
    struct dt_nl *nl;
    struct dt_host *host;
    unsigned ifindex[NATD_PORTS];  /* 0: not there */
    bool has_address, has_clients; /* the caller's finding (network.c) */
    /* of the last reading */
    struct dt_nl_filters filters;
    struct dt_host_facts have;
    enum dt_nl_ingress place[NATD_PORTS];
    char in_our_place[NATD_PORTS][2]
                     [16]; /* the kind of a filter with our preference, by port and hook; "": none */
    struct natd_before before[NATD_BEFORE_MAX];
    unsigned n_before;
    struct dt_err why[NATD_CHAIN + 1][NATD_PORTS]; /* the kernel's words about what could not be set */
    /* what came of it */
    struct natd_reason reason[NATD_REASONS_MAX];
    unsigned n_reasons;
    bool attached, blocked;
    bool looked;              /* it has been read: */
    bool lo_was_open;         /* the loopback device accepted local addresses before us */
    bool found_attached;      /* another natd's program was there before ours */
    char unread[DT_ERR_TEXT]; /* the kernel could not be read; "": it could */
    uint64_t failed_looks;    /* that found the router not as wanted, after all that could be done */
    uint64_t mended;          /* facts that somebody changed and natd set again */
};

/* The interfaces' names are borrowed. -1 with *err. */
int natd_router_open(struct natd_router *r, struct dt_kernel *k, const char *inside, const char *outside,
                     const char *pins, struct dt_err *err);
void natd_router_close(struct natd_router *r); /* leaves the router as it is */
/* Takes our filters off, and gives back the sysctl that was set. */
void natd_router_leave(struct natd_router *r);
/* Finds the interfaces, and has the program know the outside one. */
void natd_router_look(struct natd_router *r);
/* Reads, sets what is missing, and reads again. */
void natd_router_reconcile(struct natd_router *r);

#endif
