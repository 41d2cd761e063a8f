#include "daemon/daemon.h"

int main(int argc, char **argv)
{
    return dt_daemon_main(argc, argv);
}
