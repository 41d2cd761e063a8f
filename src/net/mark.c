#include "net/mark.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANY_PORT 9 /* discard (RFC 863) */

int dt_mark_socket(int fd, uint32_t mark, struct dt_err *err)
{
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0)
        return dt_err_set(err, 0, "cannot mark packets: %s (CAP_NET_ADMIN is needed)", strerror(errno));
    return 0;
}

int dt_mark_open(uint8_t ver, uint32_t mark)
{
    int fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && mark && dt_mark_socket(fd, mark, NULL) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool dt_mark_leads_to(int fd, const struct dt_addr *a)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(ANY_PORT)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(ANY_PORT)};
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    if (fd < 0)
        return false;
    memcpy(&s4.sin_addr, a->b, sizeof s4.sin_addr);
    memcpy(&s6.sin6_addr, a->b, sizeof s6.sin6_addr);
    bool leads =
        connect(fd, a->ver == 4 ? (void *)&s4 : (void *)&s6, a->ver == 4 ? sizeof s4 : sizeof s6) == 0;
    (void)connect(fd, &none, sizeof none); /* the next question is about another address */
    return leads;
}
