#include "epoch/rig.h"

static struct rig *heard(struct dt_epoch_params p)
{
    struct rig *r = rig_new(&p);
    dt_epoch_server_negotiated(&r->s, r->now, 1, DT_EPOCH_BY_PEER);
    rig_expect(r, "");
    dt_epoch_server_heard(&r->s, r->now, 1);
    rig_expect(r, "use 1");
    return r;
}

static void speaks_only_when_spoken_to(void **state) /* 705 to 707, claim 12 */
{
    struct rig *r = heard(rig_params());
    rig_pass(r, 10);
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    rig_pass(r, 20);
    assert_int_equal(r->s.out, 1);
    dt_epoch_server_heard(&r->s, r->now, 2);
    rig_expect(r, "use 2");
    dt_epoch_server_peer_deleted(&r->s, r->now, 1);
    rig_expect(r, "gone 1");
    assert_int_equal(r->s.stats.forced_uses, 0);
    free(r);
}

static void first_epoch_waits(void **state)
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = rig_new(&p);
    dt_epoch_server_negotiated(&r->s, r->now, 1, DT_EPOCH_BY_PEER);
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    dt_epoch_server_peer_deleted(&r->s, r->now, 1);
    rig_expect(r, "gone 1"); /* never heard, so its DELETE forces nothing */
    free(r);
}

static void falls_back_on_delete_and_on_the_end(void **state)
{
    struct rig *r = heard(rig_params());
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    dt_epoch_server_peer_deleted(&r->s, r->now, 1);
    rig_expect(r, "gone 1, use 2!");
    dt_epoch_server_heard(&r->s, r->now, 2);
    assert_false(r->s.out_forced);
    free(r);

    r = heard(rig_params());
    rig_pass(r, 900);
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    r->log[0] = 0;
    rig_pass(r, 99);
    assert_int_equal(r->s.out, 1);
    rig_pass(r, 1);
    assert_int_equal(r->s.out, 2);
    assert_int_equal(r->s.stats.forced_uses, 1);
    free(r);
}

/* A client that probes deletes a new epoch whose probes went astray: what comes after it is not used unheard. */
static void client_that_probes_forces_nothing(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.server_rekey = true;
    p.maxidle = 5000 * DT_SEC;
    struct rig *r = heard(p);
    r->s.peer_probes = true;
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    dt_epoch_server_peer_deleted(&r->s, r->now, 1);
    rig_expect(r, "gone 1, use 0");
    dt_epoch_server_heard(&r->s, r->now, 2);
    rig_expect(r, "use 2");
    dt_epoch_server_rekey(&r->s, r->now);
    dt_epoch_server_negotiated(&r->s, r->now, 3, DT_EPOCH_ASKED);
    rig_pass(r, 100);
    rig_expect(r, "negotiate 2"); /* no DELETE of the old one before the new one is heard */
    free(r);
}

static void client_that_begins_anew_is_waited_for(void **state)
{
    struct rig *r = heard(rig_params());
    dt_epoch_server_peer_deleted(&r->s, r->now,
                                 1); /* INITIAL_CONTACT: the old session and its epochs are over */
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    rig_expect(r, "gone 1, use 0"); /* not a word before the client's: race 1 */
    dt_epoch_server_heard(&r->s, r->now, 2);
    rig_expect(r, "use 2");
    free(r);
}

static void client_gives_a_new_epoch_up(void **state)
{
    struct rig *r = heard(rig_params());
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    dt_epoch_server_heard(&r->s, r->now, 2); /* the probe came, its answer went astray */
    rig_expect(r, "use 2");
    dt_epoch_server_peer_deleted(&r->s, r->now, 2);
    rig_expect(r, "gone 2, use 1"); /* back to the one that worked */
    free(r);
}

static void dead_clients_are_asked_after(void **state)
{
    struct rig *r = heard(rig_params());
    rig_pass(r, 47);
    rig_expect(r, "");
    r->last_heard[1] = r->now;
    rig_pass(r, 47);
    rig_expect(r, "");
    rig_pass(r, 2);
    rig_expect(r, "liveness"); /* 2 * (maxidle + pingtries2 * pingtime2) after the last packet */
    free(r);
}

static void plain_switches_at_once(void **state) /* FIG. 8 */
{
    struct dt_epoch_params p = rig_params();
    p.probe = false;
    struct rig *r = rig_new(&p);
    dt_epoch_server_negotiated(&r->s, r->now, 1, DT_EPOCH_BY_PEER);
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    rig_expect(r, "use 1, use 2");
    free(r);
}

static void rekeys_late_when_the_client_does_not(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.server_rekey = true;
    p.maxidle = 5000 * DT_SEC;
    struct rig *r = heard(p);
    rig_pass(r, 949);
    rig_expect(r, "");
    rig_pass(r, 1);
    rig_expect(r, "negotiate 1");
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_ASKED);
    rig_pass(r, 3);
    rig_expect(r, "");
    rig_pass(r, 1); /* a client that waits for the DELETE gets it */
    rig_expect(r, "use 2!, del 1");
    dt_epoch_server_deleted(&r->s, r->now, 1);
    dt_epoch_server_heard(&r->s, r->now, 2);
    rig_expect(r, "gone 1");
    free(r);
}

static void refused_rekey_is_tried_again_before_the_end(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.server_rekey = true;
    p.maxidle = 5000 * DT_SEC;
    struct rig *r = heard(p);
    rig_pass(r, 950);
    rig_expect(r, "negotiate 1");
    dt_epoch_server_failed(&r->s, r->now);
    rig_pass(r, 24);
    rig_expect(r, "");
    rig_pass(r, 1); /* half of the 50 s that were left */
    rig_expect(r, "negotiate 1");
    unsigned tries = 0;
    while (r->s.negotiating) { /* a client that always declines */
        dt_epoch_server_failed(&r->s, r->now);
        rig_pass(r, 13);
        tries++;
    }
    assert_in_range(tries, 1, 5);
    free(r);
}

static void nothing_is_left_after_stop(void **state)
{
    struct rig *r = heard(rig_params());
    dt_epoch_server_negotiated(&r->s, r->now, 2, DT_EPOCH_BY_PEER);
    assert_int_equal(dt_epoch_server_count(&r->s), 2);
    dt_epoch_server_stop(&r->s, r->now);
    rig_expect(r, "gone 1, gone 2");
    assert_int_equal(dt_epoch_server_deadline(&r->s), DT_NEVER);
    free(r);
}

static void more_epochs_than_slots(void **state)
{
    struct rig *r = heard(rig_params());
    for (uint32_t no = 2; no < 50; no++)
        dt_epoch_server_negotiated(&r->s, r->now, no, DT_EPOCH_BY_PEER);
    assert_int_equal(dt_epoch_server_count(&r->s), DT_EPOCH_MAX);
    assert_int_equal(r->s.out, 1); /* what carries data is never pushed out */
    assert_int_equal(r->s.stats.full, 49 - DT_EPOCH_MAX);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speaks_only_when_spoken_to),
        cmocka_unit_test(first_epoch_waits),
        cmocka_unit_test(falls_back_on_delete_and_on_the_end),
        cmocka_unit_test(client_that_begins_anew_is_waited_for),
        cmocka_unit_test(client_that_probes_forces_nothing),
        cmocka_unit_test(client_gives_a_new_epoch_up),
        cmocka_unit_test(dead_clients_are_asked_after),
        cmocka_unit_test(plain_switches_at_once),
        cmocka_unit_test(rekeys_late_when_the_client_does_not),
        cmocka_unit_test(refused_rekey_is_tried_again_before_the_end),
        cmocka_unit_test(nothing_is_left_after_stop),
        cmocka_unit_test(more_epochs_than_slots),
    };
    return TEST_RUN(tests);
}
