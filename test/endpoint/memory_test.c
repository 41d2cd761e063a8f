/* What a tunnel costs in memory, everything included: endpoint, IKE, tables, timers. */
#include "endpoint/world.h"

#include <malloc.h>

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
                                                   : mallinfo2().uordblks;
}

#define N 32

static void under_64_kib_a_tunnel(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg *cfg = malloc(sizeof(*cfg));
    struct dt_tunnel_info info;
    struct dt_err err;
    world_init(w, 1, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_boot(w, 0, NULL);
    size_t before = allocated(),
           own[2] = {dt_endpoint_memory(w->host[0].ep), dt_endpoint_memory(w->host[1].ep)};
    for (unsigned i = 0; i < N; i++) {
        char id[32];
        world_tunnel_cfg(w, cfg, 0, 1);
        cfg->encap = DT_ENCAP_AUTO;
        dt_proposals_default(&cfg->ike, DT_PROTO_IKE);
        dt_proposals_default(&cfg->esp, DT_PROTO_ESP);
        snprintf(id, sizeof(id), "client%u@example.net", i);
        snprintf(cfg->name, sizeof(cfg->name), "tunnel %u", i);
        assert_int_equal(dt_ike_id_parse(&cfg->local_id, id), 0);
        w->host[0].client = dt_endpoint_tunnel_add(w->host[0].ep, w->now, cfg, &err);
        assert_int_not_equal(w->host[0].client, 0);
        dt_endpoint_up(w->host[0].ep, w->now, w->host[0].client);
        world_pass(w, 0.2);
        assert_true(world_up(w, 0));
    }
    struct dt_gateway_cfg g;
    world_gateway_cfg(&g);
    uint32_t first = dt_endpoint_tunnel_next(w->host[0].ep, 0);
    dt_endpoint_rekey(w->host[0].ep, w->now, first); /* one of them in the middle of it */
    size_t after = allocated();
    size_t each = (after - before) / N; /* both ends of it */
    size_t client = (dt_endpoint_memory(w->host[0].ep) - own[0]) / N,
           server = (dt_endpoint_memory(w->host[1].ep) - own[1]) / N;
    printf("# a tunnel: %zu bytes for both ends, of them endpoint client %zu, server %zu\n", each, client,
           server);
    assert_true(each > client + server);
    assert_true(each < 64 * 1024); /* the two ends together are under what one may have */
    assert_true(dt_endpoint_tunnel_info(w->host[0].ep, first, &info));
    free(cfg);
    world_end(w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(under_64_kib_a_tunnel)};
    return TEST_RUN(tests);
}
