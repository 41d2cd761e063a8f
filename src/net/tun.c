#include "net/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/netlink.h"
#include "net/vnet.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int set_offloads(struct dt_tun *tun, int fd, bool gso, struct dt_err *err)
{
    const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    int size = DT_VNET_LEN, one = 1;

    if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(fd, TUNSETVNETLE, &one) < 0)
        return dt_err_set(err, 0, "the TUN device takes no offload header: %s", strerror(errno));
    tun->gso = tun->uso = false;
    if (!gso && ioctl(fd, TUNSETOFFLOAD, 0) < 0) /* else super-packets come, which nobody expects */
        return dt_err_set(err, 0, "the TUN device does not turn offloads off: %s", strerror(errno));
    if (!gso)
        return 0;
    /* A hint from here: what is refused is off, and tun says so. */
    if (ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0)
        tun->gso = tun->uso = true;
    else if (ioctl(fd, TUNSETOFFLOAD, tcp) == 0)
        tun->gso = true;
    return 0;
}

int dt_tun_open(struct dt_tun *tun, const char *name, bool gso, unsigned queues, int *fd, struct dt_err *err)
{
    unsigned n = 0;
    memset(tun, 0, sizeof *tun);
    snprintf(tun->name, sizeof tun->name, "%s", name);
    for (; n < queues; n++) {
        struct ifreq ifr;
        memset(&ifr, 0, sizeof ifr);
        memcpy(ifr.ifr_name, tun->name, sizeof ifr.ifr_name);
        ifr.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0));
        fd[n] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd[n] < 0) {
            dt_err_set(err, 0,
                       "cannot open /dev/net/tun: %s; the kernel's TUN driver is needed (modprobe tun)",
                       strerror(errno));
            goto fail;
        }
        if (ioctl(fd[n], TUNSETIFF, &ifr) < 0) {
            dt_err_set(err, 0, "cannot make TUN device '%s': %s%s", tun->name, strerror(errno),
                       errno == EPERM   ? " (CAP_NET_ADMIN is needed)"
                       : errno == EBUSY ? " (the name is in use)"
                                        : "");
            n++;
            goto fail;
        }
        memcpy(tun->name, ifr.ifr_name, sizeof tun->name); /* the next queues join this one */
        if (set_offloads(tun, fd[n], gso, err) < 0) {
            n++;
            goto fail;
        }
    }
    tun->index = if_nametoindex(tun->name);
    if (tun->index)
        return 0;
    dt_err_set(err, 0, "TUN device '%s' vanished", tun->name);
fail:
    while (n > 0)
        if (fd[--n] >= 0)
            close(fd[n]);
    return -1;
}

/* The kernel would give the device a link-local address and look for routers through it. */
static void no_link_local(const char *device)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/addr_gen_mode", device);
    FILE *f = fopen(path, "we");
    if (!f)
        return;
    fputs("1\n", f); /* none */
    fclose(f);
}

void dt_tun_link(const struct dt_tun *tun, uint32_t mtu)
{
    struct dt_nl *nl = dt_nl_open(NULL);
    uint32_t segs = 65000 / (mtu + 64);
    no_link_local(tun->name);
    if (!nl)
        return;
    dt_nl_link_mtu(nl, tun->index, mtu, NULL);
    if (segs >= 2)
        dt_nl_link_gso(nl, tun->index, segs * (mtu - 60) + 60, segs, NULL);
    dt_nl_close(nl);
}
