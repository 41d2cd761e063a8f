/* Look-ups of names that hang, fail and succeed, with a C library that does as it is told. */
#include "support/test.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/names.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static unsigned hanging, most;
static bool released;

/* Stands before the C library's. "hang..." waits until it is released, "none..." fails. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    if (strncmp(node, "hang", 4) == 0) {
        pthread_mutex_lock(&lock);
        hanging++;
        most = hanging > most ? hanging : most;
        pthread_cond_broadcast(&moved);
        while (!released)
            pthread_cond_wait(&moved, &lock);
        hanging--;
        pthread_cond_broadcast(&moved);
        pthread_mutex_unlock(&lock);
        return EAI_AGAIN;
    }
    if (strncmp(node, "none", 4) == 0)
        return EAI_NONAME;
    struct answer {
        struct addrinfo ai[7];
        struct sockaddr_in sin[7];
    } *a = calloc(1, sizeof(*a));
    assert_non_null(a);
    int n = strncmp(node, "many", 4) == 0 ? 7 : 2;
    for (int i = 0; i < n; i++) { /* the first twice */
        a->sin[i].sin_family = AF_INET;
        a->sin[i].sin_addr.s_addr = htonl(0xc0000201 + (uint32_t)(i > 0 ? i - 1 : 0));
        a->ai[i].ai_family = AF_INET;
        a->ai[i].ai_addr = (struct sockaddr *)&a->sin[i];
        a->ai[i].ai_next = i + 1 < n ? &a->ai[i + 1] : NULL;
    }
    *res = a->ai;
    return 0;
}

void freeaddrinfo(struct addrinfo *res)
{
    free(res);
}

static void hang_again(void)
{
    released = false;
    most = 0;
}

static void release_all(void)
{
    pthread_mutex_lock(&lock);
    released = true;
    pthread_cond_broadcast(&moved);
    while (hanging > 0)
        pthread_cond_wait(&moved, &lock);
    pthread_mutex_unlock(&lock);
}

static void until_hanging(unsigned n)
{
    pthread_mutex_lock(&lock);
    while (hanging < n)
        pthread_cond_wait(&moved, &lock);
    pthread_mutex_unlock(&lock);
}

static void next(struct dt_names *n, struct dt_names_answer *a)
{
    while (!dt_names_next(n, a)) {
        struct pollfd p = {.fd = dt_names_fd(n), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 30000), 1);
    }
}

static void ask(struct dt_names *n, const char *name, bool again, uint64_t ticket)
{
    struct dt_err err = {0};
    if (dt_names_ask(n, name, again, ticket, &err) != 0)
        fail_msg("%s", err.text);
}

static void answers_and_failures(void **state)
{
    struct dt_names *n = dt_names_open(NULL);
    struct dt_names_answer a;
    assert_false(dt_names_next(n, &a));
    ask(n, "good.example", false, 7);
    next(n, &a);
    assert_int_equal(a.ticket, 7);
    assert_int_equal(a.naddr, 1);
    assert_int_equal(dt_addr4_host(&a.addr[0]), 0xc0000201);
    ask(n, "none.example", false, 8);
    next(n, &a);
    assert_int_equal(a.ticket, 8);
    assert_int_equal(a.naddr, 0);
    assert_true(a.why[0] != '\0');
    assert_false(dt_names_next(n, &a));
    dt_names_close(n);
}

static void what_there_is_no_room_for_is_counted(void **state)
{
    struct dt_names *n = dt_names_open(NULL);
    struct dt_names_answer a;
    ask(n, "many.example", false, 1);
    next(n, &a);
    assert_int_equal(a.naddr, DT_NAMES_ADDRS);
    assert_int_equal(a.more, 6 - DT_NAMES_ADDRS);
    for (uint32_t i = 0; i < DT_NAMES_ADDRS; i++)
        assert_int_equal(dt_addr4_host(&a.addr[i]), 0xc0000201 + i);
    dt_names_close(n);
}

static void names_that_hang_delay_nobody(void **state)
{
    struct dt_names *n = dt_names_open(NULL);
    struct dt_names_answer a;
    hang_again();
    for (uint64_t i = 0; i < 8; i++)
        ask(n, "hang.example", false, i);
    until_hanging(8);
    ask(n, "good.example", false, 100);
    next(n, &a);
    assert_int_equal(a.ticket, 100);
    release_all();
    for (int i = 0; i < 8; i++)
        next(n, &a);
    dt_names_close(n);
}

/* Those that hung last time fill half of the threads at most, however many they are. */
static void threads_are_bounded_and_shared(void **state)
{
    struct dt_names *n = dt_names_open(NULL);
    struct dt_names_answer a;
    hang_again();
    for (uint64_t i = 0; i < 500; i++)
        ask(n, "hang.example", true, i);
    until_hanging(DT_NAMES_THREADS / 2);
    ask(n, "good.example", false, 1000);
    next(n, &a);
    assert_int_equal(a.ticket, 1000);
    assert_int_equal(most, DT_NAMES_THREADS / 2);
    for (uint64_t i = 0; i < 500; i++)
        ask(n, "hang.example", false, 2000 + i);
    until_hanging(DT_NAMES_THREADS);
    release_all();
    for (int i = 0; i < 1000; i++)
        next(n, &a);
    assert_int_equal(most, DT_NAMES_THREADS);
    dt_names_close(n);
}

static void what_is_forgotten_is_not_answered(void **state)
{
    struct dt_names *n = dt_names_open(NULL);
    struct dt_names_answer a;
    hang_again();
    ask(n, "hang.example", false, 1);
    until_hanging(1);
    ask(n, "good.example", false, 2);
    next(n, &a);
    dt_names_forget(n, 1);
    dt_names_forget(n, 99);
    release_all();
    ask(n, "good.example", false, 3);
    next(n, &a);
    assert_int_equal(a.ticket, 3);
    assert_false(dt_names_next(n, &a));
    dt_names_close(n);
}

static void the_end_waits_for_nobody(void **state)
{
    struct dt_names *n = dt_names_open(NULL);
    hang_again();
    for (uint64_t i = 0; i < 100; i++)
        ask(n, "hang.example", false, i);
    until_hanging(DT_NAMES_THREADS);
    dt_names_close(n); /* returns, or this test does not end */
    release_all();
    usleep(200000); /* the threads let go of what they share: no leak */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_failures),
        cmocka_unit_test(what_there_is_no_room_for_is_counted),
        cmocka_unit_test(names_that_hang_delay_nobody),
        cmocka_unit_test(threads_are_bounded_and_shared),
        cmocka_unit_test(what_is_forgotten_is_not_answered),
        cmocka_unit_test(the_end_waits_for_nobody),
    };
    return TEST_RUN(tests);
}
