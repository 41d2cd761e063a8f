/* Who has a UDP port: a child that is found by its name, and what is said when nobody can be found. */
#include "support/test.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "net/port_holder.h"
#include "net/udp_socket.h"

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && close(fd) == 0;
}

/* A child under that name that holds a port of its own; *port is which. */
static pid_t hold(int family, const char *name, uint16_t *port)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family};
    socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof any;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
    *port = ntohs(any.sin6_port); /* at the same place in both */
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NAME, name);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(ready[1], "", 1) == 1)
            pause();
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    close(fd); /* the child's alone now */
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void who_has_it_is_named(void **state)
{
    static const struct {
        int family;
        uint8_t ver;
    } tried[] = {{AF_INET, 4}, {AF_INET6, 6}, {AF_INET6, 4}}; /* the last: an IPv6 socket for both */
    for (size_t i = 0; i < sizeof tried / sizeof *tried; i++) {
        uint16_t port;
        struct dt_err err = {0};
        char says[64];
        if (tried[i].family == AF_INET6 && !has_ipv6())
            continue;
        pid_t child = hold(tried[i].family, "other-ike", &port);
        struct dt_port_holder h = dt_port_holder(tried[i].ver, port);
        assert_true(h.there);
        assert_int_equal(h.pid, child);
        assert_string_equal(h.name, "other-ike");
        assert_int_equal(dt_udp_open(tried[i].ver, port, 0, &err), -1);
        snprintf(says, sizeof says, "process %d, other-ike, has it", (int)child);
        assert_non_null(strstr(err.text, says));
        end(child);
        h = dt_port_holder(tried[i].ver, port);
        assert_false(h.there);
    }
}

static void a_name_is_what_its_process_likes(void **state)
{
    uint16_t port;
    pid_t child = hold(AF_INET, "a\n\033[2J\xff", &port);
    struct dt_port_holder h = dt_port_holder(4, port);
    assert_int_equal(h.pid, child);
    for (const char *c = h.name; *c; c++)
        assert_in_range(*c, 0x20, 0x7e);
    end(child);
    char name[DT_PROGRAM_NAME];
    assert_string_equal(dt_program_name(name, child), "?"); /* it has ended */
}

static void what_is_said(void **state)
{
    char text[DT_PORT_HOLDER_STRLEN];
    assert_non_null(strstr(dt_port_holder_str(text, &(struct dt_port_holder){.there = true}, 500),
                           "`ss -lunp sport = :500`"));
    assert_non_null(
        strstr(dt_port_holder_str(text, &(struct dt_port_holder){.there = false}, 500), "gone by now"));
    assert_non_null(
        strstr(dt_port_holder_str(
                   text, &(struct dt_port_holder){.there = true, .pid = 77, .name = "charon-systemd"}, 500),
               "process 77, charon-systemd, has it, strongSwan's IKE daemon"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_it_is_named),
        cmocka_unit_test(a_name_is_what_its_process_likes),
        cmocka_unit_test(what_is_said),
    };
    return TEST_RUN(tests);
}
