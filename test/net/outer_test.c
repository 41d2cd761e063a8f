/* The sending of a sealed batch, with a kernel that refuses (sendmmsg and sendmsg are wrapped): what has gone once does not
 * go again. */
#include "support/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dp.h"

#define PACKETS 5
#define LARGE   1000u
#define SMALL   300u

int __wrap_sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);

/* What the kernel does: DF is read from the socket, as it does. */
static struct {
    int many;         /* what sendmmsg says of a message that it must cut */
    unsigned fits;    /* with DF: the longest packet */
    unsigned shrinks; /* after so many packets that went singly ... */
    unsigned then;    /* ... only these fit */
    int last_says;    /* of the last packet, with DF; 0: no refusal of its own */
    unsigned went[PACKETS], order, plain;
} kernel;

static bool df_is_set(int fd)
{
    int v = 0;
    socklen_t len = sizeof v;
    assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v, &len), 0);
    return v != IP_PMTUDISC_DONT;
}

int __wrap_sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
    (void)fd, (void)v, (void)n, (void)flags;
    errno = kernel.many;
    return -1;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    (void)flags;
    unsigned which = *(const uint8_t *)m->msg_iov[0].iov_base;
    size_t len = m->msg_iov[0].iov_len;
    assert_int_equal(m->msg_iovlen, 1);
    assert_true(m->msg_controllen == 0); /* nothing is left to cut */
    assert_true(which < PACKETS);
    assert_int_equal(len, which == PACKETS - 1 ? SMALL : LARGE);
    if (df_is_set(fd)) {
        unsigned fits = kernel.shrinks && kernel.order >= kernel.shrinks ? kernel.then : kernel.fits;
        errno = len > fits ? EMSGSIZE : which == PACKETS - 1 ? kernel.last_says : 0;
        if (errno)
            return -1;
    }
    kernel.plain += !df_is_set(fd);
    kernel.went[which]++;
    kernel.order++;
    return (ssize_t)len;
}

/* One message of PACKETS packets, all of a size but the last; each begins with its number. */
static struct dp_worker *send_one(void)
{
    static uint8_t buf[PACKETS * LARGE];
    struct dt_dp *dp = calloc(1, sizeof *dp);
    struct dp_worker *w = calloc(1, sizeof *w);
    struct dp_sa *sa = calloc(1, sizeof *sa);
    struct dp_tunnel *t = calloc(1, sizeof *t);
    struct dp_route route = {.path = {.remote = {dt_addr4(0x7f000001), 9}, .natt = true},
                             .to_len = sizeof(struct sockaddr_in)};
    dp->path_mtu.fd4 = dp->path_mtu.fd6 = -1; /* nobody knows a path MTU */
    w->dp = dp;
    w->udp4 = (struct dp_sock){.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), .df = -1};
    assert_true(w->udp4.fd >= 0);
    sa->tunnel = t;
    sa->route = &route;
    w->tx.sa = sa;
    for (unsigned i = 0; i < PACKETS; i++) {
        buf[i * LARGE] = (uint8_t)i;
        w->tx.pkt[i] = (struct dt_esp_pkt){
            .p = buf + i * LARGE, .len = i == PACKETS - 1 ? SMALL : LARGE, .verdict = DT_ESP_OK};
        w->tx.df[i] = true;
    }
    w->tx.n = PACKETS;
    dp_outer_send(w);
    close(w->udp4.fd);
    free(t);
    free(sa);
    free(dp);
    return w;
}

static void all_went_once(struct dp_worker *w)
{
    for (unsigned i = 0; i < PACKETS; i++)
        assert_int_equal(kernel.went[i], 1);
    assert_int_equal(atomic_load(&w->count[DT_DPC_SENT]), PACKETS);
    assert_int_equal(atomic_load(&w->count[DT_DPC_SEND_FAILED]), 0);
    free(w);
}

/* The last packet of a message is shorter, and fits where the others do not. */
static void what_fitted_is_not_sent_in_fragments_too(void **state)
{
    memset(&kernel, 0, sizeof kernel);
    kernel.many = EINVAL;
    kernel.fits = SMALL;
    all_went_once(send_one());
    assert_int_equal(kernel.plain, PACKETS - 1);
}

/* The path shrinks while they are sent one by one. */
static void what_went_before_the_path_shrank_is_not_sent_again(void **state)
{
    memset(&kernel, 0, sizeof kernel);
    kernel.many = EIO;
    kernel.fits = LARGE;
    kernel.shrinks = 2;
    kernel.then = SMALL;
    all_went_once(send_one());
    assert_int_equal(kernel.plain, PACKETS - 3);
}

/* Another refusal after "too large" does not hide it: the large ones go in fragments all the same. */
static void too_large_is_not_forgotten_for_a_later_refusal(void **state)
{
    memset(&kernel, 0, sizeof kernel);
    kernel.many = EINVAL;
    kernel.fits = SMALL;
    kernel.last_says = ENOBUFS;
    all_went_once(send_one());
    assert_int_equal(kernel.plain, PACKETS);
}

/* EMSGSIZE of the whole message: nothing of it has gone. */
static void a_message_that_is_too_large_goes_in_fragments_once(void **state)
{
    memset(&kernel, 0, sizeof kernel);
    kernel.many = EMSGSIZE;
    kernel.fits = SMALL;
    all_went_once(send_one());
    assert_int_equal(kernel.plain, PACKETS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fitted_is_not_sent_in_fragments_too),
        cmocka_unit_test(what_went_before_the_path_shrank_is_not_sent_again),
        cmocka_unit_test(too_large_is_not_forgotten_for_a_later_refusal),
        cmocka_unit_test(a_message_that_is_too_large_goes_in_fragments_once),
    };
    return TEST_RUN(tests);
}
