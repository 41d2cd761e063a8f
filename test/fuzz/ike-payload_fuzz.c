/* Payload codecs: the first byte chooses one, the rest is a payload's body. What is accepted must come out of the
 * writer such that it is accepted again, and means the same. */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "wire/ike_payload.h"

static uint8_t out[70000];

/* The body of the one payload that `b` wrote, read back. */
static struct dt_span written(struct dt_ike_builder *b, uint8_t type)
{
    struct dt_ike_payloads list;
    struct dt_ike_header h;
    size_t len = dt_ike_build_end(b);
    if (!len || dt_ike_header_read(&h, out, len) ||
        dt_ike_payloads_read(&list, h.next, out + DT_IKE_HEADER_LEN, len - DT_IKE_HEADER_LEN) ||
        list.n != 1 || list.v[0].type != type)
        abort();
    return list.v[0].body;
}

static void begin(struct dt_ike_builder *b)
{
    struct dt_ike_header h = {.spi_i = 1, .exchange = DT_IKE_SA_INIT};
    dt_ike_build(b, out, sizeof(out), &h);
}

static void sa(struct dt_span body)
{
    static struct dt_proposals p, q;
    struct dt_ike_builder b;
    struct dt_proposal chosen;
    char text[DT_PROPOSAL_STRLEN];
    if (dt_ike_sa_read(&p, body))
        return;
    begin(&b);
    dt_ike_sa_write(&b, &p);
    if (!p.n || dt_ike_sa_read(&q, written(&b, DT_P_SA)) || q.n != p.n)
        abort();
    for (size_t i = 0; i < p.n; i++) {
        if (p.v[i].n != q.v[i].n || memcmp(p.v[i].spi, q.v[i].spi, 8) != 0)
            abort();
        dt_proposal_str(text, sizeof(text), &p.v[i]);
    }
    /* What is chosen from an offer is an answer to it. */
    struct dt_proposals own;
    dt_proposals_default(&own, p.v[0].protocol == DT_PROTO_IKE ? DT_PROTO_IKE : DT_PROTO_ESP);
    if (dt_proposals_choose(&chosen, &own, &p, DT_KE_X25519, 0)) {
        chosen.spi_len = 0;
        if (chosen.n > 5)
            abort();
    }
}

static void ts(struct dt_span body)
{
    struct dt_selectors p, q;
    struct dt_ike_builder b;
    if (dt_ike_ts_read(&p, NULL, body) || !p.n)
        return;
    begin(&b);
    dt_ike_ts_write(&b, DT_P_TSI, &p);
    if (dt_ike_ts_read(&q, NULL, written(&b, DT_P_TSI)) || !dt_selectors_eq(&p, &q))
        abort();
    struct dt_selectors narrow, allowed = {.n = 1, .v = {dt_selector_all4()}};
    if (dt_selectors_narrow(&narrow, &p, &allowed))
        for (size_t i = 0; i < narrow.n; i++)
            if (!dt_selectors_covers(&p, &narrow.v[i]) || !dt_selectors_covers(&allowed, &narrow.v[i]))
                abort();
}

static void cp(struct dt_span body)
{
    struct dt_ike_cp p, q;
    struct dt_ike_builder b;
    if (dt_ike_cp_read(&p, body))
        return;
    begin(&b);
    dt_ike_cp_write(&b, &p);
    if (dt_ike_cp_read(&q, written(&b, DT_P_CP)) || p.ndns != q.ndns || !dt_addr_eq(&p.addr4, &q.addr4) ||
        !dt_addr_eq(&p.addr6, &q.addr6) || p.has4 != q.has4 || p.has6 != q.has6)
        abort();
}

static void id(struct dt_span body)
{
    struct dt_ike_id p, q;
    struct dt_ike_builder b;
    char text[DT_IKE_ID_STRLEN];
    if (dt_ike_id_read(&p, body))
        return;
    begin(&b);
    dt_ike_id_write(&b, DT_P_IDI, &p);
    if (dt_ike_id_read(&q, written(&b, DT_P_IDI)) || !dt_ike_id_eq(&p, &q))
        abort();
    dt_ike_id_str(text, &p);
}

static void notify(struct dt_span body)
{
    struct dt_ike_notify_payload p, q;
    struct dt_ike_builder b;
    if (dt_ike_notify_read(&p, body))
        return;
    begin(&b);
    dt_ike_notify_write(&b, p.protocol, p.spi, p.type, p.data);
    if (dt_ike_notify_read(&q, written(&b, DT_P_NOTIFY)) || p.type != q.type || p.data.len != q.data.len)
        abort();
}

static void takes(struct dt_span body)
{
    struct dt_proposals p, q;
    uint8_t again[DT_IKE_TAKES_MAX];
    char say[400];
    bool more, rest;
    if (dt_ike_takes_read(&p, &more, DT_PROTO_ESP, body))
        return;
    dt_proposals_str(say, sizeof(say), &p);
    size_t len = dt_ike_takes_write(again, sizeof(again), &p);
    if (len != body.len || dt_ike_takes_read(&q, &rest, DT_PROTO_ESP, dt_span(again, len)) || q.n != p.n)
        abort();
}

static void allows(struct dt_span body)
{
    struct dt_selectors p, q;
    uint8_t again[64 + 40 * DT_SELECTORS_MAX];
    bool side, other;
    if (dt_ike_allows_read(&p, &side, body) || !p.n)
        return;
    size_t len = dt_ike_allows_write(again, sizeof(again), side, &p);
    if (!len || dt_ike_allows_read(&q, &other, dt_span(again, len)) || side != other ||
        !dt_selectors_eq(&p, &q))
        abort();
}

static void text(struct dt_span body)
{
    char in[200];
    struct dt_proposal p;
    struct dt_ike_id i;
    struct dt_selector s;
    size_t n = body.len < sizeof(in) - 1 ? body.len : sizeof(in) - 1;
    memcpy(in, body.p, n);
    in[n] = 0;
    (void)!dt_proposal_parse(&p, DT_PROTO_IKE, in, NULL);
    (void)!dt_proposal_parse(&p, DT_PROTO_ESP, in, NULL);
    (void)!dt_ike_id_parse(&i, in);
    (void)!dt_selector_parse(&s, in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const codecs[])(struct dt_span) = {sa, ts, cp, id, notify, text};
    if (len < 1 || len > 60000)
        return 0;
    (data[0] == 0xff   ? takes
     : data[0] == 0xfe ? allows
                       : codecs[data[0] % DT_ARRAY_LEN(codecs)])(dt_span(data + 1, len - 1));
    return 0;
}
