/* Keys of SAs for Wireshark, where the user asks for them. */
#ifndef DT_DAEMON_KEYLOG_H
#define DT_DAEMON_KEYLOG_H

#include <stdio.h>

#include "endpoint/endpoint.h"

struct daemon;

int keylog_open(struct daemon *d, struct dt_err *err);
void keylog_sa(struct daemon *d, const struct dt_endpoint_sa *sa);
void keylog_lines(FILE *f, const struct dt_endpoint_sa *sa); /* of both directions, as Wireshark reads them */

#endif
