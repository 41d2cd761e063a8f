/* Who has a UDP port of this host, as /proc shows it to whoever has the right to look (what `ss -lunp` does). Processes come and
 * go meanwhile: what is told was so a moment ago. */
#ifndef DT_NET_PORT_HOLDER_H
#define DT_NET_PORT_HOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DT_PROGRAM_NAME 16 /* octets, with the NUL: what the kernel keeps of a program's name */

struct dt_port_holder {
    bool there;                 /* somebody has it, or had a moment ago */
    pid_t pid;                  /* 0: who it is cannot be seen from here */
    char name[DT_PROGRAM_NAME]; /* printable ASCII */
};

/* Of this network namespace. ver 4 or 6: an IPv6 socket may have IPv4's port as well. The work has a limit. */
struct dt_port_holder dt_port_holder(uint8_t ver, uint16_t port);

#define DT_PORT_HOLDER_STRLEN 192
/* For the end of a sentence about a port that is taken: who has it and what would be right, or how to find out. Returns out. */
char *dt_port_holder_str(char out[DT_PORT_HOLDER_STRLEN], const struct dt_port_holder *h, uint16_t port);

/* The name of a process's program, as above; "?": it has ended, or is hidden. Returns out. */
char *dt_program_name(char out[DT_PROGRAM_NAME], pid_t pid);

#endif
