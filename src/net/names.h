/* Names to addresses, on threads of its own. What the C library asks of a name server may take many seconds and cannot be
 * called off: so nobody waits here for a look-up, not at the end either, and names that hang do not keep others from being
 * looked up. One thread asks and takes answers. */
#ifndef DT_NET_NAMES_H
#define DT_NET_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

#define DT_NAMES_THREADS 64    /* look-ups at a time; half of them at most for names that failed before */
#define DT_NAMES_ASKED   65536 /* that wait or are under way; more is an error */
#define DT_NAMES_ADDRS   4     /* of one name */

struct dt_names;

/* NULL with *err: no memory, no descriptor. */
struct dt_names *dt_names_open(struct dt_err *err);
/* Waits for nobody: look-ups under way end by themselves, and what they hear is thrown away. NULL is fine. */
void dt_names_close(struct dt_names *n);
int dt_names_fd(const struct dt_names *n); /* readable when there may be an answer */

/* Looks a name up. The answer bears `ticket`, a number of the caller's that none of its others under way has. `again`: it
 * failed last time, and waits behind the others. -1 with *err: too many, no memory. */
int dt_names_ask(struct dt_names *n, const char *name, bool again, uint64_t ticket, struct dt_err *err);
/* No answer comes for this ticket any more. */
void dt_names_forget(struct dt_names *n, uint64_t ticket);

struct dt_names_answer {
    uint64_t ticket;
    uint8_t naddr; /* without repetitions, in the order of the C library; 0: none, and why */
    uint16_t more; /* that there was no room for */
    struct dt_addr addr[DT_NAMES_ADDRS];
    char why[96];
};
/* The next answer. False: none now. */
bool dt_names_next(struct dt_names *n, struct dt_names_answer *out);

#endif
