/* The kernel program of the NAT: loading, pinning, attaching, and looking into its tables. */
#ifndef DT_NATD_KERNEL_H
#define DT_NATD_KERNEL_H

#include <sys/types.h>

#include "base/err.h"
#include "masq/kern/shared.h"
#include "masq/masq.h"

struct dt_kernel;

struct dt_kernel_opts {
    struct dt_masq_sizes sizes;
    const char
        *pin;   /* directory on a bpffs that keeps the tables for the next natd; NULL: they die with us */
    bool flush; /* forget what is pinned there */
    /* Where nothing is pinned: the tables of a program that is attached here; may be NULL. */
    const char *inside, *outside;
    bool bench; /* load the benchmark's programs as well */
};

enum dt_kernel_prog {
    DT_KERNEL_INSIDE,
    DT_KERNEL_OUTSIDE,
    DT_KERNEL_EGRESS,
    DT_KERNEL_BENCH_INSIDE,
    DT_KERNEL_BENCH_OUTSIDE,
    DT_KERNEL_BENCH_EMPTY,
    DT_KERNEL_BENCH_SLOT,
    DT_KERNEL_BENCH_SINK,
    DT_KERNEL_BENCH_SOURCE,
};
/* Loads the program, with the pinned tables when there are some of the same shape. NULL, and a sentence that names
 * what is missing. */
struct dt_kernel *dt_kernel_open(const struct dt_kernel_opts *o, struct dt_err *err);
/* What is attached stays attached, what is pinned stays pinned. */
void dt_kernel_close(struct dt_kernel *k);
/* True when dt_kernel_open took over tables that were there. */
bool dt_kernel_took_over(const struct dt_kernel *k);

/* Parameters and addresses for the packets from now on. */
void dt_kernel_configure(struct dt_kernel *k, const struct dt_masq_params *p);
const struct dt_masq_params *dt_kernel_params(const struct dt_kernel *k);
struct nat_setup *dt_kernel_setup(struct dt_kernel *k); /* read by the kernel at each packet */
const struct nat_last *dt_kernel_last(const struct dt_kernel *k);

/* Our filters: so that others can stand before or after them, and so that we know them again. */
#define DT_KERNEL_PREF   53
#define DT_KERNEL_HANDLE 1

/* Both interfaces; a program that is there already is replaced without a gap. */
int dt_kernel_attach(struct dt_kernel *k, unsigned inside, unsigned outside, struct dt_err *err);
/* Of any natd, this one's or one's that has died. */
void dt_kernel_detach(unsigned inside, unsigned outside);

/* The parts of attaching, for one interface: the queueing discipline that has both places (one that is there stays as it
 * is), and one filter. -1 with *err. */
int dt_kernel_clsact(unsigned ifindex, struct dt_err *err);
int dt_kernel_filter(struct dt_kernel *k, enum dt_kernel_prog which, unsigned ifindex, struct dt_err *err);
/* The program's number, by which filters name it; 0: not known. */
uint32_t dt_kernel_prog_id(const struct dt_kernel *k, enum dt_kernel_prog which);
/* How many programs stand at one place before all filters (TCX, Linux 6.6). */
unsigned dt_kernel_tcx(unsigned ifindex, bool egress);

/* The pinned tables, 0 to dt_kernel_pins() - 1 (0: none are pinned): the number of the table that is wanted, of the one that
 * is there (0: none), its name, and pinning it. */
unsigned dt_kernel_pins(const struct dt_kernel *k);
uint32_t dt_kernel_pin_wanted(struct dt_kernel *k, unsigned i);
uint32_t dt_kernel_pin_found(struct dt_kernel *k, unsigned i);
const char *dt_kernel_pin_name(struct dt_kernel *k, unsigned i);
int dt_kernel_pin(struct dt_kernel *k, unsigned i, struct dt_err *err);
/* The pinned tables and their folder become that user's, so that it can pin them again. -1 with *err. */
int dt_kernel_give(struct dt_kernel *k, uid_t uid, gid_t gid, struct dt_err *err);

/* The kernel's clock as the program sees it. */
dt_time dt_kernel_now(void);
/* Live items, as dt_masq_items. -1: the tables could not be read. */
int dt_kernel_items(struct dt_kernel *k, dt_time now, bool (*item)(void *ctx, const struct dt_masq_item *it),
                    void *ctx);
/* A rule's counter, or after them (DT_MASQ_RULE_COUNT + enum nat_counter) one of the program's own. */
uint64_t dt_kernel_count(struct dt_kernel *k, unsigned which);
/* Has the program forget what has expired; gives the number of keys that it looked at. */
size_t dt_kernel_sweep(struct dt_kernel *k, dt_time now);
/* Empties every table. */
void dt_kernel_flush(struct dt_kernel *k);
size_t dt_kernel_entries(struct dt_kernel *k, unsigned table); /* enum mq_table_id */

/* Events: a file descriptor for poll, and the reader. Both need `watch` set up by dt_kernel_watch. */
int dt_kernel_watch(struct dt_kernel *k, void (*event)(void *ctx, const struct dt_masq_event *ev), void *ctx);
int dt_kernel_watch_fd(const struct dt_kernel *k);
void dt_kernel_watch_read(struct dt_kernel *k);

/* For tests and the benchmark: file descriptors of the programs and tables. */
struct nat_bench *dt_kernel_bench(struct dt_kernel *k);
volatile uint64_t *dt_kernel_bench_sunk(struct dt_kernel *k);
int dt_kernel_prog_fd(const struct dt_kernel *k, enum dt_kernel_prog which);
int dt_kernel_table_fd(const struct dt_kernel *k, unsigned table);
int dt_kernel_peers_fd(const struct dt_kernel *k); /* addressees of the last multicast, per processor */

#endif
