/* Hosts with endpoints, a toy data path each, and a network between them, in virtual time. The data path does what
 * endpoint.h asks for and nothing else, and judges as it goes: data on an epoch that was not proved is a sin unless
 * the original's exception allowed it. */
#ifndef DT_TEST_ENDPOINT_WORLD_H
#define DT_TEST_ENDPOINT_WORLD_H

#include "support/test.h"

#include "base/heap.h"
#include "base/list.h"
#include "crypto/crypto.h"
#include "endpoint/endpoint.h"

#define WORLD_HOSTS   6
#define WORLD_SAS     96
#define WORLD_TUNNELS 40
#define WORLD_EVENTS  512
#define WORLD_HOLD    64

struct world;

struct world_sa {
    bool live;
    uint64_t id;
    uint32_t tunnel, epoch, spi_in, spi_out;
    uint64_t key_in, key_out; /* hashes: both ends must agree */
    struct dt_path path;
    struct dt_addr answer4;
    bool answer_dummy;
    struct dt_selectors local_ts;
    dt_time t0, heard; /* heard 0: never */
    uint64_t sent, got;
    bool soft_told;
    uint64_t replay[4]; /* bits for the newest 256 */
    uint64_t top;
};

struct world_tunnel {
    uint32_t id; /* 0: free */
    enum dt_outbound how;
    uint64_t sa;
    bool forced, fresh; /* fresh: of a session that has sent nothing yet */
    unsigned held;
    uint64_t held_bytes;
    uint64_t got, sent, dropped; /* data packets */
    dt_time last_got;
};

enum world_peer {
    WORLD_DOVETAIL,
    WORLD_AT_ONCE, /* FIG. 8: sends on a new epoch when it is negotiated */
    WORLD_HOLDS,   /* strongSwan: sends on the old one until that is gone */
};

struct world_host {
    struct world *w;
    int index;
    struct dt_endpoint *ep;
    struct dt_endpoint_ops ops;
    struct dt_prng prng;
    struct dt_addr addr;
    enum world_peer kind;
    const char *psk;
    bool no_answer; /* echo requests are not answered */
    bool dead;      /* nothing goes in or out, no timer runs */
    bool refuse_install;
    bool esp_cut; /* no ESP to it or from it arrives */
    bool unseen; /* its callbacks look at nothing (else each calls every const function) */
    void (*event)(void *user, const struct dt_event *ev); /* instead of the world's own */
    bool told;      /* an event has come since the endpoint was called */
    uint64_t shown; /* and the digest of what it showed then */
    const char *refuse_admit;     /* the reason; NULL: admitted */
    struct dt_selectors networks; /* what this gateway's clients may bring, each of them ... */
    void (*authority)(const struct dt_ike_id *peer, struct dt_authority *out); /* ... or who may bring what */
    uint8_t installation; /* 0: it says nothing of which it is */
    bool pool_used_up;                                                         /* leases nothing */
    unsigned published; /* calls of ops.tunnel for a living tunnel */
    uint64_t soft_at, hard_at; /* packets that an outbound SA may send; 0: any number */
    uint64_t soft_sa, hard_sa; /* reached its limit: to be reported when the endpoint has returned */
    uint64_t exhausted;        /* packets that an SA could not send any more */
    struct world_sa sa[WORLD_SAS];
    struct world_tunnel tunnel[WORLD_TUNNELS];
    uint32_t client, gateway; /* the usual one */
    unsigned leases, released;
    uint64_t ike_sent, probes, sins, forced, bad_key, no_sa;
    unsigned seen[128]; /* events by kind */
    uint32_t lost;      /* numbered data that never came, see world_lost */
    char log[16384];    /* names of events, when `noisy` */
    bool noisy;
};

struct world {
    dt_time now;
    struct dt_prng prng;
    int64_t wall; /* seconds since 1970 at the beginning, for certificates */
    struct world_host host[WORLD_HOSTS];
    int n;
    unsigned loss, dup;                            /* per mille */
    dt_time delay, jitter;                         /* one way */
    bool esp_blocked, ike500_blocked, udp_blocked; /* on the way, both directions */
    dt_time job_delay; /* key exchanges come back after up to this long; 0: at once (DT_NET_JOBS, ms) */
    dt_time data_every;                            /* 0: no traffic */
    bool data_both;
    /* Sees every IKE message before it flies; true: it is lost. */
    bool (*filter)(struct world *w, int from, const uint8_t *data, size_t len);
    void *filter_ctx;
    const struct dt_path *flying; /* that message's path, as its sender sees it */
    struct dt_heap wire;
    struct dt_timer traffic;
    uint64_t packets;
};

/* What each endpoint of the world asks for; `user` is its host. For who drives an endpoint on one of the hosts itself. */
extern const struct dt_endpoint_ops world_ops;

void world_init(struct world *w, uint64_t seed, int hosts);
/* Shuts every endpoint down, politely where that gets through, and checks that nothing is left over. */
void world_end(struct world *w);

struct dt_epoch_params world_params(void); /* short lives: keylife 20 s, maxidle 4 s, … */
void world_gateway_cfg(struct dt_gateway_cfg *cfg);
void world_tunnel_cfg(struct world *w, struct dt_tunnel_cfg *cfg, int client, int gateway);
/* Starts an endpoint on the host (after world_init, or after world_kill). */
void world_boot(struct world *w, int host, const struct dt_endpoint_limits *limits);
void world_serve(struct world *w, int host, enum world_peer kind); /* boots and adds a gateway */
/* Boots where needed, adds a tunnel to the gateway and brings it up. */
void world_connect(struct world *w, int client, int gateway, const struct dt_tunnel_cfg *cfg);
void world_kill(struct world *w, int host); /* SIGKILL: everything forgotten, nothing said */
void world_run(struct world *w, dt_time until);
static inline void world_pass(struct world *w, double seconds)
{
    world_run(w, w->now + dt_seconds(seconds));
}
/* One data packet from that host's tunnel (its first one when 0). */
void world_data(struct world *w, int host, uint32_t tunnel);
struct world_tunnel *world_tunnel(struct world_host *h, uint32_t id);
struct world_tunnel *world_first(struct world_host *h);
bool world_up(struct world *w, int host); /* its client tunnel is on a verified epoch */
uint32_t world_epoch(struct world *w, int host);
size_t world_sas(const struct world_host *h);

#endif
