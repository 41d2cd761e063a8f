/* The page of numbers, asked for over a real socket on the loopback. */
#include "support/test.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "control/page.h"

static struct dt_addrport at;

static void numbers(void *ctx, FILE *f)
{
    fprintf(f, "dovetail_things %d\n", *(int *)ctx);
}

static void ask(const char *request, char *answer, size_t cap)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(at.port)};
    memcpy(&to.sin_addr, at.addr.b, 4);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t got = 0;
    ssize_t n;
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while (got + 1 < cap && (n = read(fd, answer + got, cap - 1 - got)) > 0)
        got += (size_t)n;
    answer[got] = 0;
    close(fd);
}

static struct dt_page *open_somewhere(void)
{
    struct dt_page *p = NULL;
    struct dt_err err = {0};
    at.addr = dt_addr4(0x7f000001);
    for (int i = 0; i < 50 && !p; i++) {
        at.port = (uint16_t)(20000 + (getpid() * 7 + i * 101) % 12000); /* below what the kernel gives away */
        p = dt_page_open(&at, &err);
    }
    if (!p)
        fail_msg("%s", err.text);
    return p;
}

static void serves_what_was_made_last(void **state)
{
    static const char get[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char answer[2000];
    struct dt_page *p = open_somewhere();
    ask(get, answer, sizeof(answer));
    assert_non_null(strstr(answer, " 200 ")); /* nothing yet */
    for (int i = 1; i <= 2; i++) {
        dt_page_make(p, numbers, &i);
        char want[40];
        snprintf(want, sizeof(want), "\r\n\r\ndovetail_things %d\n", i);
        ask(get, answer, sizeof(answer));
        assert_non_null(strstr(answer, "version=0.0.4"));
        assert_non_null(strstr(answer, want));
    }
    dt_page_close(p);
    dt_page_close(NULL);
    dt_page_make(NULL, numbers, NULL);
}

static void serves_nothing_else(void **state)
{
    static const char *const wrong[] = {"GET /etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                                        "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                                        "Connection: close\r\n\r\n"};
    char answer[2000];
    struct dt_page *p = open_somewhere();
    for (size_t i = 0; i < DT_ARRAY_LEN(wrong); i++) {
        ask(wrong[i], answer, sizeof(answer));
        assert_non_null(strstr(answer, " 404 "));
        assert_non_null(strstr(answer, "only GET /metrics is here"));
    }
    dt_page_close(p);
}

static void a_port_in_use_is_said(void **state)
{
    struct dt_err err = {0};
    struct dt_page *p = open_somewhere();
    assert_null(dt_page_open(&at, &err));
    assert_non_null(strstr(err.text, "cannot serve metrics at 127.0.0.1:"));
    assert_non_null(strstr(err.text, "Address already in use"));
    dt_page_close(p);
    p = dt_page_open(&at, &err); /* at once again */
    assert_non_null(p);
    dt_page_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_what_was_made_last),
        cmocka_unit_test(serves_nothing_else),
        cmocka_unit_test(a_port_in_use_is_said),
    };
    return TEST_RUN(tests);
}
