/* Which installation this is. */
#ifndef DT_DAEMON_INSTALLATION_H
#define DT_DAEMON_INSTALLATION_H

struct daemon;

void installation_set(struct daemon *d); /* tells the endpoint; made where there is none */

#endif
