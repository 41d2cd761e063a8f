#include <stdio.h>

#include "sim/cmd.h"
#include "sim/report/text.h"

int sim_cmd_list(const struct sim_options *o)
{
    struct sim_text t = {0};
    for (int i = 0; i < SIM_SCENARIOS; i++) {
        const struct sim_scenario *s = &sim_scenarios[i];
        if (o->json) {
            sim_text_put(&t, "{\"scenario\": ");
            sim_text_json(&t, s->name);
            sim_text_put(&t, ", \"what\": ");
            sim_text_json(&t, s->what);
            sim_text_put(&t, ", \"plain\": ");
            sim_text_json(&t, s->plain);
            sim_text_put(&t, "}\n");
        } else {
            sim_text_add(&t, "%-17s %s\n%-17s   IPsec today: %s\n", s->name, s->what, "", s->plain);
        }
    }
    for (int i = 0; i < SIM_PAIRINGS_ALL && !o->json; i++)
        sim_text_add(&t, "%s--pairing %-12s %s\n", i ? "" : "\n", sim_pairings[i].name, sim_pairings[i].what);
    if (!o->json)
        sim_text_put(&t, "\nrun mixed --days N   every day of every pair of clients brings another of them\n"
                         "run discovery        gateways that find each other, by pairs of sites that talk\n");
    fputs(t.p, stdout);
    sim_text_free(&t);
    return 0;
}
