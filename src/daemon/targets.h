/* Whom a command is about. A client has no struct of its own here, and may be gone at any time. */
#ifndef DT_DAEMON_TARGETS_H
#define DT_DAEMON_TARGETS_H

#include <jansson.h>

#include "control/control.h"
#include "endpoint/endpoint.h"

struct daemon;
struct tun;

struct target {
    struct tun *tun; /* NULL: a client of a gateway, */
    uint32_t client; /* by the endpoint's number */
    char *identity;  /* and its own name */
};
struct targets {
    struct target *v;
    size_t n;
};
/* By names of tunnels and identities of clients; without names every configured tunnel. False: the request was answered. */
bool targets_named(struct daemon *d, struct dt_control_request *req, const json_t *names,
                   struct targets *out);
bool targets_copy(struct targets *out,
                  const struct targets *in); /* false: out of memory, and *out is empty */
void targets_free(struct targets *l);
const char *target_name(const struct target *t);
uint32_t target_id(const struct target *t); /* of the endpoint; 0: none yet */
bool target_info(struct daemon *d, const struct target *t,
                 struct dt_tunnel_info *info);                   /* false: not there */
json_t *target_status(struct daemon *d, const struct target *t); /* null when the client is gone */
#define TARGETS_UNKNOWN 1024
/* "there is no tunnel "x"", with what was meant, or what there is. Returns out. */
char *targets_unknown(struct daemon *d, const char *name, char out[TARGETS_UNKNOWN]);

#endif
