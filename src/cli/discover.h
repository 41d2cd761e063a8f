/* What the files of `dovetail discover` share. */
#ifndef DT_CLI_DISCOVER_H
#define DT_CLI_DISCOVER_H

#include "cli/cli.h"
#include "config/discover_json.h"

void dt_cli_proxies_print(FILE *out, const char *title, const json_t *list);
void dt_cli_steps_print(FILE *out, const json_t *steps);
void dt_cli_refusals_print(FILE *out, const json_t *list);

/* discover --intersect: argv[1..] are pairs of (initiator's, responder's) proxies. */
int dt_cli_intersect(struct dt_cli *cli, int argc, char **argv, bool responder_view);

#endif
