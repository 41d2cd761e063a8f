/* Whose ports a later fragment has. */
#include "support/test.h"

#include "net/dp.h"

#define SOME (UINT64_C(1) << 40)

static struct dt_dp dp;
static struct dp_worker *w;

static int open_worker(void **state)
{
    w = calloc(1, sizeof *w);
    w->dp = &dp;
    w->now = 1000 * DT_SEC;
    return w ? 0 : -1;
}

static int close_worker(void **state)
{
    free(w);
    return 0;
}

static struct dt_ip part(uint32_t id, bool first)
{
    return (struct dt_ip){.ver = 4,
                          .proto = 17,
                          .fragment = true,
                          .first_fragment = first,
                          .fragment_id = id,
                          .src = dt_addr4(0x0a000001),
                          .dst = dt_addr4(0x0a010001)};
}

static void first_on(uint64_t sa, uint32_t id, uint16_t dport)
{
    struct dt_ip ip = part(id, true);
    struct dt_tunnel_ports p = {.sport = 1, .dport = dport, .known = dport != 0};
    assert_true(dp_fragment_ports(w, sa, &ip, &p));
    assert_false(p.later);
}

/* The port that a later fragment gets; 0: none. */
static uint16_t later_on(uint64_t sa, uint32_t id)
{
    struct dt_ip ip = part(id, false);
    struct dt_tunnel_ports p = {.known = false};
    bool known = dp_fragment_ports(w, sa, &ip, &p);
    assert_true(p.later && p.known == known);
    return p.dport;
}

static void a_later_fragment_has_the_firsts_ports(void **state)
{
    assert_int_equal(later_on(0, 7), 0); /* before the first */
    first_on(0, 7, 4411);
    assert_int_equal(later_on(0, 7), 4411);
    assert_int_equal(later_on(0, 7), 4411);
    assert_int_equal(later_on(0, 8), 0);    /* another packet */
    assert_int_equal(later_on(SOME, 7), 0); /* another way in */
    struct dt_ip other = part(7, false);
    struct dt_tunnel_ports p = {.known = false};
    other.proto = 6;
    assert_false(dp_fragment_ports(w, 0, &other, &p));
    other = part(7, false);
    other.src = dt_addr4(0x0a000002);
    assert_false(dp_fragment_ports(w, 0, &other, &p));
}

/* The number comes again with other ports, or with none: what follows belongs to the new one. */
static void a_number_comes_again(void **state)
{
    first_on(SOME, 9, 4411);
    first_on(SOME, 9, 5001);
    assert_int_equal(later_on(SOME, 9), 5001);
    first_on(SOME, 9, 0);
    assert_int_equal(later_on(SOME, 9), 0);
}

static void none_is_kept_for_long(void **state)
{
    first_on(0, 11, 4411);
    w->now += DP_FRAGMENT_LIFE - 1;
    assert_int_equal(later_on(0, 11), 4411);
    w->now += 1;
    assert_int_equal(later_on(0, 11), 0);
}

/* More than there is room for: the newest are known, and nobody gets another's ports. */
static void more_than_there_is_room_for(void **state)
{
    unsigned known = 0;
    for (uint32_t id = 0; id < 10000; id++) {
        w->now++;
        first_on(SOME + 1, id, (uint16_t)(id + 1));
        assert_int_equal(later_on(SOME + 1, id), (uint16_t)(id + 1));
    }
    for (uint32_t id = 0; id < 10000; id++) {
        uint16_t port = later_on(SOME + 1, id);
        assert_true(port == 0 || port == (uint16_t)(id + 1));
        known += port != 0;
    }
    assert_in_range(known, 1, DP_FRAGMENT_SETS * DP_FRAGMENT_WAYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_later_fragment_has_the_firsts_ports, open_worker, close_worker),
        cmocka_unit_test_setup_teardown(a_number_comes_again, open_worker, close_worker),
        cmocka_unit_test_setup_teardown(none_is_kept_for_long, open_worker, close_worker),
        cmocka_unit_test_setup_teardown(more_than_there_is_room_for, open_worker, close_worker),
    };
    return TEST_RUN(tests);
}
