/* Simulated packet events a second, and how the cost of one grows with the number of clients: 20 clients behind each NAT,
 * Dovetail at both ends, a packet each way every second for each client, and a rekey each now and then. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim/world/world.h"

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Events a second of processor time; 0: it could not be run. */
static double rate(uint32_t clients, uint64_t want)
{
    struct sim_params p = sim_params_default();
    struct dt_err err;
    struct sim_world_config cfg = sim_world_config_default(1, sim_pairing_by_name("both"), &p);
    cfg.clients = clients;
    cfg.per_lan = clients < 20 ? clients : 20;
    struct sim_world *w = sim_world_new(&cfg, &err);
    if (!w || sim_world_start(w, &err)) {
        fprintf(stderr, "bench sim: %s\n", err.text);
        sim_world_free(w);
        return 0;
    }
    sim_net_run(w->net, 20 * DT_SEC);
    sim_world_traffic(w, 0, clients, DT_SEC, DT_SEC);
    sim_net_run(w->net, 25 * DT_SEC);
    uint64_t first = w->net->events;
    double began = seconds();
    while (w->net->events - first < want)
        sim_net_run(w->net, w->net->now + DT_SEC / 2);
    double r = (double)(w->net->events - first) / (seconds() - began);
    sim_world_free(w);
    return r;
}

/* A simulated day of idle clients, in real seconds for each thousand of them. */
static double idle_day(uint32_t clients)
{
    struct sim_params p = sim_params_default();
    struct dt_err err;
    struct sim_world_config cfg = sim_world_config_default(1, sim_pairing_by_name("both"), &p);
    cfg.clients = clients;
    cfg.per_lan = 20;
    struct sim_world *w = sim_world_new(&cfg, &err);
    double took = 0;
    if (w && !sim_world_start(w, &err)) {
        sim_net_run(w->net, 20 * DT_SEC);
        double began = seconds();
        sim_net_run(w->net, 3620 * DT_SEC);
        took = (seconds() - began) * 24 * 1000 / clients;
    }
    sim_world_free(w);
    return took;
}

static int up(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(void)
{
    static const uint32_t sizes[] = {10, 100, 1000, 10000};
    double v[4][3];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 4; i++)
            v[i][round] = rate(sizes[i], 400000);
    for (int i = 0; i < 4; i++) {
        qsort(v[i], 3, sizeof v[i][0], up);
        printf("{\"bench\": \"sim\", \"case\": \"events, %u clients\", \"value\": %.0f, \"unit\": "
               "\"events/s\"}\n",
               sizes[i], v[i][1]);
    }
    /* the cost of an event at 10,000 clients over that at 10; log 10,000 / log 10 would be 4 */
    printf("{\"bench\": \"sim\", \"case\": \"cost of an event, 10000 clients over 10\", \"value\": %.2f, "
           "\"unit\": \"ratio\"}\n",
           v[0][1] / v[3][1]);
    printf("{\"bench\": \"sim\", \"case\": \"a simulated day of 1000 idle clients\", \"value\": %.1f, "
           "\"unit\": \"s\"}\n",
           idle_day(200));
    return 0;
}
