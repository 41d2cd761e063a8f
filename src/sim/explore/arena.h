/* Memory that can be put back: while the arena is on, everything that this program allocates (malloc and its
 * relatives are wrapped at link time, see src/sim/meson.build) lies in one region at one address, so that a copy of
 * the region is a copy of the engines with all their pointers, and copying it back is going back in time. */
#ifndef DT_SIM_ARENA_H
#define DT_SIM_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Maps the region. 0, or -1. Once in a process. */
int sim_arena_open(void);
void sim_arena_close(void);
/* From now on allocations lie in the arena, or (false) outside it again. Freeing finds out by itself. */
void sim_arena_on(bool on);
/* What stands in the arena now is the ground: from here on copies hold only the pages that have been written to since,
 * all others are as they were. Once between two clears. -1: memory ran out. */
int sim_arena_ground(void);
/* How many bytes a copy takes now; and to and from a copy. All need the arena off. A copy from before the ground cannot
 * be loaded after it. */
size_t sim_arena_copy_size(void);
void sim_arena_save(void *copy);
void sim_arena_load(const void *copy);
void sim_arena_to_ground(void); /* as it was then */
size_t sim_arena_used(void);    /* bytes of the region that are in use */
/* Forgets everything in it. */
void sim_arena_clear(void);

#endif
