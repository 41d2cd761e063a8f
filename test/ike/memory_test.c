/* Memory runs out once, at every place where it can: whatever comes of it, nothing is left that waits for ever, and nothing
 * leaks (ASan watches). */
#include "ike/ike_net.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static long countdown = -1; /* of allocations until one fails; below 0: none does */

/* The linker puts these in the place of calloc and realloc (meson.build). */
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool fails_now(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails_now() ? NULL : __real_realloc(p, size);
}

/* A session comes up, its child and its IKE SA are rekeyed from both ends, it is asked whether it lives, and closed. */
static void a_life(void)
{
    struct dt_path path = net_path(&net, 0, 1);
    struct dt_err err = {0};
    dt_ike_open(a->ike, net.now, &a->cfg, &path, NULL, &err);
    net_run(&net, net.now + 200 * DT_SEC);
    for (int i = 0; i < 2; i++) {
        struct net_host *h = &net.host[i];
        if (h->session && net_newest(h))
            dt_ike_child_rekey(net_newest(h)->handle, net.now, &err);
        net_run(&net, net.now + DT_SEC);
        if (h->session)
            dt_ike_session_rekey(h->session, net.now);
        net_run(&net, net.now + DT_SEC);
        if (h->session)
            dt_ike_liveness(h->session, net.now);
        net_run(&net, net.now + DT_SEC);
    }
}

/* True: the failure came. */
static bool out_of_memory_at(long k)
{
    net_init(&net, 1, 2, dt_crypto_null());
    countdown = k;
    a_life();
    bool came = countdown < 0;
    countdown = -1;
    for (int i = 0; i < 2; i++) {
        struct dt_ike_usage u = dt_ike_usage(net.host[i].ike);
        if (u.sessions &&
            dt_ike_deadline(net.host[i].ike) == DT_NEVER) /* it stands, and nothing will ever move it */
            fail_msg("allocation %ld: host %d has a session and no timer", k, i);
        if (net.host[i].session)
            dt_ike_close(net.host[i].session, net.now, false);
    }
    net_run(&net, DT_NEVER);
    net_check_empty(a);
    net_check_empty(b);
    net_free(&net);
    return came;
}

static void nothing_waits_for_ever(void **state)
{
    long k = 0;
    while (out_of_memory_at(k))
        k++;
    printf("# %ld allocations failed, each once\n", k);
    assert_in_range(k, 50, 5000);
}

/* Later rekeys are not lost with the one for which there was no memory. */
static void a_rekey_without_memory_is_tried_again(void **state)
{
    for (long k = 0; k < 8; k++) {
        net_init(&net, 2, 2, dt_crypto_null());
        net_come_up(&net);
        net_run(&net, net.now + 3 * 3600 * DT_SEC); /* before the soft lifetime, which begins at 3.6 h */
        assert_int_equal(a->rekeyed, 0);
        countdown = k;
        net_run(&net, net.now + 2 * 3600 * DT_SEC);
        assert_true(countdown < 0);
        countdown = -1;
        if (a->session)
            assert_int_equal(a->rekeyed, 1);
        if (a->session)
            dt_ike_close(a->session, net.now, false);
        net_run(&net, DT_NEVER);
        net_free(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_waits_for_ever),
        cmocka_unit_test(a_rekey_without_memory_is_tried_again),
    };
    return TEST_RUN(tests);
}
