/* discover: what discovery costs as more pairs talk, and as there are more gateways. */
#include <math.h>
#include <stdio.h>

#include "sim/cmd.h"
#include "sim/world/discover.h"
#include "sim/report/text.h"

#define LOSS  0.01
#define SIZES 4

/* A probe crosses six links and its reply two, so with LOSS each a pair costs 1.084 probes; more room for chance where
 * pairs are few. */
static bool linear(const struct sim_discover_result *r)
{
    return (double)r->probes / r->pairs <= 1.1 + 1.5 / sqrt(r->pairs) && r->entries == r->pairs &&
           r->refused == 0;
}

static void row_json(struct sim_text *t, const struct sim_discover_result *r)
{
    sim_text_add(
        t,
        "{\"gateways\": %u, \"pairs\": %u, \"packets\": %llu, \"probes\": %llu, \"probes_a_pair\": %.3f, "
        "\"replies\": %llu, \"bytes\": %llu, \"bytes_a_pair\": %.1f, \"passed\": %llu, \"found\": %llu, "
        "\"silent\": %llu, \"refused\": %llu, \"entries\": %llu}",
        r->gateways, r->pairs, (unsigned long long)r->packets, (unsigned long long)r->probes,
        (double)r->probes / r->pairs, (unsigned long long)r->replies, (unsigned long long)r->bytes,
        (double)r->bytes / r->pairs, (unsigned long long)r->passed, (unsigned long long)r->found,
        (unsigned long long)r->silent, (unsigned long long)r->refused, (unsigned long long)r->entries);
}

static void discover_row(struct sim_text *t, const struct sim_discover_result *r)
{
    sim_text_add(t, "%8u  %6u  %7llu  %6.3f  %12.1f  %7llu  %7llu  %6llu\n", r->gateways, r->pairs,
                 (unsigned long long)r->probes, (double)r->probes / r->pairs, (double)r->bytes / r->pairs,
                 (unsigned long long)r->found, (unsigned long long)r->silent, (unsigned long long)r->entries);
}

int sim_cmd_discover(const struct sim_options *o)
{
    uint32_t gateways = o->gateways ? o->gateways : 1000;
    struct sim_text t = {0};
    struct sim_discover_result r[SIZES + 1];
    bool ok = true;
    if (gateways < 10)
        return sim_complain(2, "--gateways %u: at least 10 make a mesh", gateways);
    /* As many pairs as half the gateways, and more; then the same pairs among fewer gateways. */
    for (int i = 0; i <= SIZES; i++) {
        uint32_t pairs = i < SIZES ? gateways / 2 << i : gateways * 4;
        if (sim_discover_run(o->seed + (uint64_t)i, i < SIZES ? gateways : gateways / 2, pairs, LOSS, &r[i]))
            return sim_complain(1, "out of memory");
        ok &= linear(&r[i]);
    }
    if (o->json) {
        sim_text_add(
            &t, "{\"scenario\": \"discovery\", \"gateways\": %u, \"loss\": %g, \"linear\": %s, \"rows\": [",
            gateways, LOSS, ok ? "true" : "false");
        for (int i = 0; i <= SIZES; i++) {
            sim_text_put(&t, i ? ", " : "");
            row_json(&t, &r[i]);
        }
        sim_text_put(&t, "]}\n");
    } else {
        sim_text_add(&t, "discovery among gateways that know nobody, %g %% of messages lost\n\n", LOSS * 100);
        sim_text_put(&t, "gateways   pairs   probes  a pair  bytes a pair    found   silent  cached\n");
        for (int i = 0; i <= SIZES; i++)
            discover_row(&t, &r[i]);
        sim_text_put(&t, ok ? "\nlinear in the pairs that talk, whatever the number of gateways\n"
                            : "\nNOT linear in the pairs that talk\n");
    }
    fputs(t.p, stdout);
    sim_text_free(&t);
    return ok ? 0 : 1;
}
