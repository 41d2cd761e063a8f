/* dovetail-natd: its settings, and the parts of the running program. */
#ifndef DT_NATD_NATD_H
#define DT_NATD_NATD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <uv.h>

#include "base/addr.h"
#include "base/list.h"
#include "control/control.h"
#include "control/notify.h"
#include "natd/kernel.h"
#include "natd/router.h"
#include "net/netlink.h"

#define NATD_CONFIG_FILE "/etc/dovetail/dovetail-natd.conf"
#define NATD_PINS        "/sys/fs/bpf/dovetail-natd" /* where nothing else is said */
#define NATD_USER        "dovetail"
#define NATD_LIST_MAX    20000 /* items in one answer; the totals are always whole */

/* Settings: from the command line, else the file, else the default. */
struct natd_config {
    char inside[16], outside[16]; /* interface names */
    char socket[108];
    char group[64];             /* whose members may use the socket */
    char user[64];              /* whom natd becomes; empty: NATD_USER, where there is one */
    char pin[256];              /* directory on a bpffs; empty: found by itself */
    struct dt_addrport metrics; /* ver 0: none */
    struct dt_masq_config masq; /* parameters and sizes; addresses are filled in from the interfaces */
    bool clients_given, addresses_given; /* masq.params.nets[] or outside[] come from the file */
};

void natd_config_defaults(struct natd_config *c);
/* The file. 0, or -1: `say` was called for all that is wrong, with "file:line: what, and what would be right". */
typedef void natd_complaint(void *ctx, const char *text);
int natd_config_read(struct natd_config *c, const char *file, natd_complaint *say, void *ctx);
/* Is there a setting of that name? If not, `hint` says so, and which one may be meant. */
bool natd_config_known(const char *name, char *hint, size_t cap);
/* All there are; how many. */
#define NATD_SETTINGS_MAX 64
size_t natd_setting_names(const char *out[NATD_SETTINGS_MAX]);
/* One setting by name, as in the file; *why is a sentence without a subject. */
int natd_config_set(struct natd_config *c, const char *name, const char *value, const char **why);

struct dt_page;

struct natd {
    struct natd_config cfg;
    const char *config_file; /* NULL: none */
    uv_loop_t loop;
    uv_signal_t signal[4];
    uv_timer_t tick, settle;
    uv_poll_t news, ring;
    int news_fd;
    struct dt_kernel *k;
    struct dt_control_server *control;
    struct dt_page *metrics;
    unsigned metrics_calls;
    struct dt_list watchers;
    struct natd_router router;
    struct dt_nl_addrs addrs;   /* of the outside interface */
    struct dt_nl_routes routes; /* by the inside interface, */
    unsigned routes_of;         /* which had this index when they were read; */
    bool routes_changed;        /* since then, as the kernel says */
    dt_time routes_soon,
        routes_late; /* not read again before: when they have changed, when they seem not to */
    unsigned left_out_nets, left_out_addresses; /* of the interfaces, for want of room; once said */
    int claim[2];                               /* sockets that hold the interfaces' names; 0: none */
    uid_t uid;                                  /* whom it becomes (rights.c) */
    gid_t gid;
    int keeper; /* what stays root's (keeper.c); 0: none */
    pid_t keeper_pid;
    bool handed_over;                           /* another natd has the socket */
    bool keep;                                  /* at the end leave the program where it is */
    struct dt_notify notify;                    /* to the service manager (manager.c) */
    char manager_status[400];                   /* as it was told last */
    dt_time started;
    uint64_t sweeps, swept;
};

/* The indexes of both; -1, with a sentence, when one is not there or of no use. */
int natd_interfaces(struct natd *d, unsigned *inside, unsigned *outside, struct dt_err *err);
/* One of them: it must be there, and carry Ethernet frames. 0, or -1 with a sentence that names what is missing. */
int natd_interface(const char *name, unsigned *index, struct dt_err *err);
/* Finds both, takes their addresses, and has the router as it is wanted. Called at start, at settled news and now and then. */
void natd_network(struct natd *d);

/* Says that inside and outside are this process's. -1, with a sentence, when another natd has one of them; with `wait`
 * only after some seconds, in which it may go. */
int natd_claim(struct natd *d, bool wait, struct dt_err *err);
void natd_unclaim(struct natd *d);

/* Whom to become; gives up what is not needed at start any more where that is as it is. -1 with a sentence. */
int natd_rights_find(struct natd *d, struct dt_err *err);
/* Becomes that, with CAP_NET_ADMIN and CAP_BPF alone, for good. -1 with a sentence. */
int natd_rights_drop(struct natd *d, struct dt_err *err);

/* The process that stays root's. -1 with a sentence. */
int natd_keeper_start(struct natd *d, struct dt_err *err);
/* As natd_config_read of the file that was named at start. */
int natd_keeper_read(struct natd *d, struct natd_config *out, natd_complaint *say, void *ctx);
void natd_keeper_end(
    struct natd *d); /* the control socket is gone when this returns, unless it was handed over */

extern const struct dt_control_command natd_commands[];
void natd_event(void *ctx, const struct dt_masq_event *ev); /* to every watcher */

void natd_metrics_refresh(struct natd *d);

void natd_manager_ready(struct natd *d); /* also when a reload has ended */
void natd_manager_beat(struct natd *d);  /* each second: the watchdog, and the line when it has changed */
void natd_manager_stopping(struct natd *d);

int natd_main(int argc, char **argv);

#endif
