/* What the data path is told that a tunnel of the endpoint carries, of either role. Control thread. */
#ifndef DT_TUNNELS_CARRY_H
#define DT_TUNNELS_CARRY_H

#include "base/addr.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/selector.h"
#include "base/table.h"

struct daemon;
struct tun;

struct carried {
    struct dt_table tunnels;         /* those that the data path has, by their number in the endpoint */
    struct dt_siphash_key owner_key; /* owners of tunnels as numbers */
};

void carry_init(struct carried *c, const struct dt_siphash_key *owner_key);
void carry_free(struct carried *c);

bool carry_has(const struct daemon *d, uint32_t id);
/* From now on it carries that, and holds until it is told otherwise where the data path did not have it. 0, or -1 with *err. */
int carry_set(struct daemon *d, uint32_t id, const struct dt_selectors *local,
              const struct dt_selectors *remote, struct dt_err *err);
/* The same before there is any epoch: what a client's tunnel will carry is known from its configuration. */
int carry_set_from_config(struct daemon *d, struct tun *t, struct dt_err *err);
void carry_forget(struct daemon *d, uint32_t id);

/* Makes the data path hold what the tunnel will carry, before there is any epoch. */
void carry_hold(struct daemon *d, struct tun *t);
/* Tells the data path anew what the tunnel carries, where it knows the tunnel; its state stays. */
void carry_describe(struct daemon *d, struct tun *t);

#endif
