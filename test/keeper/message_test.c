/* What the keeper takes for a request: nothing that a daemon which keeps to keeper/message.h would not send. */
#include "support/test.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rand.h"
#include "keeper/message.h"

#define HEAD offsetof(struct keeper_request, u)

static struct keeper_request request(uint32_t what, uint32_t n)
{
    struct keeper_request r;
    memset(&r, 0, sizeof(r));
    r.what = what;
    r.n = n;
    return r;
}

static struct dt_host_fact route(void)
{
    struct dt_host_fact f = {.kind = DT_HOST_ROUTE};
    assert_int_equal(dt_prefix_parse(&f.prefix, "10.1.0.0/16", false), 0);
    return f;
}

static void what_is_sent_is_taken(void **state)
{
    static const uint32_t plain[] = {KEEPER_LOAD,           KEEPER_DEVICE, KEEPER_WANT,
                                     KEEPER_KEEP,           KEEPER_KEYLOG, KEEPER_DISCOVER_OPEN,
                                     KEEPER_DISCOVER_CLOSE, KEEPER_DISMISS};
    for (size_t i = 0; i < DT_ARRAY_LEN(plain); i++) {
        struct keeper_request r = request(plain[i], 0);
        assert_int_equal(keeper_request_len(&r), HEAD);
        assert_true(keeper_request_ok(&r, HEAD));
        assert_false(keeper_request_ok(&r, HEAD + 1));
        assert_false(keeper_request_ok(&r, HEAD - 1));
    }
}

/* Of rules for what came out of the device, the two of daemon/behind.c to the letter. */
static void rules_behind_everybody_elses(void **state)
{
    struct dt_host_fact own = {.kind = DT_HOST_STEER,
                               .rule = {.ver = 4,
                                        .priority = DT_HOST_PRIORITY_BEHIND,
                                        .table = DT_HOST_TABLE_MAIN,
                                        .not_default = true,
                                        .iif = "dovetail0"}},
                        barrier = {.kind = DT_HOST_STEER,
                                   .rule = {.ver = 6,
                                            .priority = DT_HOST_PRIORITY_BEHIND + 1,
                                            .table = DT_HOST_TABLE_BEHIND,
                                            .iif = "dovetail0"}},
                        bad;
    assert_true(dt_host_fact_ok(&own) && dt_host_fact_ok(&barrier));
    bad = own, bad.rule.not_default = false; /* would go before everybody's later rules */
    assert_false(dt_host_fact_ok(&bad));
    bad = own, bad.rule.iif[0] = 0;
    assert_false(dt_host_fact_ok(&bad));
    bad = own, memset(bad.rule.iif, 'x', sizeof(bad.rule.iif));
    assert_false(dt_host_fact_ok(&bad));
    bad = own, bad.rule.table = 100;
    assert_false(dt_host_fact_ok(&bad));
    bad = barrier, bad.rule.invert = true;
    assert_false(dt_host_fact_ok(&bad));
    bad = barrier, bad.rule.mark = 7;
    assert_false(dt_host_fact_ok(&bad));
    bad = own, bad.rule.priority = 100;
    assert_false(dt_host_fact_ok(&bad));
    bad = own, bad.rule.foreign = true; /* whose it is is not the daemon's to say */
    assert_false(dt_host_fact_ok(&bad));
    bad = own, memset(&bad.rule.invert, 0x55, 1);
    assert_false(dt_host_fact_ok(&bad));
    bad = barrier, memset(&bad.rule.not_default, 0x55, 1);
    assert_false(dt_host_fact_ok(&bad));
}

/* Nobody else's tables are written to, and no rule stands, goes or looks where it is not ours to. */
static void tables_and_priorities_are_ours(void **state)
{
    static const uint32_t table[] = {DT_HOST_TABLES_FROM, DT_HOST_TABLES_FROM + DT_HOST_TABLES - 1};
    struct dt_host_fact f = route(),
                        steer = {.kind = DT_HOST_STEER, .rule = {.ver = 4, .proto = 6, .table = table[0]}},
                        on = {.kind = DT_HOST_STEER,
                              .rule = {
                                  .ver = 4, .action = DT_NL_RULE_GOTO, .priority = DT_HOST_PRIORITY_FIRST}};
    for (int i = 0; i < 2; i++) {
        f.table = table[i];
        assert_true(dt_host_fact_ok(&f));
        f.table = i ? table[i] + 1 : table[i] - 1;
        assert_false(dt_host_fact_ok(&f));
    }
    f.table = DT_HOST_TABLE_MAIN;
    assert_false(dt_host_fact_ok(&f));
    for (uint32_t at = 0; at < 40000; at++) {
        bool ours = at >= DT_HOST_PRIORITY_FIRST && at <= DT_HOST_PRIORITY_LAST;
        steer.rule.priority = at;
        assert_int_equal(dt_host_fact_ok(&steer), ours);
    }
    steer.rule.priority = DT_HOST_PRIORITY_FIRST;
    for (int i = 0; i < 2; i++) {
        steer.rule.table = table[i];
        assert_true(dt_host_fact_ok(&steer));
        steer.rule.table = i ? table[i] + 1 : table[i] - 1;
        assert_false(dt_host_fact_ok(&steer));
    }
    steer.rule.table = DT_HOST_TABLE_MAIN;
    assert_false(dt_host_fact_ok(&steer));
    on.rule.table = DT_HOST_PRIORITY_LAST;
    assert_true(dt_host_fact_ok(&on));
    on.rule.table = DT_HOST_PRIORITY_LAST + 1; /* past what would stand between */
    assert_false(dt_host_fact_ok(&on));
    on.rule.table = on.rule.priority; /* back */
    assert_false(dt_host_fact_ok(&on));
    on.rule.action = DT_NL_RULE_NOTHING + 1;
    assert_false(dt_host_fact_ok(&on));
}

static void facts_are_looked_at(void **state)
{
    struct keeper_request r = request(KEEPER_FACTS, 2);
    r.u.fact[0] = r.u.fact[1] = route();
    size_t len = keeper_request_len(&r);
    assert_int_equal(len, HEAD + 2 * sizeof(r.u.fact[0]));
    assert_true(keeper_request_ok(&r, len));
    assert_false(keeper_request_ok(&r, len - 1));
    r.n = 3; /* more than came */
    assert_false(keeper_request_ok(&r, len));
    r.n = UINT32_MAX;
    assert_false(keeper_request_ok(&r, len));
    r.n = 2;
    r.u.fact[1].prefix.len = 33;
    assert_false(keeper_request_ok(&r, len));
    r.u.fact[1] = route();
    r.u.fact[1].kind = DT_HOST_FILTER; /* the keeper's own */
    assert_false(keeper_request_ok(&r, len));
    r.u.fact[1] = route();
    r.u.fact[1].kind = DT_HOST_PROBES + 1;
    assert_false(keeper_request_ok(&r, len));
    r.u.fact[1] = route();
    memset(&r.u.fact[1].foreign, 0x55, 1);
    assert_false(keeper_request_ok(&r, len));
    r.u.fact[1] = route();
    memset(&r.u.fact[1].open, 2, 1);
    assert_false(keeper_request_ok(&r, len));
    r.u.fact[1] = route();
    r.u.fact[1].src = (struct dt_addr){.ver = 6};
    assert_false(keeper_request_ok(&r, len));
    for (int i = 0; i < 6; i++) { /* what only a route of somebody else's has */
        struct dt_host_fact *f = &r.u.fact[1];
        *f = route();
        i == 0   ? (f->metric = 1)
        : i == 1 ? (f->tos = 1)
        : i == 2 ? (f->from.len = 8)
        : i == 3 ? (f->from.addr.ver = 6)
        : i == 4 ? (f->nexthop = 1)
                 : (f->by = 1);
        assert_false(keeper_request_ok(&r, len));
    }
    r.u.fact[1] = route();
    r.u.fact[1].kind = DT_HOST_PROBES;
    assert_true(keeper_request_ok(&r, len));
    r.u.fact[1].value = 7; /* the keeper's own word */
    assert_false(keeper_request_ok(&r, len));
    r.u.fact[1] = (struct dt_host_fact){.kind = DT_HOST_PROBES}; /* of no network */
    assert_false(keeper_request_ok(&r, len));
}

static void a_setup_names_what_can_be(void **state)
{
    struct keeper_request r = request(KEEPER_SETUP, 0);
    r.u.setup = (struct dt_keeper_setup){
        .device = "dovetail0", .socket = "/run/dovetail/sock", .mtu = 1400, .queues = 2, .ike_port = 500};
    const size_t len = keeper_request_len(&r);
    assert_true(keeper_request_ok(&r, len));
    struct keeper_request x = r;
    memset(x.u.setup.device, 'a', sizeof(x.u.setup.device)); /* no end */
    assert_false(keeper_request_ok(&x, len));
    x = r;
    snprintf(x.u.setup.device, sizeof(x.u.setup.device),
             "../../x"); /* it becomes part of a path below /proc/sys */
    assert_false(keeper_request_ok(&x, len));
    x = r;
    x.u.setup.queues = KEEPER_FDS_MAX + 1;
    assert_false(keeper_request_ok(&x, len));
    x = r;
    snprintf(x.u.setup.socket, sizeof(x.u.setup.socket), "run/sock"); /* below what? */
    assert_false(keeper_request_ok(&x, len));
    x = r;
    memset(x.u.setup.kept, '/', sizeof(x.u.setup.kept));
    assert_false(keeper_request_ok(&x, len));
}

static void names_are_names(void **state)
{
    struct keeper_request r = request(KEEPER_NAMES, 0), x;
    const size_t len = keeper_request_len(&r);
    r.u.names.n = 1;
    dt_addr_parse(&r.u.names.server[0], "10.1.0.53");
    snprintf(r.u.names.domains, sizeof(r.u.names.domains), "a.net b.net");
    assert_true(keeper_request_ok(&r, len));
    static const char *const bad[] = {"a.net --help", "a.net  b.net", "~.", "a\nb", "A.net"};
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++) {
        x = r;
        snprintf(x.u.names.domains, sizeof(x.u.names.domains), "%s", bad[i]);
        assert_false(keeper_request_ok(&x, len));
    }
    x = r;
    memset(x.u.names.domains, 'a', sizeof(x.u.names.domains)); /* no end */
    assert_false(keeper_request_ok(&x, len));
    x = r;
    x.u.names.n = 2; /* one that is no address */
    assert_false(keeper_request_ok(&x, len));
    x.u.names.n = DT_KEEPER_NAME_SERVERS + 1;
    assert_false(keeper_request_ok(&x, len));
    x = r;
    dt_addr_parse(&x.u.names.server[0], "127.0.0.1");
    assert_false(keeper_request_ok(&x, len));
    x = r;
    x.u.names.look = 2;
    assert_false(keeper_request_ok(&x, len));
    assert_false(keeper_request_ok(&r, len - 1));
}

/* Any octets, with a head that is plausible more often than not: what is taken is whole. */
static void random_octets_are_no_request(void **state)
{
    static struct keeper_request r;
    uint64_t seed = test_seed(__func__);
    struct dt_prng p;
    unsigned taken = 0;
    dt_prng_seed(&p, seed);
    struct dt_rand rand = dt_prng_rand(&p);
    for (int i = 0; i < 200000; i++) {
        uint16_t len;
        uint8_t few[2];
        dt_rand_fill(&rand, &len, sizeof(len));
        dt_rand_fill(&rand, few, sizeof(few));
        size_t n = len % (sizeof(r) + 1);
        dt_rand_fill(&rand, &r, n < 256 ? n : 256);
        if (few[0] & 1)
            r.what = few[0] % 16;
        if (few[0] & 2)
            r.n = few[1] % 4;
        if (few[0] & 4)
            n = keeper_request_len(&r);
        if (n > sizeof(r) || !keeper_request_ok(&r, n))
            continue;
        taken++;
        assert_true(n >= HEAD && n <= sizeof(r) && n == keeper_request_len(&r));
        assert_true(r.what >= KEEPER_LOAD && r.what <= KEEPER_DISMISS);
        if (r.what == KEEPER_FACTS)
            for (uint32_t k = 0; k < r.n; k++)
                assert_true(dt_host_fact_ok(&r.u.fact[k]));
    }
    printf("# %u were taken\n", taken);
    assert_true(taken > 0); /* those without operands at least */
}

static void a_path_ends(void **state)
{
    struct keeper_file_request r = {.what = KEEPER_FILE_TEXT, .path = "/etc/x"};
    const size_t head = offsetof(struct keeper_file_request, path);
    assert_true(keeper_file_request_ok(&r, head + 7));
    assert_false(keeper_file_request_ok(&r, head + 6)); /* its end is missing */
    assert_false(keeper_file_request_ok(&r, head + 8)); /* something behind its end */
    assert_false(keeper_file_request_ok(&r, head));
    assert_false(keeper_file_request_ok(&r, 2));
    r.what = KEEPER_FILE_MATCH + 1;
    assert_false(keeper_file_request_ok(&r, head + 7));
    memset(r.path, 'a', sizeof(r.path));
    r.what = KEEPER_FILE_TEXT;
    assert_false(keeper_file_request_ok(&r, sizeof(r)));
}

static void descriptors_go_beside_messages(void **state)
{
    int pair[2], fds[2] = {-1, -1}, one;
    size_t n = 2;
    char c = 'x';
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), both[2] = {null, null};
    assert_int_equal(keeper_send(pair[0], &c, 1, both, 2), 0);
    assert_int_equal(keeper_recv(pair[1], &c, 1, fds, &n), 1);
    assert_int_equal(n, 2);
    assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fds[0]);
    close(fds[1]);
    /* What nobody waits for is closed: the next descriptor is the one that was free before. */
    int before = dup(null);
    close(before);
    n = 0;
    assert_int_equal(keeper_send(pair[0], &c, 1, both, 2), 0);
    assert_int_equal(keeper_recv(pair[1], &c, 1, NULL, &n), 1);
    assert_int_equal(n, 0);
    one = dup(null);
    assert_int_equal(one, before);
    close(one);
    /* A message that is too long is none. */
    char two[2] = "ab";
    n = 1;
    assert_int_equal(keeper_send(pair[0], two, 2, both, 1), 0);
    assert_int_equal(keeper_recv(pair[1], &c, 1, fds, &n), -1);
    assert_int_equal(n, 0);
    close(null);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_is_taken),
        cmocka_unit_test(facts_are_looked_at),
        cmocka_unit_test(tables_and_priorities_are_ours),
        cmocka_unit_test(rules_behind_everybody_elses),
        cmocka_unit_test(a_setup_names_what_can_be),
        cmocka_unit_test(names_are_names),
        cmocka_unit_test(random_octets_are_no_request),
        cmocka_unit_test(a_path_ends),
        cmocka_unit_test(descriptors_go_beside_messages),
    };
    return TEST_RUN(tests);
}
