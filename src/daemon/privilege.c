/* Rights: what must be there, what is kept, what must never happen (core dumps with keys in them). */
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/state.h"

#define WANTED ((1u << CAP_NET_ADMIN) | (1u << CAP_NET_RAW))

static int get_caps(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    return (int)syscall(SYS_capget, &head, data);
}

int privilege_check(struct dt_err *err)
{
    struct __user_cap_data_struct data[2] = {{0}};
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak checker attaches to its own process at the end */
    prctl(PR_SET_DUMPABLE, 0);
#endif
    if (get_caps(data) == 0 && (data[0].effective & WANTED) == WANTED)
        return 0;
    return dt_err_set(err, 0,
                      "no privilege: a TUN device, raw sockets and routes need CAP_NET_ADMIN and "
                      "CAP_NET_RAW, and this process "
                      "(user %u) has %s; run it as root",
                      (unsigned)geteuid(), data[0].effective & WANTED ? "only one of them" : "neither");
}

int privilege_drop(bool ports, struct dt_err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    uint32_t keep = WANTED | (ports ? 1u << CAP_NET_BIND_SERVICE : 0);
    struct __user_cap_data_struct data[2] = {{0}};
    if (get_caps(data) != 0)
        return dt_err_set(err, 0, "cannot look at privileges: %s", strerror(errno));
    keep &= data[0].permitted; /* one that was never there cannot be kept */
    data[0] = (struct __user_cap_data_struct){.effective = keep, .permitted = keep};
    data[1] = (struct __user_cap_data_struct){0};
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (!(cap < 32 && (keep & 1u << cap)))
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* fails where it is gone already */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_capset, &head, data) != 0)
        return dt_err_set(err, 0, "cannot give up privileges: %s", strerror(errno));
    return 0;
}

void privilege_none(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &head, none) != 0) /* giving up is always allowed */
        LOG(DT_LOG_WARN, "a thread could not give up its privileges: %s", strerror(errno));
}
