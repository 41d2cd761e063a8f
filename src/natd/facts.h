/* What dovetail-natd wants of the router, as facts for host/reconcile.h, and the sentences about those that are missing.
 *
 * What natd puts there itself: filters, the queueing discipline that they need, pins, and two sysctls of the loopback device.
 * The rest is the administrator's (an interface is up, forwards, has an address): natd never sets it, but reads it, and says
 * what is missing. */
#ifndef DT_NATD_FACTS_H
#define DT_NATD_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/facts.h"

/* In the order in which they are set: what comes back must be understood before anything is sent. */
enum natd_fact_kind {
    NATD_LINK, /* the interface is there, carries Ethernet (the loopback device: whatever it does), and is up */
    NATD_FORWARD, /* it forwards IPv4 */
    NATD_ADDRESS, /* outside: it has an IPv4 address */
    NATD_CLIENTS, /* inside: it routes a network */
    NATD_SYSCTL,  /* of the loopback device; `which`: enum natd_sysctl; value: the sysctl's */
    NATD_PIN,     /* `which`: dt_kernel_pin_*'s number; value: the table's */
    NATD_QDISC,   /* value: enum dt_nl_ingress */
    NATD_FILTER,  /* ours; `which`: enum natd_hook; value: the program's number */
    NATD_CHAIN, /* no filter before ours ends the chain for every packet; value: 0, or that filter's preference */
};

enum natd_port { NATD_OUTSIDE, NATD_INSIDE, NATD_LOOPBACK, NATD_PORTS };
enum natd_hook { NATD_INGRESS, NATD_EGRESS };
enum natd_sysctl { NATD_ACCEPT_LOCAL, NATD_LO_FORWARDING };

struct natd_fact {
    uint8_t kind, port, which, spare; /* the place */
    uint32_t value;
};

extern const struct dt_host_sort natd_facts;

/* What its absence means. */
enum natd_harm {
    NATD_HARM_BLOCKED,  /* packets do not pass */
    NATD_HARM_IMPAIRED, /* they pass, but not all, or not after a restart, or not the router's own */
};
enum natd_harm natd_fact_harm(const struct natd_fact *f);

/* Names for the sentences. */
struct natd_names {
    const char *port[NATD_PORTS]; /* of the interfaces */
    const char *pins;             /* the directory of the pinned tables */
    const char *table[16];        /* their names, by number; NULL: none */
};

#define NATD_FACT_STRLEN 512
/* "the filter on ingress of wan0", for people. Returns buf. */
const char *natd_fact_str(char buf[NATD_FACT_STRLEN], const struct natd_fact *f, const struct natd_names *n);

/* Why a fact is missing, and what would mend it. */
struct natd_reason {
    struct natd_fact wanted;
    bool there; /* something is in its place: `had` */
    struct natd_fact had;
    char detail[128]; /* the kernel's own words, or the other filter's kind; "": none */
};
const char *natd_reason_str(char buf[NATD_FACT_STRLEN], const struct natd_reason *r,
                            const struct natd_names *n);

#endif
