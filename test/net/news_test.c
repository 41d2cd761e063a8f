/* A socket whose news overflowed (its recv is wrapped) has news, and a watched descriptor is watched after an error too. */
#include "support/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/netlink.h"
#include "net/watch.h"

ssize_t __real_recv(int fd, void *buf, size_t cap, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t cap, int flags);

/* What recv says, in this order; then `ever`. */
static struct {
    int says[4]; /* errno, or 0 for a message */
    unsigned n, calls;
    int ever;
} kernel;

ssize_t __wrap_recv(int fd, void *buf, size_t cap, int flags)
{
    if (fd >= 0)
        return __real_recv(fd, buf, cap, flags);
    int says = kernel.calls < kernel.n ? kernel.says[kernel.calls] : kernel.ever;
    kernel.calls++;
    errno = says;
    return says ? -1 : 16;
}

static bool drained(unsigned n, int first, int second)
{
    kernel.says[0] = first;
    kernel.says[1] = second;
    kernel.n = n;
    kernel.calls = 0;
    return dt_nl_monitor_drain(-1);
}

static void what_was_lost_is_news(void **state)
{
    kernel.ever = EAGAIN;
    assert_false(drained(0, 0, 0));
    assert_true(drained(1, 0, 0));
    assert_true(drained(1, ENOBUFS, 0));
    assert_int_equal(kernel.calls, 2); /* and it was read on, until there was nothing more */
    assert_true(drained(2, ENOBUFS, 0));
    assert_int_equal(kernel.calls, 3);
    assert_false(drained(1, EINTR, 0));
    assert_int_equal(kernel.calls, 2);
    assert_false(drained(1, EBADF, 0));
    assert_int_equal(kernel.calls, 1);
}

static void news_without_end_is_left_for_the_next_turn(void **state)
{
    kernel.ever = 0;
    assert_true(drained(0, 0, 0));
    assert_in_range(kernel.calls, 2, 100000);
}

/* ---- a loop ---- */

static struct {
    int fd;
    unsigned errors, read;
} heard;

static void on_readable(uv_poll_t *p, int status, int events)
{
    char byte;
    dt_watch_on(p, status, on_readable);
    heard.errors += status < 0;
    while (__real_recv(heard.fd, &byte, 1, MSG_DONTWAIT) > 0)
        heard.read++;
}

static void turn(uv_loop_t *loop)
{
    for (int i = 0; i < 3; i++)
        uv_run(loop, UV_RUN_NOWAIT);
}

/* UDP to a port of this host that nobody has: the kernel says so at once, as an error of the socket. */
static void an_error_does_not_end_it(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof here;
    int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uv_loop_t loop;
    uv_poll_t p;
    heard.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(other, (struct sockaddr *)&here, len), 0);
    assert_int_equal(getsockname(other, (struct sockaddr *)&here, &len), 0);
    assert_int_equal(connect(heard.fd, (struct sockaddr *)&here, len), 0);
    struct sockaddr_in own = {.sin_family = AF_INET};
    assert_int_equal(getsockname(heard.fd, (struct sockaddr *)&own, &len), 0);
    uv_loop_init(&loop);
    uv_poll_init(&loop, &p, heard.fd);
    uv_poll_start(&p, UV_READABLE, on_readable);

    close(other);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(send(heard.fd, "x", 1, 0), 1);
        turn(&loop);
        assert_int_equal(heard.errors, i);
    }
    other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(other, (struct sockaddr *)&here, len), 0);
    assert_int_equal(sendto(other, "y", 1, 0, (struct sockaddr *)&own, len), 1);
    turn(&loop);
    assert_int_equal(heard.read, 1);
    assert_int_equal(heard.errors, 2); /* each was told once */

    uv_close((uv_handle_t *)&p, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    close(other);
    close(heard.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_lost_is_news),
        cmocka_unit_test(news_without_end_is_left_for_the_next_turn),
        cmocka_unit_test(an_error_does_not_end_it),
    };
    return TEST_RUN(tests);
}
