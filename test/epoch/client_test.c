#include "epoch/rig.h"

/* A client whose first epoch is verified at once. */
static struct rig *verified(struct dt_epoch_params p)
{
    struct rig *r = rig_new(&p);
    dt_epoch_client_start(&r->c, r->now);
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 1, DT_EPOCH_ASKED);
    dt_epoch_client_probe_reply(&r->c, r->now, 1, 1, 1);
    rig_expect(r, "open 1, probe 1, use 1");
    return r;
}

static void first_epoch_is_probed_before_data(void **state) /* claim 1 */
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = rig_new(&p);
    dt_epoch_client_start(&r->c, r->now);
    rig_expect(r, "open 1");
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 1, DT_EPOCH_ASKED);
    rig_expect(r, "probe 1"); /* and no "use": data is held */
    rig_pass(r, 5);
    rig_expect(r, "probe 1, probe 1"); /* every pingtime */
    assert_int_equal(r->c.out, 0);
    dt_epoch_client_probe_reply(&r->c, r->now, 1, 1, 2);
    rig_expect(r, "use 1");
    assert_true(dt_epoch_client_verified(&r->c));
    free(r);
}

static void silence_after_pingtries_means_a_new_epoch(void **state) /* 610, 611, 605 */
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = rig_new(&p);
    dt_epoch_client_start(&r->c, r->now);
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 1, DT_EPOCH_ASKED);
    rig_pass(r, 6);
    rig_expect(r, "open 1, probe 1, probe 1, probe 1, negotiate 0, del 1");
    dt_epoch_client_deleted(&r->c, r->now, 1);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_expect(r, "gone 1, probe 2");
    dt_epoch_client_heard(&r->c, r->now, 2);
    rig_expect(r, "use 2");
    free(r);
}

static void epochs_nobody_answers_end_the_session(void **state)
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = rig_new(&p);
    r->refuse_del = true;
    dt_epoch_client_start(&r->c, r->now);
    dt_epoch_client_session_up(&r->c, r->now);
    for (uint32_t no = 1; no <= 3; no++) {
        dt_epoch_client_negotiated(&r->c, r->now, no, DT_EPOCH_ASKED);
        r->log[0] = 0;
        rig_pass(r, 6);
    }
    rig_expect(r, "probe 3, probe 3, drop politely, open 2, del 3, gone 3");
    free(r);
}

static void rekey_keeps_data_on_the_old_epoch(void **state) /* 605 to 609 */
{
    struct rig *r = verified(rig_params());
    for (int i = 0; i < 99; i++) { /* in use: heard all the time */
        rig_pass(r, 9);
        r->last_heard[1] = r->now;
    }
    rig_expect(r, "");
    rig_pass(r, 9); /* t0 + 900 */
    rig_expect(r, "negotiate 1");
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_expect(r, "use 2!, probe 2"); /* without fuzz the window's end is the limit: the allowed exception */
    free(r);

    struct dt_epoch_params p = rig_params();
    r = verified(p);
    dt_epoch_client_rekey(&r->c, r->now);
    rig_pass(r, 1);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_pass(r, 3);
    rig_expect(r, "negotiate 1, probe 2, probe 2");
    assert_int_equal(r->c.out, 1);
    dt_epoch_client_probe_reply(&r->c, r->now, 2, 2, 2);
    rig_expect(r, "use 2");
    rig_pass(r, 1.5); /* the old one still receives before it is deleted */
    rig_expect(r, "del 1");
    dt_epoch_client_deleted(&r->c, r->now, 1);
    rig_expect(r, "gone 1");
    assert_int_equal(r->c.stats.forced_uses, 0);
    free(r);
}

static void unverified_use_only_past_the_limit(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.rekeyfuzz = 100;
    p.pingtries = 1000;
    p.maxidle = 2000 * DT_SEC;
    struct rig *r = verified(p);
    dt_time t0 = r->now;
    while (!r->c.negotiating)
        rig_pass(r, 0.5);
    rig_expect(r, "negotiate 1");
    assert_in_range(r->now - t0, 800 * DT_SEC, 890 * DT_SEC + DT_SEC);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_pass(r, dt_time_seconds(t0 + 899 * DT_SEC - r->now));
    assert_int_equal(r->c.out, 1);
    assert_int_equal(r->c.stats.forced_uses, 0);
    rig_pass(r, 2);
    assert_int_equal(r->c.out, 2);
    assert_int_equal(r->c.stats.forced_uses, 1);
    rig_pass(r, 100); /* and the old one is gone at its end */
    assert_non_null(strstr(r->log, "gone 1"));
    free(r);
}

static void rekey_time_is_spread_over_the_window(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.rekeyfuzz = 100;
    dt_time least = DT_NEVER, most = 0;
    for (unsigned i = 0; i < 500; i++) {
        struct rig *r = rig_new(&p);
        dt_prng_seed(&r->prng, i);
        dt_epoch_client_start(&r->c, r->now);
        dt_epoch_client_negotiated(&r->c, r->now, 1, DT_EPOCH_ASKED);
        dt_time after = r->c.e[0].rekey_at - r->now;
        least = dt_time_min(least, after);
        most = after > most ? after : most;
        free(r);
    }
    assert_in_range(least, 800 * DT_SEC, 805 * DT_SEC);
    assert_in_range(most, 885 * DT_SEC, 890 * DT_SEC); /* `timeout` before data may go out unverified */
}

static void slow_negotiation_is_abandoned_elimit_times(void **state) /* 612 to 614, claims 15 and 16 */
{
    struct dt_epoch_params p = rig_params();
    p.maxidle = 500 * DT_SEC;
    struct rig *r = verified(p);
    dt_epoch_client_rekey(&r->c, r->now);
    rig_pass(r, 10);
    rig_expect(r, "negotiate 1, abandon, negotiate 1");
    rig_pass(r, 10);
    rig_expect(r, "abandon, negotiate 1");
    rig_pass(r, 10);
    rig_expect(r, "abandon, drop, open 1");
    assert_int_equal(r->c.out, 1); /* data goes on */
    rig_pass(r, 10);
    rig_expect(r, "drop, open 2"); /* the next address */
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    dt_epoch_client_heard(&r->c, r->now, 2);
    rig_expect(r, "probe 2, use 2");
    free(r);
}

static void a_dead_epoch_that_is_heard_again_goes_on_carrying(void **state)
{
    struct rig *r = verified(rig_params());
    rig_pass(r, 25);
    rig_expect(r, "probe 1, probe 1, probe 1, probe 1, negotiate 1");
    r->last_heard[1] = r->now; /* as the data path alone knows */
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_expect(r, "probe 2");
    assert_int_equal(r->c.out, 1);
    dt_epoch_client_heard(&r->c, r->now, 2);
    rig_expect(r, "use 2");
    free(r);
}

static void idle_tunnel_is_pinged(void **state) /* 621, 615 to 619, claims 13 and 14 */
{
    struct rig *r = verified(rig_params());
    rig_pass(r, 19);
    r->last_heard[1] = r->now; /* a packet at 19 s, which the data path alone knows of */
    rig_pass(r, 19.5);
    rig_expect(r, "");
    rig_pass(r, 1);
    rig_expect(r, "probe 1"); /* maxidle after it */
    dt_epoch_client_probe_reply(&r->c, r->now, 1, 1, 2);
    rig_pass(r, 19.9);
    rig_expect(r, "");
    rig_pass(r, 4);
    rig_expect(r, "probe 1, probe 1, probe 1, probe 1"); /* every pingtime2, pingtries2 of them */
    rig_pass(r, 1);
    rig_expect(r, "negotiate 1"); /* 603, 605 */
    assert_false(dt_epoch_client_verified(&r->c));
    assert_int_equal(r->c.out, 1); /* perhaps only one direction is dead */
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_expect(r, "use 0, probe 2"); /* but it may not stand in the way of the probes */
    dt_epoch_client_heard(&r->c, r->now, 1);
    rig_expect(r, "use 1");
    dt_epoch_client_heard(&r->c, r->now, 2);
    rig_expect(r, "use 2");
    free(r);
}

/* FIG. 8: what a server says before it was spoken to does not verify; the answer to a probe does. */
static void server_that_speaks_first_proves_nothing(void **state)
{
    struct rig *r = verified(rig_params());
    r->c.peer_speaks = true;
    dt_epoch_client_rekey(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_expect(r, "negotiate 1, probe 2");
    dt_epoch_client_heard(&r->c, r->now, 2);
    rig_expect(r, "");
    dt_epoch_client_probe_reply(&r->c, r->now, 2, 2, r->c.e[1].seq);
    rig_expect(r, "use 2");
    free(r);
}

static void server_rekey_is_declined(void **state) /* 620, claim 11 */
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = verified(p);
    assert_false(dt_epoch_client_peer_rekey(&r->c, r->now));
    p.server_rekey = true;
    dt_epoch_client_params(&r->c, &p);
    assert_true(dt_epoch_client_peer_rekey(&r->c, r->now));
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_BY_PEER);
    rig_expect(r, ""); /* the peer does not have our answer yet */
    rig_pass(r, 0.1);
    rig_expect(r, "probe 2");
    dt_epoch_client_heard(&r->c, r->now, 2);
    rig_expect(r, "use 2");
    rig_pass(r, 3); /* who began deletes */
    dt_epoch_client_peer_deleted(&r->c, r->now, 1);
    rig_expect(r, "gone 1");
    free(r);
}

/* strongSwan deletes the old one a moment after our answer: what waits then waits for one round trip, whether the first
 * probe was sent before (and perhaps too early for the peer) or not. */
static void delete_of_what_the_peer_rekeyed_brings_a_probe(void **state)
{
    for (unsigned early = 0; early < 2; early++) {
        struct dt_epoch_params p = rig_params();
        p.server_rekey = true;
        struct rig *r = verified(p);
        assert_true(dt_epoch_client_peer_rekey(&r->c, r->now));
        dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_BY_PEER);
        rig_pass(r, early ? 0.06 : 0.001);
        rig_expect(r, early ? "probe 2" : "");
        dt_epoch_client_peer_deleted(&r->c, r->now, 1);
        rig_expect(r, "gone 1, use 0, probe 2");
        dt_epoch_client_probe_reply(&r->c, r->now, 2, 2, r->c.e[1].no == 2 ? r->c.e[1].seq : r->c.e[0].seq);
        rig_expect(r, "use 2");
        free(r);
    }
}

static void peer_that_holds_until_delete(void **state) /* strongSwan as responder */
{
    struct rig *r = verified(rig_params());
    dt_epoch_client_rekey(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_expect(r, "negotiate 1, probe 2");
    rig_pass(r, 0.1);
    dt_epoch_client_probe_reply(&r->c, r->now, 1, 2, 1); /* the probe of 2, answered on 1 */
    rig_expect(r, "use 0, del 1");
    rig_pass(r, 0.1);
    dt_epoch_client_deleted(&r->c, r->now, 1);
    rig_expect(r, "gone 1, probe 2"); /* again, at once */
    dt_epoch_client_probe_reply(&r->c, r->now, 2, 2, 2);
    rig_expect(r, "use 2");
    assert_int_equal(r->c.stats.forced_uses, 0);
    assert_int_equal(r->c.stats.probe_elsewhere, 1);
    free(r);
}

static void peer_deletes_what_carries(void **state)
{
    struct rig *r = verified(rig_params());
    rig_pass(r, 5);
    dt_epoch_client_peer_deleted(&r->c, r->now, 1);
    rig_expect(r, "gone 1, use 0, negotiate 0");
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    dt_epoch_client_peer_deleted(&r->c, r->now, 2); /* and again: not without a pause */
    rig_expect(r, "probe 2, gone 2");
    rig_pass(r, 2);
    rig_expect(r, "negotiate 0");
    free(r);
}

static void lost_session_is_opened_again(void **state)
{
    struct rig *r = verified(rig_params());
    dt_epoch_client_session_lost(&r->c, r->now);
    rig_expect(r, "open 1");
    assert_int_equal(r->c.out, 1);
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_session_lost(&r->c, r->now); /* good for nothing: pause */
    rig_expect(r, "");
    rig_pass(r, 1);
    rig_expect(r, "open 2");
    dt_epoch_client_failed(&r->c, r->now); /* refused: twice the pause */
    rig_pass(r, 1.5);
    rig_expect(r, "");
    rig_pass(r, 0.5);
    rig_expect(r, "open 3");
    free(r);
}

static void refused_opening_backs_off(void **state)
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = rig_new(&p);
    r->refuse_open = true;
    dt_epoch_client_start(&r->c, r->now);
    rig_pass(r, 3600);
    assert_in_range(r->c.stats.sessions_opened, 60, 70); /* 1, 2, 4, … 60, 60 s */
    free(r);
}

static void refused_rekeys_end_the_session(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.maxidle = 500 * DT_SEC;
    struct rig *r = verified(p);
    r->refuse_negotiate = true;
    dt_epoch_client_rekey(&r->c, r->now);
    rig_pass(r, 5);
    rig_expect(r, "negotiate 1, negotiate 1, negotiate 1, drop politely, open 1");
    free(r);
}

/* RFC 7296 2.25: a peer that is busy is asked again over several minutes, and the epoch that carries data goes on. */
static void busy_peer_is_asked_again_for_minutes(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.maxidle = 800 * DT_SEC;
    struct rig *r = verified(p);
    dt_time began = r->now, pause = 0;
    dt_epoch_client_rekey(&r->c, r->now);
    rig_expect(r, "negotiate 1");
    while (r->c.session == DT_EPOCH_OPEN && r->now < began + 600 * DT_SEC) {
        dt_epoch_client_busy(&r->c, r->now);
        if (r->c.session != DT_EPOCH_OPEN)
            break;
        rig_expect(r, "");
        assert_false(r->c.negotiating);
        dt_time next = r->c.negotiate_at - r->now;
        assert_true(next >= pause && next >= p.pingtime && next <= 16 * DT_SEC);
        pause = next;
        rig_pass(r, dt_time_seconds(next));
        rig_expect(r, "negotiate 1");
        assert_true(dt_epoch_client_verified(&r->c));
    }
    assert_in_range((r->now - began) / DT_SEC, 180, 200);
    rig_expect(r, "drop politely, open 1");
    free(r);
}

/* Without an epoch that works nobody waits for minutes; one that was busy once is forgiven. */
static void busy_peer_and_no_epoch(void **state)
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = verified(p);
    dt_epoch_client_peer_deleted(&r->c, r->now, 1);
    rig_expect(r, "gone 1, use 0, negotiate 0");
    dt_time began = r->now;
    dt_epoch_client_busy(&r->c, r->now);
    rig_pass(r, 2);
    rig_expect(r, "negotiate 0");
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    dt_epoch_client_probe_reply(&r->c, r->now, 2, 2, 1);
    rig_expect(r, "probe 2, use 2");
    assert_int_equal(r->c.busy, 0);
    dt_epoch_client_peer_deleted(&r->c, r->now, 2);
    began = r->now;
    while (r->c.session == DT_EPOCH_OPEN && r->now < began + 600 * DT_SEC) {
        dt_epoch_client_busy(&r->c, r->now);
        if (r->c.session == DT_EPOCH_OPEN)
            rig_pass(r, dt_time_seconds(r->c.negotiate_at - r->now));
    }
    assert_in_range((r->now - began) / DT_SEC, 30, 46); /* (elimit + 1) * timeout */
    free(r);
}

/* What carried data ends while a busy peer is waited for: the wait is cut short. */
static void busy_peer_and_the_epoch_ends(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.maxidle = 800 * DT_SEC;
    struct rig *r = verified(p);
    dt_epoch_client_rekey(&r->c, r->now);
    for (unsigned i = 0; i < 6; i++) {
        dt_epoch_client_busy(&r->c, r->now);
        if (i < 5)
            rig_pass(r, dt_time_seconds(r->c.negotiate_at - r->now));
    }
    assert_int_equal(r->c.negotiate_at - r->now, 16 * DT_SEC);
    dt_epoch_client_peer_deleted(&r->c, r->now, 1);
    assert_int_equal(r->c.negotiate_at - r->now, p.pingtime);
    free(r);
}

/* The peer does not know what was to be rekeyed: no pause, a new one at once. Nor does it count as a failure; but a peer that
 * says so of nothing is refused like any other. */
static void epoch_the_peer_does_not_know(void **state)
{
    struct rig *r = verified(rig_params());
    dt_epoch_client_rekey(&r->c, r->now);
    rig_expect(r, "negotiate 1");
    dt_epoch_client_peer_deleted(&r->c, r->now, 1);
    dt_epoch_client_not_found(&r->c, r->now);
    rig_expect(r, "gone 1, use 0, negotiate 0");
    assert_int_equal(r->c.nepoch, 0);
    dt_epoch_client_not_found(&r->c, r->now);
    rig_expect(r, "");
    assert_int_equal(r->c.nepoch, 1);
    rig_pass(r, 2);
    rig_expect(r, "negotiate 0");
    free(r);
}

static void declined_rekey_of_an_old_epoch_brings_our_own(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.maxidle = 800 * DT_SEC;
    struct rig *r = verified(p);
    assert_false(dt_epoch_client_peer_rekey(&r->c, r->now));
    rig_pass(r, 9);
    assert_false(dt_epoch_client_peer_rekey(&r->c, r->now));
    rig_expect(r, ""); /* young */
    rig_pass(r, 1);
    assert_false(dt_epoch_client_peer_rekey(&r->c, r->now));
    rig_expect(r, "negotiate 1");
    assert_false(dt_epoch_client_peer_rekey(&r->c, r->now));
    rig_expect(r, ""); /* it is under way */
    free(r);
}

static void exhausted_epoch_is_replaced(void **state)
{
    struct rig *r = verified(rig_params());
    dt_epoch_client_exhausted(&r->c, r->now, 7);
    rig_expect(r, "");
    dt_epoch_client_exhausted(&r->c, r->now, 1);
    rig_expect(r, "use 0, negotiate 0");
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    dt_epoch_client_probe_reply(&r->c, r->now, 2, 2, 1);
    rig_expect(r, "probe 2, use 2");
    rig_pass(r, 10); /* `timeout` */
    rig_expect(r, "del 1");
    free(r);
}

/* Every session comes up, and in every one the child is refused: a wrong proposal, or selectors. */
static void refused_children_back_off(void **state)
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = rig_new(&p);
    r->refuse_negotiate = true;
    dt_epoch_client_start(&r->c, r->now);
    for (dt_time end = r->now + 3600 * DT_SEC; r->now < end; rig_pass(r, 0.25)) {
        r->log[0] = '\0';
        if (r->c.session != DT_EPOCH_OPENING)
            continue;
        dt_epoch_client_session_up(&r->c, r->now);
        dt_epoch_client_failed(&r->c, r->now); /* IKE_AUTH brought the session, not its child */
    }
    assert_in_range(r->c.stats.sessions_opened, 50, 70); /* 1, 2, 4, … 60, 60 s */
    dt_epoch_client_start(&r->c, r->now);                /* somebody asks: at once */
    assert_int_equal(r->c.session, DT_EPOCH_OPENING);
    free(r);
}

static void second_session_beside(void **state) /* encap = auto */
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = rig_new(&p);
    dt_epoch_client_start(&r->c, r->now);
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 1, DT_EPOCH_ASKED);
    rig_pass(r, 1);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_BESIDE);
    rig_expect(r, "open 1, probe 1, probe 2");
    dt_epoch_client_heard(&r->c, r->now, 1); /* the first did work after all */
    rig_expect(r, "use 1");
    dt_epoch_client_retire(&r->c, r->now, 2, false);
    dt_epoch_client_peer_deleted(&r->c, r->now, 2);
    rig_expect(r, "gone 2");
    assert_int_equal(r->c.out, 1);
    assert_false(r->c.negotiating);
    free(r);
}

static void second_session_ends_what_is_asked_in_the_first(void **state)
{
    struct dt_epoch_params p = rig_params();
    struct rig *r = rig_new(&p);
    dt_epoch_client_start(&r->c, r->now);
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 1, DT_EPOCH_ASKED);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_BESIDE);
    dt_epoch_client_rekey(&r->c, r->now);
    assert_true(r->c.negotiating);
    dt_epoch_client_heard(&r->c, r->now, 2);
    rig_expect(r, "open 1, probe 1, probe 2, negotiate 2, use 2");
    assert_false(r->c.negotiating);
    assert_int_equal(r->c.negotiate_by, DT_NEVER);
    free(r);
}

static void plain_switches_at_once(void **state) /* probe = off */
{
    struct dt_epoch_params p = rig_params();
    p.probe = false;
    struct rig *r = rig_new(&p);
    dt_epoch_client_start(&r->c, r->now);
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 1, DT_EPOCH_ASKED);
    rig_expect(r, "open 1, use 1");
    rig_pass(r, 899);
    rig_expect(r, ""); /* never a ping */
    rig_pass(r, 1);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    rig_pass(r, 0);
    rig_expect(r, "negotiate 1, use 2, del 1");
    free(r);
}

/* Without probes nothing proves an epoch, and a peer that ends each at once is asked at a pace all the same. */
static void unprobed_epochs_that_end_at_once(void **state)
{
    struct dt_epoch_params p = rig_params();
    p.probe = false;
    struct rig *r = rig_new(&p);
    dt_epoch_client_start(&r->c, r->now);
    dt_epoch_client_session_up(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 1, DT_EPOCH_ASKED);
    dt_epoch_client_peer_deleted(&r->c, r->now, 1);
    rig_expect(r, "open 1, use 1, gone 1, use 0");
    rig_pass(r, 1);
    rig_expect(r, "");
    rig_pass(r, 1); /* pingtime after the opening */
    rig_expect(r, "negotiate 0");
    free(r);
}

static void nothing_is_left_after_stop(void **state)
{
    struct rig *r = verified(rig_params());
    dt_epoch_client_rekey(&r->c, r->now);
    dt_epoch_client_negotiated(&r->c, r->now, 2, DT_EPOCH_ASKED);
    r->log[0] = 0;
    dt_epoch_client_stop(&r->c, r->now);
    rig_expect(r, "gone 1, gone 2");
    assert_int_equal(dt_epoch_client_deadline(&r->c), DT_NEVER);
    dt_epoch_client_heard(&r->c, r->now, 1); /* late news changes nothing */
    dt_epoch_client_negotiated(&r->c, r->now, 3, DT_EPOCH_ASKED);
    rig_expect(r, "");
    free(r);
}

static void digest_knows_states_apart(void **state)
{
    struct rig *a = verified(rig_params()), *b = verified(rig_params());
    struct dt_digest da, db;
    rig_pass(b, 3);
    dt_digest_init(&da);
    dt_digest_init(&db);
    dt_epoch_client_digest(&a->c, a->now, &da);
    dt_epoch_client_digest(&b->c, b->now, &db);
    assert_true(dt_digest_value(&da) != dt_digest_value(&db)); /* three seconds nearer to the ping */
    rig_pass(a, 3);
    dt_digest_init(&da);
    dt_epoch_client_digest(&a->c, a->now, &da);
    assert_true(dt_digest_value(&da) == dt_digest_value(&db));
    dt_epoch_client_rekey(&a->c, a->now);
    dt_digest_init(&da);
    dt_epoch_client_digest(&a->c, a->now, &da);
    assert_true(dt_digest_value(&da) != dt_digest_value(&db));
    free(a);
    free(b);
}

/* Whatever is told in whatever order: no callback for an epoch that is gone, no timer in the past that stays,
 * no data on an unverified epoch before the limit. */
static void any_order_of_news(void **state)
{
    uint64_t seed = test_seed("any_order_of_news");
    for (unsigned run = 0; run < 300; run++) {
        struct dt_epoch_params p = rig_params();
        p.rekeyfuzz = 50;
        struct rig *r = rig_new(&p);
        dt_prng_seed(&r->prng, seed + run);
        struct dt_rand rand = dt_prng_rand(&r->prng);
        uint32_t next = 1;
        dt_epoch_client_start(&r->c, r->now);
        for (unsigned step = 0; step < 300; step++) {
            uint32_t any = (uint32_t)dt_rand_below(&rand, next + 1);
            r->refuse_del = dt_rand_below(&rand, 3) == 0;
            r->refuse_negotiate = dt_rand_below(&rand, 10) == 0;
            switch (dt_rand_below(&rand, 12)) {
            case 0:
                dt_epoch_client_session_up(&r->c, r->now);
                break;
            case 1:
            case 2:
                dt_epoch_client_negotiated(&r->c, r->now, next++,
                                           (enum dt_epoch_origin)dt_rand_below(&rand, 3));
                break;
            case 3:
                dt_epoch_client_failed(&r->c, r->now);
                break;
            case 4:
            case 5:
                dt_epoch_client_heard(&r->c, r->now, any);
                break;
            case 6:
                dt_epoch_client_probe_reply(&r->c, r->now, any, (uint16_t)dt_rand_below(&rand, next), 1);
                break;
            case 7:
                dt_epoch_client_deleted(&r->c, r->now, any);
                break;
            case 8:
                dt_epoch_client_peer_deleted(&r->c, r->now, any);
                break;
            case 9:
                if (dt_rand_below(&rand, 4) == 0)
                    dt_epoch_client_session_lost(&r->c, r->now);
                break;
            default:
                rig_pass(r, (double)dt_rand_below(&rand, 40));
            }
            r->log[0] = 0;
            const struct dt_epoch *out = NULL;
            for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
                if (r->c.e[i].phase != DT_EPOCH_FREE && r->c.e[i].no == r->c.out)
                    out = &r->c.e[i];
            assert_true(r->c.out == 0 || out);
            if (out && out->phase != DT_EPOCH_PROVED)
                assert_true(r->c.out_forced && r->now >= r->c.limit);
            assert_true(dt_epoch_client_deadline(&r->c) != DT_NEVER);
        }
        dt_epoch_client_stop(&r->c, r->now);
        free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_epoch_is_probed_before_data),
        cmocka_unit_test(silence_after_pingtries_means_a_new_epoch),
        cmocka_unit_test(epochs_nobody_answers_end_the_session),
        cmocka_unit_test(rekey_keeps_data_on_the_old_epoch),
        cmocka_unit_test(unverified_use_only_past_the_limit),
        cmocka_unit_test(rekey_time_is_spread_over_the_window),
        cmocka_unit_test(slow_negotiation_is_abandoned_elimit_times),
        cmocka_unit_test(idle_tunnel_is_pinged),
        cmocka_unit_test(a_dead_epoch_that_is_heard_again_goes_on_carrying),
        cmocka_unit_test(server_that_speaks_first_proves_nothing),
        cmocka_unit_test(server_rekey_is_declined),
        cmocka_unit_test(declined_rekey_of_an_old_epoch_brings_our_own),
        cmocka_unit_test(exhausted_epoch_is_replaced),
        cmocka_unit_test(busy_peer_is_asked_again_for_minutes),
        cmocka_unit_test(busy_peer_and_no_epoch),
        cmocka_unit_test(busy_peer_and_the_epoch_ends),
        cmocka_unit_test(epoch_the_peer_does_not_know),
        cmocka_unit_test(delete_of_what_the_peer_rekeyed_brings_a_probe),
        cmocka_unit_test(peer_that_holds_until_delete),
        cmocka_unit_test(peer_deletes_what_carries),
        cmocka_unit_test(lost_session_is_opened_again),
        cmocka_unit_test(refused_opening_backs_off),
        cmocka_unit_test(refused_children_back_off),
        cmocka_unit_test(refused_rekeys_end_the_session),
        cmocka_unit_test(second_session_beside),
        cmocka_unit_test(second_session_ends_what_is_asked_in_the_first),
        cmocka_unit_test(plain_switches_at_once),
        cmocka_unit_test(unprobed_epochs_that_end_at_once),
        cmocka_unit_test(nothing_is_left_after_stop),
        cmocka_unit_test(digest_knows_states_apart),
        cmocka_unit_test(any_order_of_news),
    };
    return TEST_RUN(tests);
}
