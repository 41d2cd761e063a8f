/* Inside dovetaild: the one struct that its files share. Everything here belongs to the control thread.
 *
 *   daemon.c     arguments, start, end           routes.c     what is wanted of the host (host/host.h)
 *   loop.c       sockets, timer, signals         privilege.c  rights, and how they are given up
 *   driver.c     what the endpoint asks for      commands.c   control socket; waits.c those that take time
 *   tunnels.c    tunnels and gateways            status.c     what is known, as JSON
 *   resolve.c    names of gateways               metrics.c    the same as numbers, for Prometheus
 *   report.c     the whole of status, in pieces
 *   refusals.c   whom a gateway turned away      targets.c    whom a command names
 *   jobs.c       key exchanges on a thread of their own
 *   lan.c        what stays outside of tunnels
 *   apply.c      a configuration: what is wanted, what is, and the difference
 *   leases.c     inside addresses for clients    installation.c  which machine this is
 *   families.c   IP versions that a tunnel leaves
 *   behind.c     networks behind this host whose link is down
 *   manager.c    what the service manager is told
 *   closed.c     what is closed, and by whom     wants.c      which tunnels `dovetail up` asked for, kept on disk
 */
#ifndef DT_DAEMON_STATE_H
#define DT_DAEMON_STATE_H

#include <uv.h>

#include "base/bucket.h"
#include "base/list.h"
#include "base/table.h"
#include "config/config.h"
#include "control/control.h"
#include "control/notify.h"
#include "daemon/lan.h"
#include "daemon/lease.h"
#include "endpoint/endpoint.h"
#include "host/host.h"
#include "keeper/keeper.h"
#include "net/datapath.h"
#include "net/names.h"
#include "net/netlink.h"

#define DT_DAEMON_TABLE    DT_KEEPER_TABLE /* routing table, and the priority of the rule that leads to it */
#define DT_DAEMON_PRIORITY DT_KEEPER_TABLE

/* The addresses of a gateway's name, as last heard. */
struct host_addrs {
    uint8_t n;
    struct dt_addr a[DT_NAMES_ADDRS];
};

/* An IP version that does not go through a tunnel that carries the other one. */
struct left_family {
    uint8_t ver; /* 0: none */
    enum {
        LEFT_CLEAR,       /* all of the other version is protected, and of this one not all (RFC 7359) */
        LEFT_NOT_ALLOWED, /* it is protected, and the gateway allows none of it: it goes nowhere */
        LEFT_NOT_LEASED,  /* it is, and the gateway leased no address of it: it goes nowhere */
    } why;
};

/* Networks of this host's side of a tunnel that had a route of their own (behind.c). */
struct behind {
    struct dt_prefix net[32];
    size_t n;
    bool full;
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
    bool site;                   /* its inside is ours already: routes do not wait for addresses */
    struct host_addrs found[DT_TUNNEL_GATEWAYS]; /* of each of cfg.host */
    struct resolve *resolve;                     /* under way, or NULL */
    dt_time resolve_at;                          /* when to try again; DT_NEVER */
    dt_time resolve_pause;
    char resolve_why[160];     /* why there is no address */
    char encap_why[160];       /* why this encapsulation was chosen */
    unsigned refusals;         /* since it was last asked to come up */
    bool ruled;                /* a rule leads to it: plans bring it up and down (plans.c) */
    bool named;                /* in the configuration that is being applied */
    bool begin;                /* the configuration that is being applied wants tun_begin for it */
    bool plan_udp;             /* its plan wants ESP in UDP, whatever the section says */
    uint32_t below;            /* the tunnel that its outer packets go through; 0: none */
    uint32_t layer;            /* of the plan that has it up, or on its way; 0: none */
    char diverted[128];        /* what it protects does not go into the device: why; else empty (routes.c) */
    char rp_filter[208]; /* it drops the gateway's answers: where, and what would be right; else empty */
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
    uint32_t id, table; /* table: as a tunnel's */
    char diverted[128]; /* what its clients have does not go into the device: why; else empty (routes.c) */
    unsigned counted[2]; /* clients, not verified and verified, for the page of metrics that is being made */
    struct behind behind;
    bool discovery; /* of daemon/discover.h: no routes, and not of the configuration's gateways */
};

/* Whom a gateway turned away, and why. A stranger pushes out other strangers at most. */
#define DT_DAEMON_REFUSALS 8
struct turned_away {
    struct dt_addr from;
    char at[DT_ADDRPORT_STRLEN]; /* with the port of the last time */
    char why[DT_ERR_TEXT];
    dt_time when;
    unsigned count;
};

/* What the data path has for a tunnel of the endpoint (of either role), and what it did not tell yet. */
struct dptun {
    struct dt_table_node node;
    uint32_t id;
};

struct daemon {
    uv_loop_t loop;
    uv_poll_t ike4, ike6, dp_poll, nl_poll, nft_poll, names_poll, keeper_poll;
    int ike4_fd[2], ike6_fd[2]; /* [1]: sends what is nested, and hears nothing */
    int nl_fd, nft_fd;
    uv_timer_t timer;  /* the endpoint's deadline */
    uv_timer_t settle; /* after news of the network: tunnels look for another path */
    struct dt_bucket heals;
    uv_timer_t heal;   /* after the same news, sooner: the host is made as it is wanted */
    uv_timer_t beat;   /* five times a second: resolving, waits, metrics that are sampled */
    uv_prepare_t turn; /* the end of each turn of the loop */
    uv_signal_t sigint, sigterm, sighup, sigusr1;
    bool stopping, closing; /* asked to end; every session is being closed */
    bool handover;          /* another daemon follows at once: what is closed stays so, for it to take over */
    dt_time stop_by;
    int status; /* the process's */
    struct dt_notify notify; /* to the service manager (manager.c) */
    dt_time manager_next;
    char manager_status[400]; /* as it was told last */

    char *config_file;           /* as it was named, but absolute; for people alone (UTF-8) */
    struct dt_config_daemon cfg; /* as at start */
    struct dt_rules *rules; /* in force: the configuration's, and those of discovery (discover_rules.c) */
    struct dt_rules *config_rules; /* the configuration's */
    struct plans *plans;
    struct plan_map *plan_map; /* for the workers, under RCU (plans_hook.c) */
    struct plan_nests *plan_nests;
    struct dt_list tuns, gates;
    struct dt_table dptuns;
    struct dt_siphash_key owner_key; /* owners of tunnels as numbers (driver.c) */
    dt_time started;

    struct dt_endpoint *ep;
    struct jobs *jobs; /* jobs.c */
    struct dt_dp *dp;
    struct dt_nl *nl;
    struct dt_keeper *keeper; /* who does what needs rights */
    bool routes_begun;        /* the host is kept as it is wanted (routes.c) */
    struct lan_network *lan;  /* what stays local, and what could have (lan.h) */
    size_t nlan;
    bool has_filter;          /* this host has nftables */
    bool routes_changed;      /* since the keeper was told what is wanted */
    bool routes_said;         /* it was told at all */
    dt_time flush_after;  /* it is told at the end of a turn, but not before */
    dt_time host_look_at; /* the slow timer */
    uint64_t host_failed; /* looks that found the host not as it is wanted, after all that could be done */
    json_t *wants;        /* of the daemon before this one: {"up", "closed"} (wants.c); NULL: none */
    char *wants_text;     /* what the file has; NULL: there is none */
    bool wants_unread;    /* it is there, and cannot be believed */
    struct dt_lease_store *leases;
    struct dt_control_server *control;
    struct dt_page *metrics;
    unsigned metrics_calls;
    FILE *keylog;
    struct metrics_pass *metrics_pass; /* the next page, in the making; NULL */
    uv_idle_t metrics_idle;            /* runs while it is */

    struct dt_table tun_names; /* of all tuns */
    struct dt_table tun_ids;  /* of tuns that have one */
    struct tun_walk *walks;   /* under way */
    struct dt_names *names;   /* look-ups (net/names.h) */
    struct dt_table resolves; /* under way (resolve.c) */
    uint64_t next_resolve;
    struct discover *discover; /* NULL: no discover section (daemon/discover.h) */
    struct {
        struct dt_config_discover *rule; /* sections that could not be put in force; NULL */
        size_t n;
        char why[DT_ERR_TEXT];
    } unserved;
    struct dt_list waits;      /* requests that wait for something to happen (waits.c) */
    struct dt_list monitors;   /* streams of events */
    uint64_t events, config_loads, config_errors;
    dt_time strangers_second; /* log lines about those who belong to no tunnel, in this second */
    unsigned strangers;
    struct turned_away refused[DT_DAEMON_REFUSALS]; /* newest first; count 0: none (refusals.c) */
};

static inline dt_time daemon_now(void)
{
    return uv_hrtime(); /* CLOCK_MONOTONIC, as the data path's events have it */
}

#define LOG(level, ...) dt_log(level, "daemon", __VA_ARGS__)

/* daemon.c */
void daemon_stop(struct daemon *d);                     /* politely: DELETEs go out first */
struct dt_dp_config daemon_data_path(struct daemon *d); /* as it is opened */

/* loop.c */
int loop_open(struct daemon *d, struct dt_err *err); /* sockets and handles */
void loop_start(struct daemon *d);                   /* begins to read */
void loop_close(struct daemon *d);
void loop_wake(struct daemon *d); /* after anything that may have moved the endpoint's deadline */

/* driver.c */
extern const struct dt_endpoint_ops driver_ops;
void driver_dp_event(struct daemon *d, const struct dt_dp_event *ev);
/* Makes the data path hold what the tunnel will carry, before there is any epoch. */
void driver_hold(struct daemon *d, struct tun *t);
/* Tells the data path anew what the tunnel carries, where it knows the tunnel; its state stays. */
void driver_describe(struct daemon *d, struct tun *t);

/* jobs.c */
int jobs_open(struct daemon *d, struct dt_err *err); /* starts a thread: after privileges were given up */
void jobs_add(void *user, struct dt_ike_work *w);    /* the endpoint's ops.work; user is the daemon */
void jobs_stop(struct daemon *d);                    /* after the endpoint was freed: all jobs are wiped */
void jobs_free(struct daemon *d);                    /* after the loop was closed */

/* leases.c */
int leases_take(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                const struct dt_ike_inside *want, struct dt_ike_inside *give, struct dt_err *err);
void leases_release(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                    const struct dt_ike_inside *given);

/* installation.c */
void installation_set(
    struct daemon *d); /* tells the endpoint which installation this is; made where there is none */

/* refusals.c */
void refusals_event(struct daemon *d, const struct dt_event *ev);
json_t *refusals_json(struct daemon *d);

/* keylog.c */
int keylog_open(struct daemon *d, struct dt_err *err);
void keylog_path(const struct daemon *d, char *out, size_t cap); /* of ESP's; empty: none */
void keylog_sa(struct daemon *d, const struct dt_endpoint_sa *sa);
void keylog_lines(FILE *f, const struct dt_endpoint_sa *sa); /* of both directions, as Wireshark reads them */

/* apply.c */
/* Takes what it needs out of *c; the report has `added`, `changed`, `removed` (names), `unchanged` and `clients_ended`
 * (numbers). -1 with *err: something could not be done; everything else of it is in force. */
int daemon_apply(struct daemon *d, struct dt_config *c, json_t *report, struct dt_err *err);
enum reload {
    RELOAD_DONE,
    RELOAD_REFUSED, /* *bad says why, and wants a free (NULL: nobody asks); nothing was changed */
    RELOAD_PARTLY,  /* it is in force, except for what *err says */
};
enum reload daemon_reload(struct daemon *d, json_t *report, struct dt_config *bad, struct dt_err *err);

/* tunnels.c */
void tunnels_clear(struct daemon *d);
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
/* For daemon/discover.h, which has tunnels and a gateway that stand in no configuration. tunnels_add takes what *cfg
 * owns; NULL: no memory. */
struct tun *tunnels_add(struct daemon *d, struct dt_config_tunnel *cfg);
void tunnels_remove(struct daemon *d, struct tun *t);
struct gate *gates_add(struct daemon *d, struct dt_config_gateway *cfg, bool discovery, struct dt_err *err);
void gates_take_config(struct gate *g, struct dt_config_gateway *cfg);
void gates_remove(struct daemon *d, struct gate *g);

/* resolve.c */
void resolve_start(struct daemon *d, struct tun *t);
void resolve_cancel(struct tun *t);
void resolve_answers(struct daemon *d);
void resolve_tick(struct daemon *d, dt_time now);

/* manager.c */
void manager_ready(struct daemon *d); /* also when a reload has ended */
void manager_reloading(struct daemon *d);
void manager_stopping(struct daemon *d);
void manager_beat(struct daemon *d, dt_time now); /* the watchdog, and the line when it has changed */

/* routes.c */
int routes_begin(struct daemon *d, struct dt_err *err);
void routes_end(
    struct daemon *d); /* before tunnels_clear: takes away what was set, but for what is always closed */
/* What is wanted for a tunnel or gateway may have changed: routes_flush looks at it. */
void routes_tunnel(struct daemon *d, struct tun *t);
void routes_gateway(struct daemon *d, struct gate *g, bool gone);
void routes_flush(struct daemon *d); /* before anybody is told that something is up, and at the end of each turn */
int routes_open(struct dt_err *err); /* takes away what is left closed; no daemon is needed */
int routes_close(struct dt_config *c,
                 struct dt_err *err);    /* closes what is always closed; no daemon is needed */
void routes_reconcile(struct daemon *d); /* at news from the kernel, and on a slow timer */
const char *routes_missing(struct daemon *d,
                           const struct tun *t); /* why its packets have no way into it; NULL */
const char *routes_gateway_missing(struct daemon *d, const struct gate *g); /* the same of a gateway's clients */

/* behind.c */
void behind_look(struct daemon *d, const struct dt_nl_addrs *addrs); /* addrs: of this host */
/* Adds what is wanted for all gateways (whose owner is `gateways`) and tunnels (their id). 0, or -1: no memory. */
int behind_want(struct daemon *d, struct dt_host_facts *facts, uint32_t gateways);

/* closed.c */
bool closed_by_tunnel(const struct tun *t); /* does it keep closed what it protects, now? */
bool closed_by_gate(const struct gate *g);
/* For `dovetail down`: of what the tunnel protects, what goes out in the clear now, and what else keeps the rest closed.
 * Adds "clear" and "closed" to o; the sentence goes to text. */
void closed_tell_down(struct daemon *d, const struct tun *t, json_t *o, char *text, size_t cap);
json_t *closed_tunnel_json(const struct tun *t); /* for status: the setting, and what is closed now */
json_t *closed_gate_json(const struct gate *g);

/* families.c */
void families_look(struct daemon *d,
                   struct tun *t);          /* which IP version is left; told in the log when it changes */
json_t *families_json(const struct tun *t); /* for status; null: none is */

/* wants.c */
bool wants_path(const struct daemon *d, char *out, size_t cap); /* of the file; false, and empty: nothing is kept */
void wants_load(struct daemon *d); /* before the first configuration is applied */
void wants_recall(struct daemon *d,
                  struct tun *t);    /* sets `wanted` and `unsure` of one with start = manual */
void wants_save(struct daemon *d);   /* where it is not what the file has */
void wants_forget(struct daemon *d); /* what was asked for before: each tunnel has been told */
void wants_close(struct daemon *d);

/* targets.c: whom a command is about. A client has no struct of its own here, and may be gone at any time. */
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

/* commands.c, waits.c, status.c */
extern const struct dt_control_command daemon_commands[];
void waits_event(struct daemon *d, const struct dt_event *ev);
void waits_tick(struct daemon *d, dt_time now);
struct wait_spec {
    enum { WAIT_UP, WAIT_REKEY, WAIT_PING } what;
    struct targets on; /* waits_add copies them */
    dt_time until;
    unsigned count; /* WAIT_PING */
};
void waits_add(struct daemon *d, struct dt_control_request *req, const struct wait_spec *spec);
void waits_forget(struct daemon *d, const struct tun *t);
void monitors_event(struct daemon *d, const struct dt_event *ev);
void monitors_json(struct daemon *d, json_t *event); /* stolen; to every monitor of all tunnels */
void monitors_add(struct daemon *d, struct dt_control_request *req, const json_t *names);
json_t *status_tunnel(struct daemon *d, struct tun *t);
json_t *status_client(struct daemon *d, uint32_t client); /* of a gateway; null: it is gone */
json_t *status_ike(struct daemon *d);
json_t *status_gateway(struct daemon *d, struct gate *g); /* what the configuration says of it */
const char *status_unknown(struct daemon *d,
                           const json_t *names); /* the first name that nothing has; NULL: none */
/* report.c: all that status tells of these names (none: of everything), in pieces of a bounded number of tunnels. */
void report_answer(struct daemon *d, struct dt_control_request *req, const json_t *names);
/* The next client of that name, of one gateway or another, by rising number after `after`; 0: none. */
uint32_t client_next(struct daemon *d, const char *name, uint32_t after);
bool client_is(const struct dt_ike_id *id, const char *name); /* a gateway's client, as people name it */

/* discover.c and its neighbours: all of them do nothing without a discover section */
int discover_apply(struct daemon *d, struct dt_config *c, json_t *report,
                   struct dt_err *err); /* takes the sections out of *c */
void discover_clear(struct daemon *d);
void discover_tick(struct daemon *d, dt_time now);
void discover_event(struct daemon *d, const struct dt_event *ev);
bool discover_need(struct daemon *d, const struct dt_dp_event *ev); /* true: it was discovery's */
bool discover_datagram(struct daemon *d, const struct dt_path *path, const uint8_t *msg, size_t len);
/* Adds what it wants of the host. 0, or -1: no memory. */
int discover_want(struct daemon *d, struct dt_host_facts *facts);
void discover_look_where_it_leads(struct daemon *d); /* another's routing rule may stand before its own */
const char *discover_missing(struct daemon *d); /* why what it protects has no way into the device; NULL */
int discover_psk(struct daemon *d, const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX]);
/* What a peer of discovery may bring to that gateway, and to whom it belongs: NAME, not NAME.HASH.ted. */
void discover_authority(struct daemon *d, const struct dt_config_gateway *g, const struct dt_ike_id *peer,
                        struct dt_authority *out);
int discover_admit(struct daemon *d, const struct dt_endpoint_admission *a,
                   struct dt_err *err); /* -1: it may not */
void discover_counters(struct daemon *d, json_t *o);
json_t *discover_refusals(struct daemon *d,
                          size_t max);      /* what is refused or silent, and why; the oldest first */
json_t *discover_summary(struct daemon *d); /* for status; null without a discover section */
struct dt_ted_packet;
void discover_listeners(struct daemon *d, const char *name, const char *rule,
                        const struct dt_ted_packet *packet, const struct dt_addr *peer, const char *text);
void discover_cmd(void *ctx, struct dt_control_request *req, const json_t *args);
void discover_listen_cmd(void *ctx, struct dt_control_request *req, const json_t *args);
void discover_status_cmd(void *ctx, struct dt_control_request *req, const json_t *args);

/* metrics.c */
void metrics_open(struct daemon *d); /* its handle of the loop */
void metrics_refresh(struct daemon *d); /* five times a second: once, the page that scrapers get is begun */
void metrics_close(struct daemon *d);

/* privilege.c: before there is a second thread */
int privilege_check(struct dt_err *err);
/* From now on that user (empty: as struct dt_config_daemon says), of no other group, and of all rights CAP_NET_BIND_SERVICE
 * alone; for good. */
int privilege_become(const char *user, struct dt_err *err);
int privilege_none(struct dt_err *err); /* that one too */

#endif
