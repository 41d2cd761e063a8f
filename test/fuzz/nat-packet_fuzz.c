/* Packets of any shape through the NAT's parser and rules: each input is a sequence of packets, each a byte of side and
 * time, a byte of length, and so many bytes from the IPv4 header on. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "masq/masq.h"

static void check(const struct dt_masq_facts *f, const struct dt_masq_verdict *v)
{
    if (v->verdict > DT_MASQ_MULTICAST || v->rule >= DT_MASQ_RULE_COUNT || v->n > DT_MASQ_PEERS_MAX)
        abort();
    if (v->verdict == DT_MASQ_FORWARD && (v->n != 1 || !v->to[0]))
        abort(); /* nobody is address zero */
    if (v->verdict == DT_MASQ_DROP && v->n)
        abort();
    if (f->flags & DT_MASQ_F_TRUNCATED && v->verdict != DT_MASQ_DROP && v->verdict != DT_MASQ_PASS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct dt_masq_config c = dt_masq_defaults();
    c.sizes.esp = c.sizes.ike = 64;
    c.sizes.clients = c.sizes.servers = c.sizes.frags = 32;
    c.params.n_outside = 1;
    c.params.outside[0] = 0xcb007105;
    struct dt_masq *m = dt_masq_new(&c);
    dt_time now = DT_SEC;
    while (m && len >= 2) {
        uint8_t how = data[0];
        size_t n = data[1] < len - 2 ? data[1] : len - 2;
        uint8_t *copy = malloc(n ? n : 1); /* exactly as long: a byte too far is found */
        memcpy(copy, data + 2, n);
        struct dt_masq_facts f;
        now += (dt_time)(how >> 1) * (DT_SEC / 8);
        if (dt_masq_parse(&f, how & 1 ? DT_MASQ_OUTSIDE : DT_MASQ_INSIDE, copy, n)) {
            struct dt_masq_verdict v;
            dt_masq_packet(m, now, &f, &v);
            check(&f, &v);
        }
        if (how & 64)
            dt_masq_tick(m, now);
        free(copy);
        data += 2 + n;
        len -= 2 + n;
    }
    dt_masq_free(m);
    return 0;
}
