#include "support/test.h"

#include "epoch/epoch.h"

static unsigned bad_of(const struct dt_epoch_params *p, const struct dt_epoch_nat *nat, const char *word)
{
    struct dt_epoch_check v[DT_EPOCH_CHECKS];
    unsigned bad;
    size_t n = dt_epoch_check(v, p, nat, &bad);
    bool found = false;
    assert_true(n <= DT_EPOCH_CHECKS);
    for (size_t i = 0; i < n; i++)
        found |= !v[i].ok && strstr(v[i].text, word);
    if (word[0])
        assert_true(found);
    return bad;
}

static void the_defaults_hold(void **state)
{
    struct dt_epoch_params p = dt_epoch_params_default();
    struct dt_epoch_nat nat = dt_epoch_nat_default();
    assert_int_equal(bad_of(&p, &nat, ""), 0);
}

static void each_inequality_is_seen(void **state)
{
    struct dt_epoch_params p = dt_epoch_params_default();
    struct dt_epoch_nat nat = dt_epoch_nat_default();
    p.maxidle = nat.t_ei; /* must be less, not equal */
    assert_int_equal(bad_of(&p, &nat, "t_ei"), 1);
    p = dt_epoch_params_default();
    p.pingtime = nat.t_out / nat.n_out; /* equal is enough */
    p.pingtries = 100;
    assert_int_equal(bad_of(&p, &nat, ""), 0);
    p.pingtime -= DT_MSEC;
    assert_int_equal(bad_of(&p, &nat, "n_out"), 1);
    p = dt_epoch_params_default();
    p.pingtries = (uint32_t)(nat.n * nat.t_out / p.pingtime); /* more than N, not N */
    assert_int_equal(bad_of(&p, &nat, "N = 4"), 1);
    p = dt_epoch_params_default();
    p.keylife = 2 * p.rekeymargin;
    assert_int_equal(bad_of(&p, &nat, "keylife"), 1);
    p = dt_epoch_params_default();
    p.rekeymargin = p.timeout;
    assert_int_equal(bad_of(&p, &nat, "should fit"), 1);
}

static void the_bound_adds_up(void **state)
{
    struct dt_epoch_params p = dt_epoch_params_default();
    struct dt_epoch_bound b = dt_epoch_bound(&p, 1, 100 * DT_MSEC);
    assert_int_equal(b.detect, p.maxidle + p.pingtries2 * p.pingtime2);
    assert_int_equal(b.renegotiate, 30 * DT_SEC);
    assert_true(b.total == b.detect + b.renegotiate + b.reopen + b.verify);
    assert_true(b.epoch_only < b.total);
    struct dt_epoch_bound two = dt_epoch_bound(&p, 2, 100 * DT_MSEC);
    assert_int_equal(two.total - b.total, p.timeout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_hold),
        cmocka_unit_test(each_inequality_is_seen),
        cmocka_unit_test(the_bound_adds_up),
    };
    return TEST_RUN(tests);
}
