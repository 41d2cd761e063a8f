#include <stdio.h>

#include "sim/cmd.h"

int sim_cmd_sweep(const struct sim_options *o)
{
    return sim_complain(1, "no sweep yet");
}
