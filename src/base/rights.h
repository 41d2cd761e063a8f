/* What this process may (capabilities(7)), and how it gives that up for good. Capabilities are a bit each: DT_RIGHT(CAP_NET_RAW). */
#ifndef DT_BASE_RIGHTS_H
#define DT_BASE_RIGHTS_H

#include <stdint.h>
#include <sys/types.h>

#define DT_RIGHT(cap) (UINT64_C(1) << (cap))

uint64_t dt_rights_effective(void); /* of this thread */
/* Nothing can be gained from now on, by this thread and those that it makes: an empty bounding set, no_new_privs, and user 0 is a user like
 * any other (SECBIT_NOROOT) where that can be said. What it has stays. 0, or -1 with errno. */
int dt_rights_close(void);
/* Becomes that user, with no other group; the capabilities of this thread stay, other threads of a process that was root's have none
 * afterwards. As it is already: without other groups, where that is allowed. 0, or -1 with errno. */
int dt_rights_become(uid_t uid, gid_t gid);
/* From now on this thread has of its capabilities none but these. 0, or -1 with errno. */
int dt_rights_keep(uint64_t caps);

#endif
