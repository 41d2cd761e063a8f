/* Rights: what must be there, how they are given up for good, what must never happen (core dumps with keys in them). */

#include "daemon/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rights.h"
#include "tunnels/daemon.h"

#define WANTED (DT_RIGHT(CAP_NET_ADMIN) | DT_RIGHT(CAP_NET_RAW))

static void hide(void)
{
#ifdef __SANITIZE_ADDRESS__ /* the leak checker attaches to its own process at the end */
    prctl(PR_SET_DUMPABLE, 1);
#else
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

int privilege_check(struct dt_err *err)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    hide();
    const uint64_t has = dt_rights_effective() & WANTED;
    if (has == WANTED)
        return 0;
    return dt_err_set(err, 0,
                      "no privilege: a TUN device, raw sockets and routes need CAP_NET_ADMIN and "
                      "CAP_NET_RAW, and this process "
                      "(user %u) has %s; run it as root",
                      (unsigned)geteuid(), has != 0 ? "only one of them" : "neither");
}

/* *uid and *gid: whom to become; as they are where nobody else is meant. */
static int daemon_find_user(const char *user, uid_t *uid, gid_t *gid, struct dt_err *err)
{
    const struct passwd *p = getpwnam(user[0] != '\0' ? user : DT_CONFIG_USER);
    *uid = geteuid();
    *gid = getegid();
    if (p == NULL && user[0] != '\0')
        return dt_err_set(err, 0, "there is no user \"%s\"", user);
    if (*uid != 0) {
        if (user[0] != '\0' && p->pw_uid != *uid)
            return dt_err_set(err, 0, "this is user %u, and only root can become \"%s\"", (unsigned)*uid,
                              user);
        return 0;
    }
    if (p == NULL) {
        LOG(DT_LOG_WARN,
            "there is no user \"%s\" on this host: the daemon goes on as root, without any capability, and "
            "what is root's "
            "is its own; `useradd --system --no-create-home %s` would be right (user = root says that it is "
            "meant)",
            DT_CONFIG_USER, DT_CONFIG_USER);
        return 0;
    }
    *uid = p->pw_uid;
    *gid = p->pw_gid;
    return 0;
}

/* Whoever says whom to become wants nothing else. */
static int become_or_say(const char *user, uid_t uid, gid_t gid, struct dt_err *err)
{
    if (geteuid() != 0 || dt_rights_become(uid, gid) == 0)
        return 0;
    if (user[0] != '\0')
        return dt_err_set(err, 0, "cannot become user \"%s\": %s (CAP_SETUID and CAP_SETGID are needed)",
                          user, strerror(errno));
    LOG(DT_LOG_WARN,
        "cannot become user \"%s\": %s (CAP_SETUID and CAP_SETGID are needed): the daemon goes on as root, "
        "without any "
        "capability",
        DT_CONFIG_USER, strerror(errno));
    return 0;
}

int privilege_become(const char *user, struct dt_err *err)
{
    uid_t uid;
    gid_t gid;
    if (daemon_find_user(user, &uid, &gid, err) != 0)
        return -1;
    if (dt_rights_close() != 0)
        return dt_err_set(err, 0, "cannot give up privileges: %s", strerror(errno));
    if (become_or_say(user, uid, gid, err) != 0)
        return -1;
    hide(); /* a change of user makes of it what fs.suid_dumpable says */
    if (dt_rights_keep(DT_RIGHT(CAP_NET_BIND_SERVICE)) != 0)
        return dt_err_set(err, 0, "cannot give up privileges: %s", strerror(errno));
    return 0;
}

int privilege_none(struct dt_err *err)
{
    return dt_rights_keep(0) == 0 ? 0 : dt_err_set(err, 0, "cannot give up privileges: %s", strerror(errno));
}
