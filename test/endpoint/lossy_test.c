/* The property: whatever the network does for a while, every tunnel ends verified, no client sends data on an epoch it
 * has not verified and no server on one it has not heard (save the original's exception, counted), and nothing is left over.
 * DT_RUNS seeds are run (the whole 10,000 in four programs, see meson.build). */
#include "endpoint/world.h"

static unsigned pick(struct world *w, unsigned n)
{
    return (unsigned)(dt_prng_u64(&w->prng) % n);
}

static void one_seed(uint64_t seed)
{
    struct world *w = malloc(sizeof(*w));
    assert_non_null(w);
    world_init(w, seed, 2);
    static const enum world_peer kinds[] = {WORLD_DOVETAIL, WORLD_DOVETAIL, WORLD_AT_ONCE, WORLD_HOLDS};
    struct dt_tunnel_cfg cfg;
    static const enum dt_encap encaps[] = {DT_ENCAP_ESP, DT_ENCAP_UDP, DT_ENCAP_AUTO};
    enum world_peer kind = kinds[pick(w, 4)];
    bool clean = pick(w, 8) == 0;
    w->loss = clean ? 0 : pick(w, 401); /* up to 40 per cent */
    w->dup = clean ? 0 : pick(w, 401);
    w->delay = DT_MSEC + pick(w, 100) * DT_MSEC;
    w->jitter = clean ? 0 : pick(w, 400) * DT_MSEC; /* reorders */
    w->data_every = 200 * DT_MSEC;
    w->data_both = true;
    world_serve(w, 1, kind);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.encap = encaps[pick(w, 3)];
    cfg.params.server_rekey = pick(w, 2);
    world_connect(w, 0, 1, &cfg);
    struct world_host *c = &w->host[0], *s = &w->host[1];
    for (unsigned i = 0; i < 3; i++) {
        world_pass(w, 3 + pick(w, 6));
        switch (clean ? 15 : pick(w, 14)) {
        case 0:
            dt_endpoint_rekey(c->ep, w->now, c->client);
            break;
        case 1:
            dt_endpoint_rekey_ike(c->ep, w->now, c->client);
            break;
        case 2: { /* both at once */
            uint32_t t = dt_endpoint_tunnel_next(s->ep, 0);
            dt_endpoint_rekey(c->ep, w->now, c->client);
            if (t)
                dt_endpoint_rekey(s->ep, w->now, t);
            break;
        }
        case 3: {
            uint32_t t = dt_endpoint_tunnel_next(s->ep, 0);
            dt_endpoint_rekey_ike(c->ep, w->now, c->client);
            if (t)
                dt_endpoint_rekey_ike(s->ep, w->now, t);
            break;
        }
        case 4:
            w->loss = 1000; /* an outage */
            world_pass(w, 1 + pick(w, 15));
            w->loss = pick(w, 401);
            break;
        case 5: {
            uint32_t t = dt_endpoint_tunnel_next(s->ep, 0);
            if (t)
                dt_endpoint_down(s->ep, w->now, t); /* thrown out */
            break;
        }
        case 6: /* SIGKILL, and again at once */
            world_kill(w, 0);
            world_connect(w, 0, 1, &cfg);
            break;
        case 7:
            world_kill(w, 1);
            s->leases = s->released = 0;
            world_serve(w, 1, kind);
            break;
        case 8: /* another network; where the gateway is does not change */
            c->addr = dt_addr4(0xc6336400u + 1 + pick(w, 200));
            dt_endpoint_network_changed(c->ep, w->now);
            break;
        case 9:
            if (cfg.encap == DT_ENCAP_AUTO)
                w->esp_blocked = !w->esp_blocked; /* the network likes ESP no more */
            break;
        default:
            break;
        }
    }
    /* The network is fair again. */
    w->loss = w->dup = 0;
    w->jitter = 0;
    struct dt_epoch_bound b = dt_epoch_bound(&cfg.params, 1, 2 * w->delay);
    dt_time fair = w->now;
    bool up = false;
    while (!up && w->now < fair + b.total) {
        world_pass(w, 1);
        struct world_tunnel *ct = world_tunnel(c, c->client), *st = world_first(s);
        up = world_up(w, 0) && ct->last_got > fair && st && st->last_got > fair;
    }
    if (!up)
        fprintf(stderr, "seed %llu: not up %.0f s after the network was fair; client: %s\n",
                (unsigned long long)seed, dt_time_seconds(w->now - fair), c->log);
    assert_true(up);
    if (c->sins || s->sins)
        fprintf(stderr, "seed %llu: sins %llu %llu; client: %s; server: %s\n", (unsigned long long)seed,
                (unsigned long long)c->sins, (unsigned long long)s->sins, c->log, s->log);
    assert_int_equal(c->sins + s->sins, 0);
    if (clean) { /* on a network that lets packets through, the exception is never needed */
        if (c->forced)
            fprintf(stderr, "seed %llu: forced %llu on a clean network\n", (unsigned long long)seed,
                    (unsigned long long)c->forced);
        assert_int_equal(c->forced, 0);
        if (kind == WORLD_DOVETAIL)
            assert_int_equal(s->forced, 0);
    }
    world_end(w);
    free(w);
}

static void every_tunnel_ends_verified(void **state)
{
    const char *runs = getenv("DT_RUNS"), *first = getenv("DT_FIRST");
    uint64_t seed = getenv("DT_SEED") ? test_seed("every_tunnel_ends_verified")
                    : first           ? strtoull(first, NULL, 0)
                                      : 0;
    unsigned n = getenv("DT_SEED") ? 1 : runs ? (unsigned)atoi(runs) : 250;
    printf("# seeds %llu to %llu; DT_SEED=N runs one\n", (unsigned long long)seed,
           (unsigned long long)(seed + n - 1));
    for (unsigned i = 0; i < n; i++)
        one_seed(seed + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_tunnel_ends_verified)};
    return TEST_RUN(tests);
}
