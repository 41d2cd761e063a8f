/* Whatever is to go outside of a full tunnel bears the data path's mark (SO_MARK). */
#ifndef DT_NET_MARK_H
#define DT_NET_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

/* What the socket sends bears the mark from now on. 0, or -1 with *err (may be NULL): CAP_NET_ADMIN is needed, or from Linux
 * 5.17 on CAP_NET_RAW. */
int dt_mark_socket(int fd, uint32_t mark, struct dt_err *err);
/* A UDP socket with the mark (0: none) for the question below; -1: none of that IP version can be had. */
int dt_mark_open(uint8_t ver, uint32_t mark);
/* Does a route lead there for what leaves by that socket? No packet is sent. */
bool dt_mark_leads_to(int fd, const struct dt_addr *a);

#endif
