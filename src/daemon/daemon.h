/* dovetaild: one program for client and gateway. */
#ifndef DT_DAEMON_DAEMON_H
#define DT_DAEMON_DAEMON_H

int dt_daemon_main(int argc, char **argv);

#endif
