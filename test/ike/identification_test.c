/* The identification payload: AUTH covers its body as it was sent (RFC 7296 section 2.15), also the octets that nobody
 * reads. */
#include "ike/rewrite.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

/* The keys of the handshake, which the responder has forgotten when its answer flies. */
static struct ike_handshake keys;
static uint8_t init_request[2000], init_answer[2000];
static size_t nrequest, nanswer;
static bool of_initiator, done;
static const uint8_t reserved[3] = {0xa5, 0x01, 0xff};

/* AUTH = prf (prf (PSK, pad), message 1 or 2 | the other's nonce | prf (SK_px, ID')) of a body. */
static size_t auth_of(struct dt_span body, uint8_t *out)
{
    static const char pad[] = "Key Pad for IKEv2";
    uint8_t key[DT_PRF_MAX], maced[DT_PRF_MAX];
    struct ike_sa *sa = DT_CONTAINER_OF(
        DT_CONTAINER_OF(a->ike->sessions.next, struct dt_ike_session, link)->sas.next, struct ike_sa, link);
    size_t prf = dt_prf_len(sa->prf);
    struct dt_span padding = dt_span(pad, sizeof(pad) - 1);
    assert_int_equal(dt_prf(net.crypto, sa->prf, dt_span(NET_PSK, strlen(NET_PSK)), &padding, 1, key, NULL),
                     0);
    assert_int_equal(dt_prf(net.crypto, sa->prf, dt_span(of_initiator ? keys.sk_pi : keys.sk_pr, prf), &body,
                            1, maced, NULL),
                     0);
    struct dt_span octets[] = {of_initiator ? dt_span(init_request, nrequest) : dt_span(init_answer, nanswer),
                               of_initiator ? ike_nonce_span(&keys.peer_nonce)
                                            : dt_span(keys.nonce, IKE_NONCE_LEN),
                               dt_span(maced, prf)};
    assert_int_equal(dt_prf(net.crypto, sa->prf, dt_span(key, prf), octets, 3, out, NULL), 0);
    return prf;
}

static void with_reserved(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    uint8_t body[4 + DT_IKE_ID_MAX], auth[DT_PRF_MAX];
    uint8_t type = of_initiator ? DT_P_IDI : DT_P_IDR;
    for (size_t i = 0; i < in->n; i++) {
        const struct dt_ike_payload *p = &in->v[i];
        if (p->type == type) {
            memcpy(body, p->body.p, p->body.len);
            memcpy(body + 1, reserved, sizeof(reserved));
            dt_ike_raw_write(w, type, dt_span(body, p->body.len));
        } else if (p->type == DT_P_AUTH) {
            size_t id_len = dt_ike_find(in, type)->body.len;
            dt_ike_auth_write(w, DT_IKE_AUTH_PSK, dt_span(auth, auth_of(dt_span(body, id_len), auth)));
        } else {
            dt_ike_raw_write(w, p->type, p->body);
        }
    }
}

static bool rewrite_auth(struct net *n, struct net_packet *p)
{
    if (p->exchange == DT_IKE_SA_INIT) {
        memcpy(p->response ? init_answer : init_request, p->data, p->len);
        *(p->response ? &nanswer : &nrequest) = p->len;
    }
    if (p->exchange != DT_IKE_AUTH || done)
        return false;
    if (!p->response)
        keys = *DT_CONTAINER_OF(a->ike->sessions.next, struct dt_ike_session, link)->hs;
    if (p->response == of_initiator)
        return false;
    done = true;
    rewrite(n, p, with_reserved, NULL);
    return true;
}

static void comes_up(bool initiator)
{
    of_initiator = initiator;
    done = false;
    net_init(&net, 7, 2, dt_crypto_null());
    net.filter = rewrite_auth;
    net_come_up(&net);
    assert_true(done);
    assert_int_equal(dt_ike_counters(a->ike)->auth_failed + dt_ike_counters(b->ike)->auth_failed, 0);
    net_finish(&net);
}

static void reserved_octets_of_the_initiators_identity_are_authenticated(void **state)
{
    comes_up(true);
}

static void reserved_octets_of_the_responders_identity_are_authenticated(void **state)
{
    comes_up(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserved_octets_of_the_initiators_identity_are_authenticated),
        cmocka_unit_test(reserved_octets_of_the_responders_identity_are_authenticated),
    };
    return TEST_RUN(tests);
}
