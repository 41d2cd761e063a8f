#include "ike/rewrite.h"

void rewrite(struct net *net, const struct net_packet *p, rewrite_fn write, void *ctx)
{
    uint8_t in[8000], out[16000];
    struct dt_ike_header h;
    struct dt_ike_payloads outer, inner;
    struct dt_ike_sk open;
    struct dt_ike_builder w;
    assert_true(p->len <= sizeof(in));
    memcpy(in, p->data, p->len);
    assert_int_equal(dt_ike_header_read(&h, in, p->len), 0);
    assert_int_equal(dt_ike_payloads_read(&outer, h.next, in + DT_IKE_HEADER_LEN, p->len - DT_IKE_HEADER_LEN),
                     0);
    struct ike_sa *sa =
        ike_sa_by_spi(net->host[p->from].ike, h.flags & DT_IKE_FLAG_INITIATOR ? h.spi_i : h.spi_r);
    assert_non_null(sa);
    dt_ike_build(&w, out, sizeof(out), &h);
    const struct dt_ike_payload *sk = dt_ike_find(&outer, DT_P_SK);
    if (sk) {
        assert_int_equal(
            dt_ike_sk_split(in, sk, sa->seal->iv_len, sa->seal->block_len, sa->seal->icv_len, &open), 0);
        assert_int_equal(dt_ike_sk_payloads(&inner, sk, &open), 0);
        dt_ike_sk_begin(&w, sa->seal->iv_len);
    } else {
        inner = outer;
    }
    write(&w, &inner, ctx);
    size_t len = sk ? ike_sk_end(sa, &w) : dt_ike_build_end(&w);
    assert_true(len > 0);
    net_inject(net, p->from, &p->path, out, len, p->at);
}

void rewrite_one(struct dt_ike_builder *w, const struct dt_ike_payloads *in, uint8_t type,
                 struct dt_span body)
{
    const struct dt_ike_payload *one = dt_ike_find(in, type);
    assert_non_null(one);
    for (size_t i = 0; i < in->n; i++)
        if (&in->v[i] != one)
            dt_ike_raw_write(w, in->v[i].type, in->v[i].body);
        else if (body.len)
            dt_ike_raw_write(w, type, body);
}
