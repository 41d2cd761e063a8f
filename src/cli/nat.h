/* What the files of `dovetail nat` share. */
#ifndef DT_CLI_NAT_H
#define DT_CLI_NAT_H

#include "cli/cli.h"

/* Of `dovetail nat replay`. */
enum { NAT_INSIDE, NAT_OUTSIDE, NAT_SET, NAT_OUTSIDE_ADDRESS, NAT_CLIENTS, NAT_OPTIONS };

/* nat_replay.c; argv[0] is skipped. */
int dt_cli_nat_replay(struct dt_cli *cli, int argc, char **argv);

#endif
