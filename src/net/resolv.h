/* Inside the net room: which file names the name servers that this host's queries go to, and whether it has changed.
 *
 * It is /etc/resolv.conf, unless that names systemd-resolved's stub (127.0.0.53, 127.0.0.54). The stub asks further with
 * packets of its own, which bear no mark of ours and would be swallowed by a full tunnel that is not up yet: then it is the file
 * in which resolved lists the servers that it asks itself. */
#ifndef DT_NET_RESOLV_H
#define DT_NET_RESOLV_H

#include <stdbool.h>
#include <sys/stat.h>

#define RESOLV_CONF     "/etc/resolv.conf"
#define RESOLV_RESOLVED "/run/systemd/resolve/resolv.conf"

struct resolv {
    const char *conf, *resolved; /* borrowed */
    struct stat seen[2];         /* of the two, as they were when they were read; st_nlink 0: not there */
};
/* NULL: the paths above. */
void resolv_init(struct resolv *r, const char *conf, const char *resolved);
/* The file to read now. From now on it counts as seen. */
const char *resolv_file(struct resolv *r);
bool resolv_changed(const struct resolv *r); /* since then */

#endif
