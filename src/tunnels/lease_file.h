/* The file behind the leases: what stands in memory is written to it, and read from it once, when it is opened. Control thread. */
#ifndef DT_TUNNELS_LEASE_FILE_H
#define DT_TUNNELS_LEASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "base/err.h"

/* Of a database of leases, in memory or on a disk. */
extern const char lease_schema[];

struct lease_file;

struct lease_row {
    const char *gateway, *identity;
    uint8_t ver;
    const uint8_t *addr; /* 4 or 16 octets */
    int64_t at;
};

/* Reads what the file has into the table of `memory`; nothing counts as taken. Where it can be written now or later with what is
 * opened here, *out is not NULL. Otherwise *why says why not: its place is read-only or full. -1 with *err: there are leases in it that
 * cannot be read, or it is something else, or there can be no such file. */
int lease_file_open(const char *path, sqlite3 *memory, struct lease_file **out, char *why, size_t cap,
                    struct dt_err *err);
void lease_file_close(struct lease_file *f); /* NULL is fine */

/* 0, or -1, and lease_file_why says why; nothing is half written. */
int lease_file_put(struct lease_file *f, const struct lease_row *row);
int lease_file_release(struct lease_file *f, const struct lease_row *row); /* of its identity; no addr */
int lease_file_all(struct lease_file *f, sqlite3 *memory); /* all that `memory` has, and nothing else */
const char *lease_file_why(const struct lease_file *f);

#endif
