/* A device without a link, by which a packet over the MTU of the way out, already translated, enters the kernel once more: it
 * accepts the router's own address as a source, so the kernel routes and fragments the packet as any other. */
#include "natd/natd.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void device_name(char out[IFNAMSIZ], unsigned outside)
{
    snprintf(out, IFNAMSIZ, "dtnat%u", outside % 1000000);
}

static int ask(struct nlmsghdr *h)
{
    char buf[4096];
    struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
        if (s)
            mnl_socket_close(s);
        return -1;
    }
    h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    h->nlmsg_seq = 1;
    int rc = -1;
    if (mnl_socket_sendto(s, h, h->nlmsg_len) >= 0) {
        ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));
        rc = n < 0 ? -1 : mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(s), NULL, NULL);
    }
    int keep = errno;
    mnl_socket_close(s);
    errno = keep;
    return rc < 0 ? -1 : 0;
}

static int create(const char *name, const char *kind)
{
    char buf[1024];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_NEWLINK;
    h->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
    ifi->ifi_flags = ifi->ifi_change = IFF_UP;
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    mnl_attr_put_u32(h, IFLA_MTU, 65535);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_str(h, IFLA_INFO_KIND, kind);
    mnl_attr_nest_end(h, info);
    return ask(h);
}

static int sysctl_set(const char *name, const char *key, const char *value)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", name, key);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, value, strlen(value));
    close(fd);
    return n < 0 ? -1 : 0;
}

unsigned natd_slow_open(unsigned outside, uint8_t mac[6], struct dt_err *err)
{
    struct ifreq r = {0};
    device_name(r.ifr_name, outside);
    /* A bridge without ports does as well where there are no dummy devices. */
    if (!if_nametoindex(r.ifr_name) && create(r.ifr_name, "dummy") && create(r.ifr_name, "bridge")) {
        dt_err_set(err, 0, "neither a dummy nor a bridge device %s can be made: %s", r.ifr_name,
                   strerror(errno));
        return 0;
    }
    if (sysctl_set(r.ifr_name, "accept_local", "1") || sysctl_set(r.ifr_name, "rp_filter", "0") ||
        sysctl_set(r.ifr_name, "forwarding", "1")) {
        dt_err_set(err, 0, "device %s cannot be set up: %s", r.ifr_name, strerror(errno));
        return 0;
    }
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = s < 0 ? -1 : ioctl(s, SIOCGIFHWADDR, &r);
    if (s >= 0)
        close(s);
    if (rc) {
        dt_err_set(err, 0, "device %s has no address: %s", r.ifr_name, strerror(errno));
        return 0;
    }
    memcpy(mac, r.ifr_hwaddr.sa_data, 6);
    return if_nametoindex(r.ifr_name);
}

void natd_slow_close(unsigned outside)
{
    char name[IFNAMSIZ], buf[1024];
    device_name(name, outside);
    unsigned index = if_nametoindex(name);
    if (!index)
        return;
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_DELLINK;
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
    ifi->ifi_index = (int)index;
    ask(h);
}
