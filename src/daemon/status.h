/* What is known, as JSON (docs/control.md). */
#ifndef DT_DAEMON_STATUS_H
#define DT_DAEMON_STATUS_H

#include <jansson.h>
#include <stdint.h>

struct daemon;
struct tun;
struct gate;

json_t *status_tunnel(struct daemon *d, struct tun *t);
json_t *status_client(struct daemon *d, uint32_t client); /* of a gateway; null: it is gone */
json_t *status_ike(struct daemon *d);
json_t *status_gateway(struct daemon *d, struct gate *g); /* what the configuration says of it */
const char *status_unknown(struct daemon *d,
                           const json_t *names); /* the first name that nothing has; NULL: none */
/* The next client of that name, of one gateway or another, by rising number after `after`; 0: none. */
uint32_t client_next(struct daemon *d, const char *name, uint32_t after);

#endif
