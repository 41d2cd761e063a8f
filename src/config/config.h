/* The configuration file of dovetaild: text ↔ structs. Shared by the daemon (start, reload) and `dovetail check`.
 *
 *     tunnel "office" {                                     # a client's tunnel
 *         gateway = { "vpn.example.net", "203.0.113.9" }    # tried in order
 *         local   = "anna@example.net"
 *         remote  = "vpn.example.net"
 *         psk     = "file:/etc/dovetail/office.psk"
 *         protect = { "10.0.0.0/8", "fd00::/8" }
 *     }
 *     gateway "head-office" {                               # a server
 *         listen   = { "203.0.113.1" }
 *         identity = "vpn.example.net"
 *         psk      = "file:/etc/dovetail/office.psk"
 *         protect  = { "10.1.0.0/16" }
 *         pool     = { "10.9.0.0/16", "fd09::/64" }
 *     }
 *
 * docs/configuration.md lists every setting. The grammar is base/block.h's, and a file may include others. Everything that is wrong is collected, each
 * complaint with its line and what would be right; a file with errors gives no usable configuration, warnings do.
 * Reading a file twice gives equal structs for equal sections, so that a reload can tell what changed
 * (dt_config_tunnel_same). Secrets are in here: dt_config_free wipes them. */
#ifndef DT_CONFIG_CONFIG_H
#define DT_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/domain.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/source.h"
#include "endpoint/endpoint.h"
#include "policy/policy.h"
#include "policy/rule.h"
#include "ted/ted.h"

#define DT_CONFIG_FILE         "/etc/dovetail/dovetaild.conf"
#define DT_CONFIG_USER         "dovetail"
#define DT_CONFIG_TUNNELS_MAX  16384
#define DT_CONFIG_GATEWAYS_MAX 64
#define DT_CONFIG_ISSUES_MAX   100 /* further ones are counted */
#define DT_CONFIG_POOLS_MAX    8
#define DT_CONFIG_EXCEPT_MAX   16
#define DT_CONFIG_SECRETS_MAX  65536
#define DT_CONFIG_CLIENTS_MAX  65536
#define DT_CONFIG_PREFIXES_MAX 254 /* that the far side of a tunnel may come to, beside two leases */
#define DT_CONFIG_HOST_MAX     253 /* bytes of a host name (RFC 1035) */
#define DT_CONFIG_IFNAME_MAX   16  /* of an interface, NUL included */

#define DT_CONFIG_ROUTES_MAX                                                                                 \
    32768 /* prefixes of all sections together: each is two routes, and stands in the packet filter */
#define DT_CONFIG_PORT_RULES_MAX                                                                             \
    512 /* routing rules for protocols and ports: the kernel looks at one after the other */

struct dt_config_issue {
    unsigned line; /* its place (base/source.h): with one file its line there; 0: the file as a whole */
    bool warning;
    char text[512]; /* "what, and what would be right" */
};

/* A secret, and where it came from. */
struct dt_config_psk {
    uint16_t len; /* 0: none */
    uint8_t key[DT_PSK_MAX];
};

struct dt_config_secret {
    struct dt_ike_id id; /* may be a pattern */
    struct dt_config_psk psk;
};

enum dt_config_start {
    DT_START_ALWAYS, /* when the daemon starts, and kept up */
    DT_START_DEMAND, /* with the first packet for what it protects */
    DT_START_MANUAL, /* by `dovetail up` */
};

/* What keeps what is protected from going out in the clear (docs/configuration.md, Fail closed). */
enum dt_config_closed {
    DT_CLOSED_WANTED, /* as long as the tunnel is wanted, or the gateway configured, and the daemon not ended */
    DT_CLOSED_ALWAYS, /* also after `dovetail down`, after the daemon's end, and from boot (`dovetaild --close`) */
    DT_CLOSED_NO, /* nothing does */
};

struct dt_config_tunnel {
    unsigned line, protect_line;
    uint64_t print; /* of its settings and secrets: equal when nothing changed */
    struct dt_tunnel_cfg
        cfg; /* gateways[] holds those of `host` that are addresses; the daemon resolves the names */
    size_t nhost;
    char *host[DT_TUNNEL_GATEWAYS];    /* names and addresses; an address of one link with its interface */
    uint16_t port[DT_TUNNEL_GATEWAYS]; /* of each; 0: none was said */
    struct dt_config_psk psk;
    enum dt_config_start start;
    enum dt_config_closed closed;
    bool lan_tunnel; /* lan = tunnel: connected networks do not stay local */
    size_t nexcept;
    unsigned except_line;
    char shares
        [DT_NAME_MAX]; /* another tunnel that protects some of the same, and only one carries it; or empty */
    struct dt_prefix except[DT_CONFIG_EXCEPT_MAX]; /* never through it */
    uint32_t mtu;                                  /* inside; 0: as the path gives */
    bool discovered;                               /* not from a file: the daemon found the peer */
};                                                 /* cfg.proofs are its own references */

/* client "IDENTITY" { ... }: of the gateway that it names, else of all. */
struct dt_config_client {
    unsigned line, networks_line, inside_line; /* 0: not set */
    uint64_t print;
    struct dt_ike_id id;          /* may be a pattern */
    char gateway[DT_NAME_MAX];    /* empty: every gateway */
    struct dt_config_psk psk;     /* len 0: the gateway's `secrets` or psk */
    struct dt_selectors networks; /* what it may bring; of a pattern: whoever of them comes first has it */
    struct dt_addr inside[2]; /* the inside addresses that it is always leased, IPv4 and IPv6; ver 0: any */
    unsigned auth; /* enum dt_config_auth: what it may prove itself with; 0: whatever there is for it */
    bool rsa_sha1; /* RSA with SHA-1 is taken from it */
};

enum dt_config_auth { DT_AUTH_PSK = 1, DT_AUTH_CERTIFICATE = 2 };

/* An inside address that is always one client's. */
struct dt_config_fixed {
    struct dt_addr addr;
    uint32_t client; /* index */
};

struct dt_config_gateway {
    unsigned line, remote_line, pool_line;
    uint64_t print;
    struct dt_gateway_cfg cfg;
    struct dt_config_psk psk; /* for whoever has no secret of his own */
    struct dt_config_secret *secret;
    size_t nsecret, nexact_secret; /* in the same order */
    bool secrets_set, pool_set;    /* there was such a setting, whatever came of it */
    struct dt_config_client
        *client; /* its own copies: exact identities in their order, then patterns in the file's */
    size_t nclient, nexact;
    struct dt_config_fixed *fixed; /* by address */
    size_t nfixed;
    size_t npool;
    struct dt_prefix pool[DT_CONFIG_POOLS_MAX];
    size_t ndns;
    struct dt_addr dns[DT_IKE_DNS_MAX];
    char domains[DT_DOMAINS_CAP]; /* that they know (base/domain.h) */
    uint32_t mtu;
    enum dt_config_closed closed;
}; /* cfg.proofs are its own references */

/* discover "name" { ... }: gateways that find each other (docs/discovery.md). What belongs to the host - identity,
 * secrets, peers - stands in the first section. */
#define DT_CONFIG_DISCOVER_MAX 16
#define DT_DISCOVER_PEERS      64
#define DT_DISCOVER_ROUTES_MAX                                                                               \
    512 /* routing rules that all proxies come to: the sources of each times its destinations */
#define DT_DISCOVER_RANGES 16 /* that one half of a proxy may be: what IKE negotiates for a side */

struct dt_discover_peer {
    struct dt_ike_id id;        /* or a pattern */
    struct dt_selectors remote; /* for which it may speak; empty: all that the rules let others have */
};

struct dt_config_discover {
    unsigned line;
    uint64_t print;
    struct dt_ted_rule rule; /* our side first; id: from 1 in the order of the file */
    struct dt_ted_params params;
    struct dt_config_gateway
        gate; /* identity, secrets, proposals and parameters of the epochs, in both roles */
    size_t npeer;
    struct dt_discover_peer peer[DT_DISCOVER_PEERS]; /* none: whoever proves a secret */
    enum dt_encap encap;
    bool hold;    /* packets wait for the answer; else they are dropped, as the original does */
    dt_time idle; /* a tunnel that carried nothing for so long goes; 0: none does */
};

/* daemon { ... }: everything has a default. */
struct dt_config_daemon {
    unsigned line;
    uint64_t print;             /* of its settings: equal when nothing changed */
    char socket[108];           /* control socket */
    char group[64];             /* whose members may use it; empty: root alone */
    char user[64];              /* that the daemon becomes; empty: DT_CONFIG_USER, if there is one */
    char device[16];            /* of the TUN interface; "%d" is a free number */
    char leases[256];           /* SQLite file; ":memory:" forgets with the daemon */
    char keylog[256];           /* empty: no key log */
    struct dt_addrport metrics; /* ver 0: none */
    enum dt_log_level log;
    uint32_t workers;             /* 0: one a CPU, at most 4 */
    uint32_t mtu;                 /* of the TUN interface */
    uint32_t hold_packets;        /* a tunnel's queue while it holds */
    uint16_t ike_port, natt_port; /* others than 500 and 4500 only for experiments */
};

struct dt_config {
    char *file;
    struct dt_sources *sources; /* what every `line` here is a place of; NULL when nothing could be read */
    struct dt_config_daemon daemon;
    struct dt_policy_limits plans; /* plans { ... } */
    struct dt_epoch_nat nat; /* what the inequalities are checked against: nat { t_out, n_out, t_ei, n } */
    struct dt_config_tunnel *tunnel;
    size_t ntunnel;
    struct dt_config_gateway *gateway;
    size_t ngateway;
    struct dt_config_client *client; /* as they stand in the file; each gateway has its own in its struct */
    size_t nclient;
    struct dt_config_discover *discover;
    size_t ndiscover;
    struct dt_rules *rules; /* `rule` and `group` sections; without any, an empty set */
    struct dt_config_issue *issue;
    size_t nissue, errors, warnings; /* counts of all, also those past DT_CONFIG_ISSUES_MAX */
};

/* An address of this host with its network, for what a configuration means here. */
struct dt_config_network {
    struct dt_prefix prefix; /* host bits kept: the address */
    char ifname[16];
    bool proxy_arp; /* the interface answers for others (or proxy_ndp): a pool may lie in its network */
};
/* Complains of pools that meet a network of this host. `list` without the daemon's own device. Adds to the issues of *c;
 * the number of errors. */
size_t dt_config_check_networks(struct dt_config *c, const struct dt_config_network *list, size_t n);
/* The same with what this host has now (getifaddrs). Beside that it warns of what the host lacks for what the configuration
 * promises, and of its own networks that a tunnel takes. */
size_t dt_config_check_host(struct dt_config *c);
/* What this host lacks, or has otherwise, for a gateway to be of use: a sentence for each. */
void dt_config_gateway_remarks(const struct dt_config_gateway *g, void (*each)(void *ctx, const char *text),
                               void *ctx);

#define DT_CONFIG_NO_FILES 1u /* do not open files that are named in the text (fuzzing) */

/* Reads `text` (or the file); *out is filled in any case and wants dt_config_free. 0, or -1 when there was an error. */
int dt_config_parse(struct dt_config *out, const char *text, size_t len, const char *file, unsigned flags);
int dt_config_load(struct dt_config *out, const char *file);
struct dt_config_opener; /* config/file.h */
/* Every section and setting that there is: "tunnel", "gateway". */
void dt_config_each_setting(void (*each)(void *ctx, const char *section, const char *name), void *ctx);
int dt_config_load_with(struct dt_config *out, const char *file, const struct dt_config_opener *opener);
/* *out has nothing but the complaint that the file cannot be read. -1 */
int dt_config_unread(struct dt_config *out, const char *file, const char *why);
void dt_config_free(struct dt_config *c);

/* One line each: "file:line: [warning: ]text". */
void dt_config_print_issues(const struct dt_config *c, FILE *to);
/* The file and the line of a complaint; line 0: the file as a whole. */
const char *dt_config_issue_at(const struct dt_config *c, const struct dt_config_issue *i, unsigned *line);
char *dt_config_issue_str(char *out, size_t cap, const struct dt_config *c, const struct dt_config_issue *i);

/* "fe80::1%eth0", an address of one link alone (RFC 4007): the address without its scope, and the interface. False: it is
 * something else. */
bool dt_config_link_address(const char *host, struct dt_addr *addr, char ifname[DT_CONFIG_IFNAME_MAX]);

/* Which settings have other values, however they are written: their names in `out` ("socket, user"), and how many. */
size_t dt_config_daemon_changes(const struct dt_config_daemon *a, const struct dt_config_daemon *b, char *out,
                                size_t cap);

/* Nothing that the daemon acts upon differs. */
bool dt_config_tunnel_same(const struct dt_config_tunnel *a, const struct dt_config_tunnel *b);
bool dt_config_gateway_same(const struct dt_config_gateway *a, const struct dt_config_gateway *b);
void dt_config_discover_free(struct dt_config_discover *d, size_t n);
bool dt_config_discover_same(const struct dt_config_discover *a, size_t na,
                             const struct dt_config_discover *b, size_t nb);
struct dt_config_tunnel *dt_config_find_tunnel(const struct dt_config *c, const char *name);
struct dt_config_gateway *dt_config_find_gateway(const struct dt_config *c, const char *name);

/* The secret for a peer of this gateway: its own, the first pattern that matches, else the gateway's; or NULL. At each
 * step client sections come before `secrets`. */
const struct dt_config_psk *dt_config_gateway_psk(const struct dt_config_gateway *g,
                                                  const struct dt_ike_id *peer);
/* What a peer of this gateway may prove itself with. */
struct dt_ike_may dt_config_gateway_may(const struct dt_config_gateway *g, const struct dt_ike_id *peer);
/* Its client section: its own, else the first pattern that matches; or NULL. */
const struct dt_config_client *dt_config_gateway_client(const struct dt_config_gateway *g,
                                                        const struct dt_ike_id *peer);
/* What a peer of this gateway may bring: the networks of its client section. Without any client section, a gateway
 * whose `peers` is one exact identity serves that client alone, and `remote` is what it brings. *out is left as it is
 * where nothing is listed. */
void dt_config_gateway_networks(const struct dt_config_gateway *g, const struct dt_ike_id *peer,
                                struct dt_selectors *out);
/* Whose inside address that always is; NULL: nobody's. */
const struct dt_config_client *dt_config_gateway_fixed(const struct dt_config_gateway *g,
                                                       const struct dt_addr *a);
void dt_config_clients_free(struct dt_config_client *list, size_t n); /* wiped */

#endif
