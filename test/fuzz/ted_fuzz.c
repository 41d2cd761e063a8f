/* Discovery: the codec, and a gateway of both roles that is shown the same bytes as probe and as reply. What a
 * decoder accepts must encode to something that it accepts again; nothing may be sent that is longer than three
 * times what came. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fuzz/fuzz.h"
#include "ted/ted.h"

static size_t came;

static void send_probe(void *user, const struct dt_addr *src, const struct dt_addr *dst, uint16_t sport,
                       const uint8_t *msg, size_t len)
{
    (void)user, (void)src, (void)dst, (void)sport, (void)msg, (void)len;
}

static void send_reply(void *user, const struct dt_addr *from, const struct dt_addr *to, const uint8_t *msg,
                       size_t len)
{
    struct dt_ted_reply r;
    (void)user, (void)from, (void)to;
    if (len > 3 * came || dt_ted_reply_decode(&r, msg, len, NULL))
        abort();
}

static bool own_addr(void *user, const struct dt_addr *towards, struct dt_addr *own)
{
    (void)user;
    *own = dt_addr4(0xc6336401);
    return towards->ver == 4;
}

static void answer(void *user, dt_time now, const struct dt_ted_answer *a)
{
    (void)user, (void)now, (void)a;
}

static void hosts(struct dt_addr *src, struct dt_addr *dst)
{
    *src = dt_addr4(0x0a010005);
    *dst = dt_addr4(0x0a020007);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct dt_ted_ops ops = {send_probe, send_reply, own_addr, answer, NULL};
    uint8_t out[DT_TED_MAX_MESSAGE];
    struct dt_ted_probe p, p2;
    struct dt_ted_reply r, r2;
    if (!dt_ted_probe_decode(&p, data, len, NULL)) {
        size_t n = dt_ted_probe_encode(out, sizeof out, &p);
        if (!n || dt_ted_probe_decode(&p2, out, n, NULL) || memcmp(&p, &p2, sizeof p) != 0)
            abort();
    }
    if (!dt_ted_reply_decode(&r, data, len, NULL)) {
        size_t n = dt_ted_reply_encode(out, sizeof out, &r);
        if (!n || dt_ted_reply_decode(&r2, out, n, NULL) || r.count != r2.count)
            abort();
    }

    struct dt_prng prng;
    dt_prng_seed(&prng, 1);
    struct dt_rand rnd = dt_prng_rand(&prng);
    struct dt_ted *t = dt_ted_new(&ops, NULL, NULL, &rnd);
    struct dt_ted_rule east = {.id = 1, .count = 1}, west = {.id = 2, .count = 1};
    struct dt_ted_packet packet = {.protocol = 6, .sport = 50000, .dport = 80};
    struct dt_addr from = dt_addr4(0xc0000201), own = dt_addr4(0xc6336401);
    struct dt_ted_answer a;
    hosts(&packet.src, &packet.dst);
    if (!t || dt_ted_proxy_parse(&east.proxy[0], "10.2.0.0/16 any", NULL) ||
        dt_ted_proxy_parse(&west.proxy[0], "10.1.0.0/16 any", NULL) || dt_ted_rule_set(t, 0, &east, NULL) ||
        dt_ted_rule_set(t, 0, &west, NULL) || dt_ted_packet(t, 0, 2, &packet, &a) != DT_TED_PROBING)
        abort();
    came = len;
    dt_ted_probe_input(t, 1, &packet.src, &packet.dst, data, len);
    if (len >= 8) { /* let the reply reach the entry: give it the cookie that waits */
        uint8_t *copy = malloc(len);
        struct dt_prng again;
        dt_prng_seed(&again, 1);
        struct dt_rand same = dt_prng_rand(&again);
        uint64_t skip[2];
        dt_rand_fill(&same, skip, sizeof skip); /* the siphash key */
        memcpy(copy, data, len);
        dt_put_be64(copy, dt_rand_u64(&same));
        if (len >= 60 && copy[0])
            from = dt_addr4_bytes(copy + 60 - 4);
        dt_ted_reply_input(t, 2, &from, &own, copy, len);
        free(copy);
    }
    dt_ted_tick(t, DT_SEC);
    dt_ted_free(t);
    return 0;
}
