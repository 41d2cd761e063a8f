#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/discovery.h"
#include "wire/ip.h"
#include "wire/udp.h"

#define MESSAGE_MAX 1400

int dt_raw_udp_open(uint8_t ver, uint32_t mark, struct dt_err *err)
{
    int one = 1,
        fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    if (fd < 0)
        return dt_err_set(err, 0, "no raw socket for probes (IPv%u): %s", ver, strerror(errno));
    if ((mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) ||
        setsockopt(fd, ver == 4 ? IPPROTO_IP : IPPROTO_IPV6, ver == 4 ? IP_HDRINCL : IPV6_HDRINCL, &one,
                   sizeof one) < 0) {
        dt_err_set(err, 0, "cannot prepare the socket for probes (IPv%u): %s", ver, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

int dt_raw_udp_send(int fd, const struct dt_addr *src, uint16_t sport, const struct dt_addr *dst,
                    uint16_t dport, const void *msg, size_t len, struct dt_err *err)
{
    uint8_t p[DT_IP6_HDR_LEN + DT_UDP_HDR_LEN + MESSAGE_MAX];
    struct sockaddr_in s4 = {.sin_family = AF_INET};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6};
    char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN];
    if (len > MESSAGE_MAX || src->ver != dst->ver)
        return dt_err_set(err, 0, "a message of %zu bytes from %s to %s cannot be sent", len,
                          dt_addr_str(a, src), dt_addr_str(b, dst));
    size_t ip = dt_ip_put(p, src, dst, DT_IPPROTO_UDP, 64, 0, DT_UDP_HDR_LEN + len);
    memcpy(p + ip + DT_UDP_HDR_LEN, msg, len);
    dt_udp_put(p + ip, sport, dport, len, src, dst);
    memcpy(&s4.sin_addr, dst->b, 4);
    memcpy(&s6.sin6_addr, dst->b, 16);
    if (sendto(fd, p, ip + DT_UDP_HDR_LEN + len, 0, dst->ver == 4 ? (void *)&s4 : (void *)&s6,
               dst->ver == 4 ? sizeof s4 : sizeof s6) < 0)
        return dt_err_set(err, 0, "from %s to %s: %s", dt_addr_str(a, src), dt_addr_str(b, dst),
                          strerror(errno));
    return 0;
}
