/* What Dovetail wants of this host, what the host has, and the difference.
 *
 * Nothing that was put into the kernel is remembered as done: whoever administers the host, another daemon, or a link that
 * goes down may take it away. So the owner states the whole of what it wants, as facts, and dt_host_reconcile reads what
 * there is, applies the difference, and reads again. It does so at start, after each change of what is wanted, at news from
 * the kernel, and on a slow timer.
 *
 *   fact    one thing that is so or is not: the device is up; an address, a route, a rule is there
 *   want    the facts that the owner asks for
 *   have    the facts that the kernel has, as far as they are ours to say: all routes of our table, our rules, our packet
 *           filter, the state of our device and the addresses on it
 *
 * Ours to take away is: every route in our table, our rules, and addresses of the device that bear our protocol number (a
 * kernel before 5.18 keeps none for addresses: there they stay until the device goes). The device is never taken down.
 *
 * Everything belongs to one thread. Nothing here blocks longer than the kernel takes to answer. */
#ifndef DT_HOST_HOST_H
#define DT_HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "host/filter.h"
#include "net/netlink.h"

/* In the order in which they are set; they are taken away in reverse. */
enum dt_host_kind {
    DT_HOST_FILTER,  /* the packet filter (host/filter.h) */
    DT_HOST_BARRIER, /* a route that leads nowhere, behind those that lead into the device */
    DT_HOST_LINK,    /* the device is there, and up */
    DT_HOST_ADDR,    /* an address on the device */
    DT_HOST_ROUTE,   /* a route into the device */
    DT_HOST_RULE,    /* what is not marked looks into our table first */
};

struct dt_host_fact {
    enum dt_host_kind kind;
    struct dt_prefix prefix; /* BARRIER, ROUTE: what it is for. ADDR: the address, and its prefix length */
    struct dt_addr src;      /* ROUTE: preferred source; ver 0: none */
    uint32_t mtu;            /* ROUTE: 0: the device's */
    uint8_t ver;             /* RULE: 4 or 6 */
    bool foreign;    /* of what the host has: somebody else's. A foreign route in our table is taken away, or
                                replaced; a foreign address is left alone, and serves as well as our own */
    uint32_t metric; /* of a foreign route */
    uint64_t value;  /* FILTER: host/filter.h */
    uint32_t owner;  /* of what is wanted: the caller's number; not compared */
};

/* A list of facts. Zeroed before its first use; dt_host_facts_free gives its memory back. */
struct dt_host_facts {
    struct dt_host_fact *v;
    size_t n, cap;
};
/* 0, or -1: no memory. */
int dt_host_facts_add(struct dt_host_facts *l, const struct dt_host_fact *f);
void dt_host_facts_free(struct dt_host_facts *l);
/* Order by kind, then by what makes two facts the same place in the kernel (prefix, version). 0: the same place. */
int dt_host_place_cmp(const struct dt_host_fact *a, const struct dt_host_fact *b);
bool dt_host_fact_eq(const struct dt_host_fact *a,
                     const struct dt_host_fact *b); /* the same place and the same value */
/* Sorts; of several for one place the first that was added stays. */
void dt_host_facts_settle(struct dt_host_facts *l);
/* Of two settled lists: what is to be set (in order), and what is to be taken away (in order). A place whose value
 * changes is set alone: setting replaces. 0, or -1: no memory. */
int dt_host_diff(const struct dt_host_facts *want, const struct dt_host_facts *have,
                 struct dt_host_facts *set, struct dt_host_facts *remove);

#define DT_HOST_FACT_STRLEN 128
/* "route 10.1.0.0/16 into the device", for people. Returns buf. */
const char *dt_host_fact_str(char buf[DT_HOST_FACT_STRLEN], const struct dt_host_fact *f);

/* The host itself. */
struct dt_host_ops {
    /* Fills *have (emptied before) with what is ours to say. -1 with *err: nothing is known. */
    int (*read)(void *user, struct dt_host_facts *have, struct dt_err *err);
    /* One fact set, or taken away. -1 with *err. */
    int (*change)(void *user, bool set, const struct dt_host_fact *f, struct dt_err *err);
    /* A fact that stood and was found missing, or that stood in our place and is foreign: it has been mended (err NULL), or
     * could not be. May be NULL. */
    void (*mended)(void *user, bool set, const struct dt_host_fact *f, const struct dt_err *err);
};

struct dt_host_result {
    unsigned set, removed;     /* changes that were made */
    unsigned missing;          /* facts that are wanted and not there after all */
    struct dt_host_fact first; /* the first of these, and why; unset when there are none */
    struct dt_err why;
};

struct dt_host;
/* ops and user are borrowed. NULL: no memory. */
struct dt_host *dt_host_new(const struct dt_host_ops *ops, void *user);
void dt_host_free(struct dt_host *h); /* NULL is fine; leaves the host as it is */
/* Takes *want over (it is empty afterwards) as what is wanted from now on, and reconciles. 0: the host is as wanted, or
 * -1: something is missing or could not be read; *result (may be NULL) says what. */
int dt_host_want(struct dt_host *h, struct dt_host_facts *want, struct dt_host_result *result);
/* The same again with what is wanted already. */
int dt_host_reconcile(struct dt_host *h, struct dt_host_result *result);
/* Why a fact of this owner is missing; NULL: none is. Valid until the next call. */
const char *dt_host_missing(const struct dt_host *h, uint32_t owner);

/* The kernel, as ops for one device and table (host/kernel.c). */
struct dt_host_kernel {
    struct dt_nl *nl; /* borrowed */
    unsigned ifindex; /* of the device; may change when it is made anew */
    uint32_t table, priority, mark;
    struct dt_host_filter *filter; /* borrowed; NULL: none is looked at */
    /* owned by the functions below */
    struct dt_nl_routes routes;
    struct dt_nl_addrs addrs;
};
int dt_host_kernel_read(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err);
int dt_host_kernel_change(struct dt_host_kernel *k, bool set, const struct dt_host_fact *f,
                          struct dt_err *err);
void dt_host_kernel_free(struct dt_host_kernel *k);

#endif
