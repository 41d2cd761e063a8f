/* What natd needs once it runs, and nothing else: it looks into tables (CAP_BPF), and puts filters and sysctls of its network namespace
 * right (CAP_NET_ADMIN). What it hears from the network it hears in eBPF; from people, by the control socket and the page of metrics. */
#include "natd/natd.h"

#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rights.h"

#define NEEDED (DT_RIGHT(CAP_NET_ADMIN) | DT_RIGHT(CAP_BPF))

/* *uid and *gid: whom to become; as they are where nobody else is meant. */
static int find_user(const char *user, uid_t *uid, gid_t *gid, struct dt_err *err)
{
    const struct passwd *p = getpwnam(user[0] ? user : NATD_USER);
    *uid = geteuid();
    *gid = getegid();
    if (!p && user[0])
        return dt_err_set(err, 0, "there is no user \"%s\"", user);
    if (*uid) {
        if (user[0] && p->pw_uid != *uid)
            return dt_err_set(err, 0, "this is user %u, and only root can become \"%s\"", (unsigned)*uid,
                              user);
        return 0;
    }
    if (!p) {
        dt_log(DT_LOG_WARN, "natd",
               "there is no user \"%s\" on this host: natd goes on as root, with CAP_NET_ADMIN and CAP_BPF "
               "alone, "
               "and what is root's is its own; `useradd --system --no-create-home %s` would be right (user = "
               "root "
               "says that it is meant)",
               NATD_USER, NATD_USER);
        return 0;
    }
    *uid = p->pw_uid;
    *gid = p->pw_gid;
    return 0;
}

int natd_rights_find(struct natd *d, struct dt_err *err)
{
    if (find_user(d->cfg.user, &d->uid, &d->gid, err))
        return -1;
    /* Threads that are made before the change of user lose all of it then; where there is none they never have it. */
    if (d->uid == geteuid() && dt_rights_keep(NEEDED | DT_RIGHT(CAP_NET_BIND_SERVICE)))
        return dt_err_set(err, 0, "cannot give up privileges: %s", strerror(errno));
    return 0;
}

int natd_rights_drop(struct natd *d, struct dt_err *err)
{
    if (d->uid != geteuid()) {
        if (dt_kernel_give(d->k, d->uid, d->gid, err))
            return -1;
        if (!strncmp(d->cfg.pin, NATD_PINS "/", sizeof(NATD_PINS)) && chown(NATD_PINS, d->uid, d->gid))
            return dt_err_set(err, 0, "%s cannot become user %u's: %s", NATD_PINS, (unsigned)d->uid,
                              strerror(errno));
        if (dt_rights_become(d->uid, d->gid)) {
            dt_err_set(err, 0, "cannot become user %u: %s (CAP_SETUID and CAP_SETGID are needed)",
                       (unsigned)d->uid, strerror(errno));
            if (d->cfg.user[0] || geteuid() != 0)
                return -1; /* whoever says whom to become wants nothing else */
            dt_log(DT_LOG_WARN, "natd", "%s: natd goes on as root, with CAP_NET_ADMIN and CAP_BPF alone",
                   err->text);
            *err = (struct dt_err){.notify = 0};
        }
    } else if (dt_rights_become(d->uid, d->gid)) {
        return dt_err_set(err, 0, "cannot give up groups: %s", strerror(errno));
    }
    return dt_rights_keep(NEEDED) ? dt_err_set(err, 0, "cannot give up privileges: %s", strerror(errno)) : 0;
}
