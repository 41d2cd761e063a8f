/* A simulated computer with a Dovetail endpoint (endpoint/endpoint.h) and a data path of real ESP SAs (esp/esp.h).
 * A client sits in a LAN behind one or more routers; a server has a public address and stands for itself and for the
 * computers inside. The data path keeps what the endpoint asks for and nothing else; beside it stand the ghosts:
 * what the simulator alone knows, from which the invariants are judged. */
#ifndef DT_SIM_HOST_H
#define DT_SIM_HOST_H

#include "crypto/crypto.h"
#include "endpoint/endpoint.h"
#include "esp/esp.h"
#include "esp/first.h"
#include "hold/hold.h"
#include "sim/world/flow.h"
#include "sim/world/net.h"
#include "sim/world/pairing.h"

struct sim_router;
struct sim_host;

#define SIM_INSIDE_SERVER (172u << 24 | 16u << 16 | 1u) /* 172.16.0.1: the computer behind the server */

struct sim_sa {
    struct dt_table_node by_spi, by_id;
    uint64_t id;
    uint32_t tunnel, epoch, spi_in, spi_out;
    struct dt_esp_out *out;
    struct dt_esp_in *in;
    struct dt_path path;
    struct dt_addr answer;
    bool answer_dummy;
    dt_time t0, heard; /* the host's clock; heard 0: never */
    struct dt_esp_first first;
    uint32_t peer;   /* node at the other end */
    uint32_t number; /* of the client, as its tunnel's */
    bool ended;      /* DELETE or expiry was reported: lingers inbound */
};

struct sim_tunnel {
    struct dt_table_node by_id;
    uint32_t id;
    uint32_t peer;     /* node at the other end */
    uint32_t number;   /* of the client: its flows are 2 * number (to the server) and 2 * number + 1 */
    struct dt_out out; /* its SA: a struct sim_sa */
    /* The newest epoch that was verified, or heard, and until when nothing unheard may carry data: a client's
     * t0 + keylife - rekeymargin, a server's t0 + keylife (epoch/epoch.h, DT_EPOCH_UNVERIFIED_USE). */
    uint32_t proved;
    dt_time limit;
    struct dt_hold hold;
    struct dt_hold_part part; /* marks that wait */
};

/* What the data path tells the endpoint of an epoch: the first packet on it, or the answer to a probe. Other news (a peer
 * that moved, an unknown SPI) is told at once. */
struct sim_news {
    uint64_t sa;
    uint16_t ident, seq;
    bool reply; /* else: the first packet */
};
#define SIM_NEWS_MAX 8

/* The ring of events between the data path and the endpoint, while a packet arrives. */
enum sim_ring {
    SIM_RING_READ,   /* the endpoint hears at once (after what waits already) */
    SIM_RING_BEHIND, /* it is busy: the news waits */
    SIM_RING_FULL,   /* there is no room for it */
};

/* What was seen that should not be; each is an invariant of the explorer. */
struct sim_sins {
    /* Client: data on an epoch it had not verified, before the previous one's t0 + keylife - rekeymargin. */
    uint64_t unverified_data;
    uint64_t unheard_data;  /* server: on one that it had not heard, before the previous one's t0 + keylife */
    uint64_t needless_hold; /* client: data waits though the epoch that carried it is alive */
    uint64_t no_such_sa;    /* the endpoint wants data on an SA that was not installed, or is gone */
};

/* Mistakes of the data path, for the explorer. */
struct sim_host_faults {
    bool first_told_once; /* the first packet on an SA is not told again when the ring of events was full */
};

struct sim_host_config {
    const char *name;
    bool client;
    uint32_t number;
    uint32_t server; /* client: the server's address */
    uint64_t seed;
    struct dt_epoch_params params;
    const struct sim_pairing *pairing;
    enum dt_encap encap;
    bool ike_patience;
    bool mute; /* server: says nothing to packets of sessions that it does not know */
    struct sim_host_faults faults;
    struct sim_flow *flows;
    uint32_t nflows;
};

struct sim_host {
    struct sim_node node;
    struct dt_endpoint *ep;
    bool client; /* these as in cfg */
    bool asleep;
    uint8_t nvia, active; /* client: the router in use */
    uint32_t number;
    uint32_t addr;
    uint32_t tunnel;        /* client: its one tunnel */
    struct sim_tunnel *own; /* client: what the data path has of it; NULL: nothing yet */
    struct sim_sa *recent;  /* an inbound packet was for it; NULL: SAs have changed since */
    const struct sim_pairing *pairing;
    struct sim_flow *flows; /* of the whole network; borrowed */
    uint32_t nflows;
    struct sim_router *via[2];
    int64_t ppm;                                    /* its clock runs faster by so many millionths */
    dt_time skew;                                   /* and shows this at the beginning */
    uint64_t pings, data_sent, ike_sent, ike_bytes; /* overhead */
    struct dt_table sa_by_spi, sa_by_id, tunnels;
    struct sim_link up, down;      /* to the router or the internet, and back */
    struct sim_tunnel **by_client; /* server: by the client's number */
    uint32_t nby_client;
    uint32_t gateway;          /* server */
    struct sim_host **clients; /* server: all clients of the network, by number; borrowed */
    struct sim_host *server;   /* client: borrowed */
    const struct dt_crypto *crypto;
    struct dt_prng prng;
    struct dt_hold_bounds hold;
    uint64_t no_sa, foreign;
    enum sim_ring ring;
    struct sim_news news[SIM_NEWS_MAX]; /* that waits, oldest first */
    unsigned nnews;
    uint32_t asker; /* server: whose IKE packet is being looked at; UINT32_MAX: nobody's */
    struct sim_sins sins;
    /* Collisions are made by hand: the next draws of so many bytes give these (rand.h). */
    uint32_t spi_script;
    uint64_t cookie_script;
    struct dt_endpoint_ops ops;
    struct sim_host_config cfg; /* it began with */
};

/* Becomes a node. A server's address is public; a client gets its own from sim_lan_join, then sim_host_start. */
struct sim_host *sim_host_new(struct sim_net *net, const struct sim_host_config *cfg, uint32_t addr);
/* Begins: a client's tunnel comes up, a server listens. */
int sim_host_start(struct sim_host *h, struct dt_err *err);
/* The host forgets everything and starts anew (a crash: nothing is said to anybody). */
int sim_host_restart(struct sim_host *h, struct dt_err *err);
void sim_host_sleep(struct sim_host *h, bool asleep);
void sim_host_route(struct sim_host *h, uint8_t via); /* client: through another router from now on */

dt_time sim_host_now(const struct sim_host *h);
/* After any call into h->ep from outside. */
void sim_host_arm(struct sim_host *h);

/* One packet of traffic of client `number`, sent by this host; `next` is when the one after it is planned. False:
 * there was no way to send it (it counts as lost). */
bool sim_host_traffic(struct sim_host *h, uint32_t number, dt_time next);
/* Would this packet give the endpoint news of an epoch? */
bool sim_host_is_news(const struct sim_host *h, const struct sim_packet *p);
/* The endpoint hears all that waits. */
void sim_host_read_news(struct sim_host *h);
/* It will do that soon: fetches memory (struct sim_node_ops, soon). */
void sim_host_soon(struct sim_host *h, uint32_t number, int depth);
/* The server's tunnel with that client, or NULL. */
struct sim_tunnel *sim_host_tunnel(struct sim_host *h, uint32_t number);
struct sim_sa *sim_host_sa(struct sim_host *h, uint64_t id);
struct sim_sa *sim_host_sa_in(struct sim_host *h, uint32_t spi_in);

/* That it sends on; NULL: it does not send. */
static inline struct sim_sa *sim_tunnel_sa(const struct sim_tunnel *t)
{
    return dt_out_sa(&t->out);
}

/* The link towards a node of the internet: the server's, or that of the router. */
struct sim_link *sim_host_wan_down(struct sim_node *n);
void sim_host_soon_down(struct sim_node *n); /* a packet for that client will be put on it */
bool sim_is_host(const struct sim_node *n);

#endif
