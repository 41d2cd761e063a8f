/* Tunnels and gateways of this host, from the configuration to the endpoint and the data path. apply.c says what is to be;
 * discovery adds tunnels, and one gateway, that stand in no configuration. Everything belongs to the control thread. */
#ifndef DT_TUNNELS_TUNNELS_H
#define DT_TUNNELS_TUNNELS_H

#include "base/list.h"
#include "base/table.h"
#include "config/config.h"
#include "net/names.h"
#include "tunnels/behind.h"
#include "tunnels/families.h"

struct daemon;
struct resolve;

/* The addresses of a gateway's name, as last heard. */
struct host_addrs {
    uint8_t n;
    struct dt_addr a[DT_NAMES_ADDRS];
};

/* A configured tunnel: from the configuration to the endpoint. */
struct tun {
    struct dt_list link;
    struct dt_table_node by_name;
    struct dt_table_node by_id;  /* where id is not 0 */
    struct dt_config_tunnel cfg; /* owns its names and its secret */
    uint32_t id;                 /* of the endpoint; 0: no address of a gateway is known yet */
    bool wanted;                 /* up, as the administrator or the configuration wants it */
    bool taken_down;             /* `dovetail down`: until `up` or a restart */
    bool unsure; /* whether `up` was said before the restart is not known (wants.c): closed until it is */
    bool site;   /* its inside is ours already: routes do not wait for addresses */
    struct host_addrs found[DT_TUNNEL_GATEWAYS]; /* of each of cfg.host */
    struct resolve *resolve;                     /* under way, or NULL */
    dt_time resolve_at;                          /* when to try again; DT_NEVER */
    dt_time resolve_pause;
    char resolve_why[160]; /* why there is no address */
    char encap_why[160];   /* why this encapsulation was chosen */
    unsigned refusals;     /* since it was last asked to come up */
    bool ruled;            /* a rule leads to it: plans bring it up and down (plans/plans.c) */
    bool named;            /* in the configuration that is being applied */
    bool begin;            /* the configuration that is being applied wants tun_begin for it */
    bool plan_udp;         /* its plan wants ESP in UDP, whatever the section says */
    uint32_t below;        /* the tunnel that its outer packets go through; 0: none */
    uint32_t layer;        /* of the plan that has it up, or on its way; 0: none */
    char diverted[128];    /* what it protects does not go into the device: why; else empty (routes.c) */
    char rp_filter[208];   /* it drops the gateway's answers: where, and what would be right; else empty */
    char refusal[DT_ERR_TEXT]; /* what its gateway said last */
    struct left_family left;   /* the IP version that does not go through it (families.c) */
    uint32_t table;            /* of routes of what is narrowed to a port (routes.c); 0: none yet */
    struct behind behind;
};

/* A walk through all tunnels that takes several turns of the loop. One that is added meanwhile comes at the end; one that
 * is removed is left out. */
struct tun_walk {
    struct tun_walk *next;
    struct dt_list *at; /* the one whose turn is next, or the list's head: none */
};

struct gate {
    struct dt_list link;
    struct dt_config_gateway cfg;
    uint32_t id, table;  /* table: as a tunnel's */
    char diverted[128];  /* what its clients have does not go into the device: why; else empty (routes.c) */
    unsigned counted[2]; /* clients, not verified and verified, for the page of metrics that is being made */
    struct behind behind;
    bool discovery; /* of discovery/discovery.h: no routes, and not of the configuration's gateways */
};

/* A rule leads to this tunnel: it is brought up and down by plans alone. */
bool tun_is_ruled(const struct dt_rules *rs, const struct dt_config_tunnel *c);

void tunnels_clear(struct daemon *d); /* all of them, and the rules; after discovery's were removed */
struct tun *tun_by_id(struct daemon *d, uint32_t id);
struct tun *tun_by_name(struct daemon *d, const char *name);
struct gate *gate_by_id(struct daemon *d, uint32_t id);
void tun_walk_begin(struct daemon *d, struct tun_walk *w);
struct tun *tun_walk_next(struct daemon *d, struct tun_walk *w); /* NULL: that were all */
void tun_walk_end(struct daemon *d, struct tun_walk *w);
bool gates_admit(struct daemon *d, const char *identity);      /* may such a client come? */
struct gate *gate_by_name(struct daemon *d, const char *name); /* of the configuration's */
void tun_up(struct daemon *d, struct tun *t);
void tun_down(struct daemon *d, struct tun *t);
/* Adds to the endpoint, or updates there, with the addresses that are known now. */
void tun_addresses(struct daemon *d, struct tun *t);
/* Takes what *cfg owns in place of what the tunnel had, and keeps the addresses of names that are in both. */
void tun_take_config(struct daemon *d, struct tun *t, struct dt_config_tunnel *cfg);
/* As after a start of the daemon: up, holding until a packet comes, or neither. One that is up already stays up. */
void tun_begin(struct daemon *d, struct tun *t);
/* Out of the endpoint and the data path, with its lease and all that it was, until tun_addresses. */
void tun_withdraw(struct daemon *d, struct tun *t);
/* Takes what *cfg owns; NULL: no memory. */
struct tun *tunnels_add(struct daemon *d, struct dt_config_tunnel *cfg);
void tunnels_remove(struct daemon *d, struct tun *t);
struct gate *gates_add(struct daemon *d, struct dt_config_gateway *cfg, bool discovery, struct dt_err *err);
void gates_take_config(struct gate *g, struct dt_config_gateway *cfg);
void gates_remove(struct daemon *d, struct gate *g);

#endif
