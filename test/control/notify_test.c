/* What a service manager hears, on a real socket. */
#include "support/test.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control/notify.h"

static int manager = -1;
static char name[80];

/* A manager's socket, and the environment that it gives. */
static int begin(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(name, sizeof(name), "@dovetail-test/%d", (int)getpid());
    memcpy(a.sun_path + 1, name + 1, strlen(name) - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&a,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    return 0;
}

static int end(void **state)
{
    close(manager);
    return 0;
}

/* "" when it has said nothing. */
static const char *heard(void)
{
    static char text[600];
    ssize_t n = recv(manager, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void says_how_it_fares(void **state)
{
    struct dt_notify n;
    unsigned long long then = 0;
    struct timespec now;
    dt_notify_open(&n);
    dt_notify_ready(&n, "1 tunnel");
    assert_string_equal(heard(), "READY=1\nSTATUS=1 tunnel");
    dt_notify_reloading(&n);
    assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%llu", &then), 1);
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned long long usec =
        (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
    assert_true(then > 0 && then <= usec);
    dt_notify_status(&n, "a line\nREADY=1"); /* of which only the first is the status */
    assert_string_equal(heard(), "STATUS=a line");
    dt_notify_stopping(&n, "closing");
    assert_string_equal(heard(), "STOPPING=1\nSTATUS=closing");
    dt_notify_close(&n);
    dt_notify_ready(&n, "no more");
    assert_string_equal(heard(), "");
}

static void leaves_children_nothing_to_say(void **state)
{
    struct dt_notify n, again;
    setenv("WATCHDOG_USEC", "1000000", 1);
    dt_notify_open(&n);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    dt_notify_open(&again);
    dt_notify_ready(&again, "nobody listens");
    assert_string_equal(heard(), "");
    dt_notify_close(&n);
}

static void feeds_a_watchdog_of_its_own(void **state)
{
    struct dt_notify n;
    char pid[20];
    setenv("WATCHDOG_USEC", "4000000", 1);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    dt_notify_open(&n);
    dt_notify_alive(&n, 10 * DT_SEC);
    assert_string_equal(heard(), "WATCHDOG=1");
    dt_notify_alive(&n, 10 * DT_SEC + 999 * DT_MSEC);
    assert_string_equal(heard(), ""); /* too soon to say it again */
    dt_notify_alive(&n, 11 * DT_SEC);
    assert_string_equal(heard(), "WATCHDOG=1");
    dt_notify_close(&n);

    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "4000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    dt_notify_open(&n);
    dt_notify_alive(&n, 20 * DT_SEC);
    assert_string_equal(heard(), ""); /* it is another's */
    dt_notify_close(&n);
}

static void a_bad_environment_is_none(void **state)
{
    struct dt_notify n;
    static const char *const bad[] = {"", "@", "relative", "vsock:2:1", NULL};
    for (size_t i = 0; bad[i] != NULL; i++) {
        setenv("NOTIFY_SOCKET", bad[i], 1);
        dt_notify_open(&n);
        assert_int_equal(n.len, 0);
    }
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    setenv("NOTIFY_SOCKET", longest, 1);
    dt_notify_open(&n);
    assert_int_equal(n.len, 0);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "5 s", 1);
    dt_notify_open(&n);
    assert_int_equal(n.watchdog, 0);
    dt_notify_close(&n);
}

/* Once its socket is full nothing more is heard, and nobody waits. */
static void a_deaf_manager_holds_nobody_up(void **state)
{
    struct dt_notify n;
    dt_notify_open(&n);
    for (int i = 0; i < 100000; i++)
        dt_notify_status(&n, "still here");
    assert_string_equal(heard(), "STATUS=still here");
    dt_notify_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(says_how_it_fares, begin, end),
        cmocka_unit_test_setup_teardown(leaves_children_nothing_to_say, begin, end),
        cmocka_unit_test_setup_teardown(feeds_a_watchdog_of_its_own, begin, end),
        cmocka_unit_test_setup_teardown(a_bad_environment_is_none, begin, end),
        cmocka_unit_test_setup_teardown(a_deaf_manager_holds_nobody_up, begin, end),
    };
    return TEST_RUN(tests);
}
