/* Discovery at scale: gateways (the real engine of ted/ted.h) around the simulated internet, none of which knows another,
 * and pairs of hosts that begin to talk. What it costs must follow the pairs, not the gateways. */
#ifndef DT_SIM_DISCOVER_H
#define DT_SIM_DISCOVER_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_DISCOVER_MAX 62500 /* gateways: one /24 of 10/8 each */

struct sim_discover_result {
    uint32_t gateways, pairs;
    uint64_t packets; /* of hosts, three a pair */
    uint64_t probes, replies, bytes;
    uint64_t passed;                 /* probes that went on through a gateway on their way */
    uint64_t found, silent, refused; /* answers */
    uint64_t entries;                /* remembered in all caches */
    double took_s;                   /* virtual: until the last pair was answered */
};

/* Pairs are different pairs of gateways (at most gateways * (gateways - 1)); `loss` of each message. -1: no memory. */
int sim_discover_run(uint64_t seed, uint32_t gateways, uint32_t pairs, double loss,
                     struct sim_discover_result *out);

#endif
