/* Look-ups of names, with name servers of our own on loopback: some never answer. */
#include "support/test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/names.h"

#define SERVERS 3 /* 127.0.0.11, .12, .13; of one port */

static char dir[] = "/tmp/names-test.XXXXXX", conf[64], resolved[64];
static int server[SERVERS];
static uint16_t port;
static unsigned asked[SERVERS], hanging[SERVERS]; /* questions for IPv4 that came; of these, for "hang..." */
static bool deaf[SERVERS];                        /* answers nothing */

static void write_servers(const char *path, const char *const *names, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "nameserver %s\n", names[i]);
    assert_int_equal(fclose(f), 0);
}

static void use_server(const char *name)
{
    write_servers(conf, &name, 1);
}

static int open_server(unsigned i)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f00000b + i)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    port = ntohs(sa.sin_port);
    return fd;
}

static size_t put_record(uint8_t *at, uint16_t type, const uint8_t *addr, size_t len)
{
    const uint8_t head[12] = {0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60, 0, (uint8_t)len};
    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), addr, len);
    return sizeof(head) + len;
}

/* "hang..." is not answered, "none..." does not exist, "many..." has 12 addresses, the first two of them the same; everything
 * else has 127.0.0.100 + the server's number, and 192.0.2.1 in front of it when it begins with "far". */
static size_t answer(unsigned i, uint8_t *m, size_t n)
{
    char first[16] = "";
    size_t end = 12;
    while (end < n && m[end] != 0)
        end += m[end] + 1u;
    assert_true(end + 5 <= n);
    n = end + 5; /* a newer c-ares has an OPT record behind the question: this server is from before that */
    m[11] = 0;
    uint16_t type = m[n - 3];
    asked[i] += type == 1;
    memcpy(first, m + 13, m[12] < 15 ? m[12] : 15);
    if (strncmp(first, "hang", 4) == 0)
        hanging[i] += type == 1;
    if (deaf[i] || strncmp(first, "hang", 4) == 0)
        return 0;
    m[2] = 0x81;
    m[3] = 0x80;
    if (strncmp(first, "none", 4) == 0) {
        m[3] = 0x83;
        return n;
    }
    if (type != 1)
        return n; /* no such record */
    const uint8_t near[4] = {127, 0, 0, (uint8_t)(100 + i)}, far[4] = {192, 0, 2, 1};
    if (strncmp(first, "far", 3) == 0 && ++m[7])
        n += put_record(m + n, 1, far, 4);
    for (uint8_t k = 0; strncmp(first, "many", 4) == 0 && k < 11; k++, m[7]++)
        n += put_record(m + n, 1, (const uint8_t[]){127, 0, 1, k ? k : 1}, 4);
    m[7]++;
    return n + put_record(m + n, 1, near, 4);
}

static void serve(unsigned i)
{
    uint8_t m[1024];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;
    while ((n = recvfrom(server[i], m, 512, 0, (struct sockaddr *)&from, &len)) > 17) {
        size_t out = answer(i, m, (size_t)n);
        if (out > 0)
            sendto(server[i], m, out, 0, (struct sockaddr *)&from, len);
    }
}

/* Waits for news of either side; false: none in that time. */
static bool wait_a_while(struct dt_names *n, int ms)
{
    struct pollfd p[1 + SERVERS] = {{.fd = dt_names_fd(n), .events = POLLIN}};
    for (unsigned i = 0; i < SERVERS; i++)
        p[1 + i] = (struct pollfd){.fd = server[i], .events = POLLIN};
    if (poll(p, DT_ARRAY_LEN(p), ms) <= 0)
        return false;
    for (unsigned i = 0; i < SERVERS; i++)
        serve(i);
    return true;
}

static void next(struct dt_names *n, struct dt_names_answer *a)
{
    while (!dt_names_next(n, a))
        assert_true(wait_a_while(n, 60000));
}

/* Until nothing happens any more; no answer comes. */
static void settle(struct dt_names *n)
{
    struct dt_names_answer a;
    do
        assert_false(dt_names_next(n, &a));
    while (wait_a_while(n, 100));
}

static void ask(struct dt_names *n, const char *name, bool again, uint64_t ticket)
{
    struct dt_err err = {0};
    if (dt_names_ask(n, name, again, ticket, &err) != 0)
        fail_msg("%s", err.text);
}

static struct dt_names *open_names(void)
{
    const struct dt_names_cfg cfg = {.resolv_conf = conf, .resolved_conf = resolved, .port = port};
    struct dt_names *n = dt_names_open(&cfg, NULL);
    assert_non_null(n);
    use_server("127.0.0.11");
    memset(asked, 0, sizeof(asked));
    memset(hanging, 0, sizeof(hanging));
    memset(deaf, 0, sizeof(deaf));
    return n;
}

static void answers_and_failures(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    assert_false(dt_names_next(n, &a));
    ask(n, "good.example", false, 7);
    next(n, &a);
    assert_int_equal(a.ticket, 7);
    assert_int_equal(a.naddr, 1);
    assert_int_equal(dt_addr4_host(&a.addr[0]), 0x7f000064);
    ask(n, "none.example", false, 8);
    next(n, &a);
    assert_int_equal(a.ticket, 8);
    assert_int_equal(a.naddr, 0);
    assert_true(a.why[0] != '\0');
    assert_false(dt_names_next(n, &a));
    dt_names_close(n);
}

/* Two questions at once, the second while the first is under way, and a name of the hosts file. */
static void each_answer_has_its_ticket(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    bool seen[4] = {false};
    ask(n, "good.example", false, 1);
    ask(n, "localhost", false, 2);
    ask(n, "none.example", false, 3);
    for (int i = 0; i < 3; i++) {
        next(n, &a);
        assert_in_range(a.ticket, 1, 3);
        assert_false(seen[a.ticket]);
        seen[a.ticket] = true;
        assert_int_equal(a.naddr > 0, a.ticket != 3);
    }
    assert_int_equal(asked[0], 2); /* nobody asked a server about localhost */
    dt_names_close(n);
}

static void addresses_are_bounded_and_those_without_a_route_last(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    ask(n, "many.example", false, 1);
    next(n, &a);
    assert_int_equal(a.naddr, DT_NAMES_ADDRS);
    assert_int_equal(a.more, 11 - DT_NAMES_ADDRS);
    for (uint32_t i = 0; i < DT_NAMES_ADDRS; i++)
        assert_int_equal(dt_addr4_host(&a.addr[i]), 0x7f000101 + i);
    ask(n, "far.example", false, 2);
    next(n, &a);
    assert_int_equal(a.naddr, 2);
    /* Where the host has a default route both are led to, and the order is the server's. */
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in far = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0xc0000201)};
    bool led = connect(fd, (struct sockaddr *)&far, sizeof(far)) == 0;
    close(fd);
    assert_int_equal(dt_addr4_host(&a.addr[led ? 0 : 1]), 0xc0000201);
    dt_names_close(n);
}

static void names_that_hang_delay_nobody(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    for (uint64_t i = 0; i < 8; i++)
        ask(n, "hang.example", false, i);
    ask(n, "good.example", false, 100);
    next(n, &a);
    assert_int_equal(a.ticket, 100);
    dt_names_close(n);
}

/* Those that failed last time fill half of the places at most, however many they are. */
static void places_are_bounded_and_shared(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    for (uint64_t i = 0; i < 500; i++)
        ask(n, "hang.example", true, i);
    settle(n);
    assert_int_equal(hanging[0], DT_NAMES_AT_ONCE / 2);
    ask(n, "good.example", false, 1000);
    next(n, &a);
    assert_int_equal(a.ticket, 1000);
    for (uint64_t i = 0; i < 500; i++)
        ask(n, "hang.example", false, 2000 + i);
    settle(n);
    assert_in_range(hanging[0], DT_NAMES_AT_ONCE,
                    DT_NAMES_AT_ONCE + DT_NAMES_AT_ONCE / 2); /* and repetitions */
    dt_names_close(n);
}

static void what_is_forgotten_is_not_answered(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    deaf[0] = true;
    ask(n, "one.example", false, 1);
    settle(n);
    assert_int_equal(asked[0], 1);
    dt_names_forget(n, 1);
    dt_names_forget(n, 99);
    deaf[0] = false;
    ask(n, "two.example", false, 2);
    next(n, &a);
    assert_int_equal(a.ticket, 2);
    do /* the first is asked again after its time, and answered */
        assert_false(dt_names_next(n, &a));
    while (asked[0] < 3 && wait_a_while(n, 60000));
    settle(n);
    dt_names_close(n);
}

static void a_server_that_does_not_answer_gives_way_to_the_next(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    write_servers(conf, (const char *const[]){"127.0.0.12", "127.0.0.13"}, 2);
    deaf[1] = true;
    ask(n, "good.example", false, 1);
    next(n, &a);
    assert_int_equal(dt_addr4_host(&a.addr[0]), 0x7f000066);
    assert_int_equal(asked[1], 1);
    dt_names_close(n);
}

/* What was asked of the server of an old network is asked of the new one's. */
static void another_resolv_conf_is_noticed(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    deaf[0] = true;
    ask(n, "one.example", false, 1);
    settle(n);
    assert_int_equal(asked[0], 1);
    use_server("127.0.0.12");
    next(n, &a);
    assert_int_equal(a.ticket, 1);
    assert_int_equal(dt_addr4_host(&a.addr[0]), 0x7f000065);
    use_server("127.0.0.13");
    ask(n, "two.example", false, 2);
    next(n, &a);
    assert_int_equal(dt_addr4_host(&a.addr[0]), 0x7f000066);
    assert_int_equal(asked[2], 1);
    dt_names_close(n);
}

static void behind_the_stub_its_own_servers_are_asked(void **state)
{
    struct dt_names *n = open_names();
    struct dt_names_answer a;
    use_server("127.0.0.53");
    write_servers(resolved, (const char *const[]){"127.0.0.13"}, 1);
    ask(n, "good.example", false, 1);
    next(n, &a);
    assert_int_equal(dt_addr4_host(&a.addr[0]), 0x7f000066);
    unlink(resolved); /* noticed, and there is nobody else to ask than the stub, who is not there */
    ask(n, "good.example", false, 2);
    next(n, &a);
    assert_int_equal(a.naddr, 0);
    assert_int_equal(asked[2], 1);
    dt_names_close(n);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void the_end_waits_for_nobody(void **state)
{
    unsigned before = open_descriptors();
    struct dt_names *n = open_names();
    for (uint64_t i = 0; i < 100; i++)
        ask(n, "hang.example", false, i);
    settle(n);
    dt_names_close(n); /* returns at once: nobody serves meanwhile */
    assert_int_equal(open_descriptors(), before);
}

static int set_up(void **state)
{
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(conf, sizeof(conf), "%s/resolv.conf", dir);
    snprintf(resolved, sizeof(resolved), "%s/resolved.conf", dir);
    for (unsigned i = 0; i < SERVERS; i++)
        server[i] = open_server(i);
    return 0;
}

static int tear_down(void **state)
{
    unlink(conf);
    unlink(resolved);
    for (unsigned i = 0; i < SERVERS; i++)
        close(server[i]);
    return rmdir(dir);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_failures),
        cmocka_unit_test(each_answer_has_its_ticket),
        cmocka_unit_test(addresses_are_bounded_and_those_without_a_route_last),
        cmocka_unit_test(names_that_hang_delay_nobody),
        cmocka_unit_test(places_are_bounded_and_shared),
        cmocka_unit_test(what_is_forgotten_is_not_answered),
        cmocka_unit_test(a_server_that_does_not_answer_gives_way_to_the_next),
        cmocka_unit_test(another_resolv_conf_is_noticed),
        cmocka_unit_test(behind_the_stub_its_own_servers_are_asked),
        cmocka_unit_test(the_end_waits_for_nobody),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, set_up, tear_down);
}
