/* One natd an interface: an abstract socket for each name, which are of one network namespace, need no file system, and go
 * with the process however it ends. */
#include "natd/natd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "net/port_holder.h"

static socklen_t claim_name(struct sockaddr_un *a, const char *ifname)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "dovetail-natd/%s", ifname);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* Who listens there; pid 0: nobody any more. */
static struct ucred claim_holder(const struct sockaddr_un *a, socklen_t len)
{
    struct ucred who = {0};
    socklen_t size = sizeof(who);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return who;
    if (connect(s, (const struct sockaddr *)a, len) || getsockopt(s, SOL_SOCKET, SO_PEERCRED, &who, &size))
        who = (struct ucred){0};
    close(s);
    return who;
}

/* The socket, -1 with an error, or -2: a stranger has the name, which is no reason not to start. */
static int claim(const char *ifname, bool wait, struct dt_err *err)
{
    struct sockaddr_un a;
    char name[DT_PROGRAM_NAME];
    socklen_t len = claim_name(&a, ifname);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return dt_err_set(err, 0, "no socket: %s", strerror(errno));
    for (int tries = wait ? 100 : 3;; tries--) {
        if (!bind(s, (const struct sockaddr *)&a, len) && !listen(s, 8))
            return s;
        struct ucred who = claim_holder(&a, len);
        if (who.pid && who.uid && who.uid != geteuid()) {
            dt_log(DT_LOG_WARN, "natd",
                   "process %d (%s) of user %u, which is not a natd of ours, holds the name @%s",
                   (int)who.pid, dt_program_name(name, who.pid), (unsigned)who.uid, a.sun_path + 1);
            close(s);
            return -2;
        }
        if (!tries) {
            close(s);
            return dt_err_set(
                err, 0,
                "another dovetail-natd, process %d (%s), has the interface \"%s\" already: end it "
                "first, or take over from it by --replace with its --socket",
                (int)who.pid, dt_program_name(name, who.pid), ifname);
        }
        if (wait || !who.pid)
            usleep(50000);
        else
            tries = 1;
    }
}

int natd_claim(struct natd *d, bool wait, struct dt_err *err)
{
    d->claim[0] = claim(d->cfg.inside, wait, err);
    if (d->claim[0] == -1)
        return -1;
    d->claim[1] = claim(d->cfg.outside, wait, err);
    return d->claim[1] == -1 ? -1 : 0;
}

void natd_unclaim(struct natd *d)
{
    for (int i = 0; i < 2; i++)
        if (d->claim[i] > 0)
            close(d->claim[i]);
}
