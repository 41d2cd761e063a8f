/* A router with VPN Masquerade (the real rules, masq/masq.h) between one LAN and the internet. IKE on UDP 500 and
 * ESP go through the rules; other UDP through a plain port-translating NAT, as nftables masquerade would do it.
 * A LAN may have several routers; its clients are known to all of them. */
#ifndef DT_SIM_ROUTER_H
#define DT_SIM_ROUTER_H

#include "masq/masq.h"
#include "sim/world/net.h"

struct sim_host;

/* A private network 10.N.0.0/16; its k-th client (from 0) is 10.N.0.2 + k. Networks may have the same N: each is seen
 * by its own routers alone. */
struct sim_lan {
    uint32_t number;
    struct sim_host **clients;
    uint32_t n, cap;
};

struct sim_lan *sim_lan_new(uint32_t number);
void sim_lan_free(struct sim_lan *lan);
/* Gives the client its address in the LAN. */
int sim_lan_join(struct sim_lan *lan, struct sim_host *client);

#define SIM_PORTS 4096 /* flows of other UDP that a router translates */

struct sim_router {
    struct sim_node node;
    struct sim_lan *lan;
    struct dt_masq *masq;
    struct dt_masq_config config;
    uint32_t outside;         /* its public address */
    struct sim_link up, down; /* to the internet and from it */
    bool dead;                /* takes nothing, sends nothing */
    struct sim_port {
        uint32_t client;
        uint16_t port;
    } * ports; /* outside port 10000 + index; NULL until one is needed */
    uint32_t nports;
    /* What verdicts are made of. */
    const struct sim_packet *current; /* while the rules look at it */
    uint64_t multicast, dropped;
    uint64_t wrong_items;   /* established with an inbound SPI of another client */
    uint64_t forgot;        /* ESP items that expired, and reboots */
    dt_time outstanding;    /* when the last ESP item was made */
    uint64_t wrong_cookies; /* IKE items established with the server's cookie for another client */
    uint64_t wrong_fresh;   /* wrong items before anything was forgotten */
    /* Of these: by a packet on an epoch that the server had not heard (races 1 and 2). */
    uint64_t wrong_unheard;
};

/* Becomes a node of the network with that public address. */
struct sim_router *sim_router_new(struct sim_net *net, struct sim_lan *lan, uint32_t outside,
                                  const struct dt_masq_config *config, const char *name);
/* Forgets everything, as after a power failure. */
void sim_router_reboot(struct sim_router *r);
void sim_router_change(struct sim_router *r, const struct dt_masq_params *params);

#endif
