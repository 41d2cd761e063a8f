/* Inside addresses, leased to identities. One small interface, so that several gateways can share a store one day; the
 * one that is here is a table in memory, and an SQLite file that follows it and survives a restart: a client gets its address
 * back. What the table says counts: when the file cannot be written, on a full or read-only disk, leases go on, and it follows
 * later.
 *
 * A lease belongs to (gateway, identity, IP version) and stays remembered after its release until the pool has no
 * address left that nobody ever had; then the one released longest ago is given to somebody else. Bounded: a pool
 * holds at most DT_LEASE_POOL_MAX leases. Times are seconds since 1970. */
#ifndef DT_TUNNELS_LEASE_H
#define DT_TUNNELS_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

#define DT_LEASE_POOL_MAX 65536

struct dt_lease_counters {
    uint64_t taken, again, recycled, refused; /* again: the same address as last time */
    uint64_t scanned; /* addresses that were looked at on the way to one that nobody had */
};

/* Who wants an address, out of what. */
struct dt_lease_ask {
    const char *gateway, *identity;
    uint8_t ver;
    const struct dt_prefix *pool; /* may hold both versions */
    size_t npool;
    struct dt_addr wish; /* given where it is free; ver 0: none */
    bool fixed;          /* the configuration gives `wish` to this identity: nothing else will do */
    int64_t now;
    /* Whether an address may not be given to this identity though the store knows of no lease: it is the host's, or
     * fixed for somebody else. NULL: every address of the pools may be. */
    bool (*reserved)(void *ctx, const struct dt_addr *a);
    void *ctx;
    uint64_t reserved_print; /* another number: `reserved` says something else than before */
};

/* What a store must do. All calls may block for a disk's time, not for a network's. */
struct dt_lease_store {
    /* An address for this identity: the one it had, else the one it wishes, else a new one. Never the first of a pool,
     * nor the last of an IPv4 pool. -1 with *err: the pools are used up (DT_WHY_POOL_USED_UP), or what is fixed is
     * somebody's lease still. */
    int (*take)(struct dt_lease_store *s, const struct dt_lease_ask *ask, struct dt_addr *out,
                struct dt_err *err);
    void (*release)(struct dt_lease_store *s, const char *gateway, const char *identity, uint8_t ver,
                    int64_t now);
    /* Now and then: what could not be kept before is tried again. */
    void (*sync)(struct dt_lease_store *s);
    /* It tries once more, and forgets. */
    void (*close)(struct dt_lease_store *s);
    /* Set by the driver, or NULL: the image of an SQLite file takes the place of the one that could not be opened for writing. 0, or
     * -1 with *err. */
    int (*keep)(void *user, const void *image, size_t len, struct dt_err *err);
    void *user;
    char unkept[320]; /* a sentence: what was leased last is not on the disk, and why; empty: all is */
    struct dt_lease_counters count;
};

/* Is it one that may be leased out of these pools: in one of them, and neither its first nor, in IPv4, its last? */
bool dt_lease_in_pools(const struct dt_addr *addr, const struct dt_prefix *pool, size_t n);

/* The file is made where it is missing (its folder too, one level); ":memory:" keeps nothing. Whatever was taken before
 * counts as released: the sessions of a daemon that ended are gone. A file that cannot be written is no error (`unkept`). One
 * that has leases and cannot be read is: they would be leased to others. NULL with *err. */
struct dt_lease_store *dt_lease_sqlite(const char *path, struct dt_err *err);

#endif
