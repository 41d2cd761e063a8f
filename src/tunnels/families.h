/* IP versions that a tunnel leaves. Control thread. */
#ifndef DT_TUNNELS_FAMILIES_H
#define DT_TUNNELS_FAMILIES_H

#include <jansson.h>
#include <stdint.h>

struct daemon;
struct tun;

/* An IP version that does not go through a tunnel that carries the other one. */
struct left_family {
    uint8_t ver; /* 0: none */
    enum {
        LEFT_CLEAR,       /* all of the other version is protected, and of this one not all (RFC 7359) */
        LEFT_NOT_ALLOWED, /* it is protected, and the gateway allows none of it: it goes nowhere */
        LEFT_NOT_LEASED,  /* it is, and the gateway leased no address of it: it goes nowhere */
    } why;
};

void families_look(struct daemon *d,
                   struct tun *t);          /* which IP version is left; told in the log when it changes */
json_t *families_json(const struct tun *t); /* for status; null: none is */

#endif
