#include "base/rights.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int get_caps(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    return (int)syscall(SYS_capget, &head, data);
}

uint64_t dt_rights_effective(void)
{
    struct __user_cap_data_struct data[2] = {{0}};
    return get_caps(data) == 0 ? (uint64_t)data[1].effective << 32 | data[0].effective : 0;
}

int dt_rights_close(void)
{
    for (int cap = 0; cap < 64; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* fails where it is gone already */
    /* Without CAP_SETPCAP it cannot be said; then no_new_privs is what there is. */
    prctl(PR_SET_SECUREBITS,
          SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
              SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
          0, 0, 0);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int dt_rights_become(uid_t uid, gid_t gid)
{
    if (uid == geteuid()) /* in a container that may not be allowed, and then there are none */
        return setgroups(0, NULL) == 0 || errno == EPERM ? 0 : -1;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0)
        return -1;
    return prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

int dt_rights_keep(uint64_t caps)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (get_caps(data) != 0)
        return -1;
    for (int i = 0; i < 2; i++) { /* one that was never there cannot be kept */
        data[i].permitted &= (uint32_t)(caps >> 32 * i);
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return (int)syscall(SYS_capset, &head, data);
}
