#include "daemon/daemon.h"

#include <stdio.h>

int dt_daemon_main(int argc, char **argv)
{
    printf("dovetaild %s\n", DT_VERSION);
    return 0;
}
