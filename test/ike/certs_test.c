/* IKE_AUTH by certificate: every kind of key, every method, who may prove itself how; and what each end is told when it may not. */
#include "ike/ike_net.h"

#include "ike/internal.h"
#include "support/certs.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];
static struct cert root, other_root, middle, anna, gate;

static int setup(void **state)
{
    cert_ca(&root, "Root", NULL);
    cert_ca(&other_root, "Other", NULL);
    cert_ca(&middle, "Middle", &root);
    cert_host(&anna, "host0.example.net", &root, DT_KEY_P256);
    cert_host(&gate, "host1.example.net", &root, DT_KEY_P256);
    return 0;
}

static int teardown(void **state)
{
    struct cert *const all[] = {&root, &other_root, &middle, &anna, &gate};
    for (size_t i = 0; i < DT_ARRAY_LEN(all); i++)
        cert_free(all[i]);
    dt_sig_key_unref(certs_rsa_key());
    return 0;
}

static void prove_by(struct net_host *h, const struct cert *c, const struct cert *above)
{
    dt_x509_own_unref(h->cfg.proofs.own);
    h->cfg.proofs.own = c ? certs_own((const struct cert *[]){c, above}, above ? 2 : 1) : NULL;
}

static void trust_in(struct net_host *h, const struct cert *ca, enum dt_x509_crl crl)
{
    dt_x509_trust_unref(h->cfg.proofs.trust);
    h->cfg.proofs.trust = ca ? certs_trust(crl, &ca, 1) : NULL;
}

static void begin(uint64_t seed)
{
    net_init(&net, seed, 2, dt_crypto_openssl());
    net.wall = CERTS_NOW;
    a->psk = b->psk = NULL;
    prove_by(a, &anna, NULL);
    prove_by(b, &gate, NULL);
    trust_in(a, &root, DT_CRL_SOFT);
    trust_in(b, &root, DT_CRL_SOFT);
    a->cfg.remote_id = b->cfg.local_id;
    a->cfg.send_idr = true;
}

static void finish(void)
{
    if (a->session)
        dt_ike_close(a->session, net.now, false);
    net_run(&net, DT_NEVER);
    net_check_empty(a);
    net_check_empty(b);
    prove_by(a, NULL, NULL);
    prove_by(b, NULL, NULL);
    trust_in(a, NULL, DT_CRL_SOFT);
    trust_in(b, NULL, DT_CRL_SOFT);
    net_free(&net);
}

static void come_up(void)
{
    net_open(&net, 0, 1);
    if (!net_run_until(&net, 30 * DT_SEC, net_children_are_up))
        fail_msg("%s; %s", a->last_down.text, b->last_down.text);
    net_run(&net, net.now + DT_SEC);
    net_check_pairs(a, b);
}

/* Neither end has a session; the one that refuses says why, the other that it was not taken. */
static void fail_to_come_up(const char *why_a, const char *why_b)
{
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 200 * DT_SEC, net_over));
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(net_children_up(a), 0);
    assert_int_equal(net_children_up(b), 0);
    assert_null(a->session);
    assert_null(b->session);
    if (!strstr(a->last_down.text, why_a) || !strstr(b->last_down.text, why_b))
        fail_msg("initiator: %s\nresponder: %s", a->last_down.text, b->last_down.text);
    assert_int_equal(a->last_down.notify, DT_N_AUTHENTICATION_FAILED);
}

static uint8_t methods(struct net_host *h)
{
    struct dt_ike_session_info info;
    dt_ike_session_info(h->session, &info);
    return (uint8_t)(info.own_method << 4 | info.peer_method);
}

/* ---- who comes up ---- */

static void every_kind_of_key(void **state)
{
    static const enum dt_key_kind kinds[] = {DT_KEY_RSA, DT_KEY_P256, DT_KEY_P384, DT_KEY_P521,
                                             DT_KEY_ED25519};
    for (size_t i = 0; i < DT_ARRAY_LEN(kinds); i++)
        for (size_t k = 0; k < DT_ARRAY_LEN(kinds); k++) {
            struct cert x, y;
            struct dt_ike_session_info info;
            begin(i * 8 + k);
            cert_host(&x, "host0.example.net", &root, kinds[i]);
            cert_host(&y, "host1.example.net", &middle, kinds[k]);
            prove_by(a, &x, NULL);
            prove_by(b, &y, &middle);
            come_up();
            assert_int_equal(methods(a), 0xee);
            assert_int_equal(methods(b), 0xee);
            dt_ike_session_info(a->session, &info);
            assert_non_null(strstr(info.peer_cert, "CN=host1.example.net, serial "));
            assert_non_null(strstr(info.peer_cert, "CN=Middle"));
            assert_int_equal(info.peer_cert_until, CERTS_NOW + CERTS_YEAR);
            dt_ike_session_info(b->session, &info);
            assert_non_null(strstr(info.peer_cert, "CN=host0.example.net, serial "));
            finish();
            cert_free(&x);
            cert_free(&y);
        }
}

static void every_kind_of_identity(void **state)
{
    static const char *const id[] = {"vpn.example.net", "anna@example.net", "192.0.2.77", "2001:db8::7"};
    for (size_t i = 0; i < DT_ARRAY_LEN(id); i++) {
        struct cert c;
        begin(i);
        cert_host(&c, id[i], &root, DT_KEY_P256);
        assert_int_equal(dt_ike_id_parse(&a->cfg.local_id, id[i]), 0);
        prove_by(a, &c, NULL);
        come_up();
        finish();
        cert_free(&c);
    }
    begin(9); /* the subject as a whole */
    assert_int_equal(dt_ike_id_parse(&a->cfg.local_id, "cn=HOST0.example.net"), 0);
    come_up();
    finish();
}

/* Signatures and checks are jobs, none inside a call; and what is lost on the way is asked for again. */
static void as_jobs(void **state)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        begin(seed);
        net.job_delay = 300 * DT_MSEC;
        net.loss = 20;
        net.dup = 20;
        net.reorder = 10;
        net_restart(&net, 0);
        net_restart(&net, 1);
        come_up();
        assert_int_equal(b->ups, 1);
        assert_int_equal(methods(a), 0xee);
        net.loss = net.dup = net.reorder = 0;
        finish();
    }
    begin(77);
    net.job_delay = 100 * DT_MSEC;
    net_restart(&net, 0);
    net_restart(&net, 1);
    come_up();
    /* a: pair, secret, own signature, the gateway's proof; b: both of the key exchange at once, both of IKE_AUTH at once. */
    assert_int_equal(dt_ike_counters(a->ike)->works, 4);
    assert_int_equal(dt_ike_counters(b->ike)->works, 2);
    finish();
}

/* The session ends while its proof is looked at. */
static void nobody_waits_any_more(void **state)
{
    begin(5);
    net.job_delay = 5 * DT_SEC;
    net_restart(&net, 0);
    net_restart(&net, 1);
    for (dt_time after = 0; after < 20 * DT_SEC; after += 700 * DT_MSEC) {
        struct dt_ike_session *s = net_open(&net, 0, 1);
        net_run(&net, net.now + after);
        dt_ike_close(s, net.now, false);
        net_run(&net, net.now + 60 * DT_SEC);
    }
    finish();
}

/* Takes SIGNATURE_HASH_ALGORITHMS out of IKE_SA_INIT by making it another number. */
static bool without_rfc7427(struct net *n, struct net_packet *p)
{
    static const uint8_t type[2] = {DT_N_SIGNATURE_HASH_ALGORITHMS >> 8,
                                    DT_N_SIGNATURE_HASH_ALGORITHMS & 0xff};
    uint8_t *at = p->exchange == DT_IKE_SA_INIT ? memmem(p->data, p->len, type, 2) : NULL;
    if (at)
        at[1]++; /* the signatures do not know: what was sent is kept before */
    return false;
}

static void peers_that_know_no_rfc7427(void **state)
{
    static const struct {
        enum dt_key_kind kind;
        bool sha1;
        uint8_t method;
    } cases[] = {{DT_KEY_P256, false, 9}, {DT_KEY_P384, false, 10}, {DT_KEY_P521, false, 11},
                 {DT_KEY_RSA, true, 1},   {DT_KEY_RSA, false, 0},   {DT_KEY_ED25519, true, 0}};
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        struct cert x;
        begin(i);
        net.filter = without_rfc7427;
        cert_host(&x, "host0.example.net", &root, cases[i].kind);
        prove_by(a, &x, NULL);
        a->cfg.proofs.rsa_sha1 = b->cfg.proofs.rsa_sha1 = cases[i].sha1;
        net_open(&net, 0, 1);
        net_run_until(&net, 200 * DT_SEC, net_over);
        /* The initiator's octets are another's now, so that its signature is wrong; its method is what is asked here. */
        struct dt_ike_session *s = NULL;
        dt_list_for_each (l, &b->ike->sessions)
            s = DT_CONTAINER_OF(l, struct dt_ike_session, link);
        if (cases[i].method) {
            assert_non_null(s);
            assert_int_equal(s->hs->peer_method, cases[i].method);
            assert_non_null(strstr(b->last_down.text, "is not one of its key"));
        } else {
            assert_non_null(strstr(a->last_down.text, "does not know RFC 7427"));
            assert_int_equal(strstr(a->last_down.text, "rsa_sha1 = yes, which is weak") != NULL,
                             cases[i].kind == DT_KEY_RSA);
        }
        cert_free(&x);
        net.filter = NULL;
        finish();
    }
}

/* ---- certificates and pre-shared keys together ---- */

static void both_kinds_of_clients(void **state)
{
    begin(1);
    b->psk = NET_PSK;
    come_up();
    assert_int_equal(methods(b), 0xee);
    finish();

    begin(2);
    a->psk = b->psk = NET_PSK;
    prove_by(a, NULL, NULL);
    trust_in(a, NULL, DT_CRL_SOFT);
    come_up();
    assert_int_equal(methods(a), 0x22);
    assert_int_equal(methods(b), 0x22); /* as its peer does */
    finish();

    begin(3); /* a pre-shared key one way, a certificate the other */
    a->psk = b->psk = NET_PSK;
    prove_by(a, NULL, NULL);
    b->cfg.proofs.own_always = true;
    come_up();
    assert_int_equal(methods(a), 0x2e);
    assert_int_equal(methods(b), 0xe2);
    finish();
}

static void who_must_show_a_certificate_shows_one(void **state)
{
    static const struct dt_ike_may certificate = {.certificate = true}, psk = {.psk = true},
                                   nothing = {.psk = false};
    begin(1); /* an initiator that trusts authorities takes no pre-shared key */
    a->psk = b->psk = NET_PSK;
    prove_by(a, NULL, NULL);
    fail_to_come_up(
        "host1.example.net proves itself by pre-shared key (method 2); here it may by certificate",
        "the peer could not verify who we are");
    finish();

    begin(2);
    a->psk = b->psk = NET_PSK;
    prove_by(a, NULL, NULL);
    trust_in(a, NULL, DT_CRL_SOFT);
    b->may = &certificate;
    fail_to_come_up(
        "wrong identity or pre-shared key",
        "host0.example.net proves itself by pre-shared key (method 2); here it may by certificate");
    finish();

    begin(3);
    b->may = &psk;
    fail_to_come_up("we showed the certificate CN=host0.example.net, serial ",
                    "host0.example.net proves itself by digital signature (method 14); here it may by "
                    "pre-shared key (method 2)");
    finish();

    begin(4);
    b->may = &nothing;
    fail_to_come_up("AUTHENTICATION_FAILED", "here it may by nothing");
    finish();

    begin(5); /* no authorities: no certificates, whatever the driver says */
    trust_in(b, NULL, DT_CRL_SOFT);
    b->may = &certificate;
    fail_to_come_up("AUTHENTICATION_FAILED", "here it may by nothing");
    finish();
}

/* ---- who does not ---- */

static void a_client_that_is_not_believed(void **state)
{
    static const struct {
        const char *name;
        const struct cert *by;
        int64_t later;
        const char *why;
    } cases[] = {
        {"host7.example.net", &root, 0, "host0.example.net: its certificate CN=host7.example.net, serial "},
        {"host0.example.net", &other_root, 0, "is of no authority that is trusted here (O=Test, CN=Root)"},
        {"host0.example.net", NULL, 0, "is of no authority that is trusted here"},
        {"host0.example.net", &middle, 0,
         "is of no authority that is trusted here"}, /* without its intermediate */
        {"host0.example.net", &root, 2 * CERTS_YEAR, "expired on 2028-01-15 08:00:00 UTC; it is "},
        {"host0.example.net", &root, -2 * CERTS_YEAR, "is valid only from 2026-01-15 08:00:00 UTC; it is "},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        struct cert c;
        begin(i);
        cert_host(&c, cases[i].name, cases[i].by, DT_KEY_P256);
        prove_by(a, &c, NULL);
        net.wall = CERTS_NOW + cases[i].later;
        fail_to_come_up(
            "the peer answers AUTHENTICATION_FAILED to host0.example.net; we showed the certificate CN=",
            cases[i].why);
        assert_int_equal(b->ups, 0);
        assert_int_equal(dt_ike_counters(b->ike)->auth_failed, 1);
        assert_null(strstr(a->last_down.text, cases[i].why));
        cert_free(&c);
        finish();
    }
}

static void a_gateway_that_is_not_believed(void **state)
{
    struct cert c;
    struct dt_x509_draft d = cert_draft("x", &root);
    begin(1);
    cert_host(&c, "host1.example.net", &other_root, DT_KEY_P256);
    prove_by(b, &c, NULL);
    fail_to_come_up(
        "host1.example.net: the certificate CN=host1.example.net, serial ",
        "the peer could not verify who we are; we showed the certificate CN=host1.example.net, serial ");
    assert_int_equal(a->ups, 0);
    finish();
    cert_free(&c);

    begin(2); /* a client's certificate does not make a gateway */
    d.n = 1;
    d.name[0] = (struct dt_x509_name){DT_X509_DNS, "host1.example.net"};
    d.purposes = DT_X509_FOR_CLIENT;
    cert_issue(&c, &d);
    prove_by(b, &c, NULL);
    fail_to_come_up("is for another purpose", "the peer could not verify who we are");
    finish();
    cert_free(&c);
}

static void revoked_clients(void **state)
{
    begin(1);
    certs_revoke(b->cfg.proofs.trust, &root, (const struct cert *[]){&anna}, 1, CERTS_NOW - CERTS_DAY,
                 CERTS_NOW + CERTS_DAY);
    fail_to_come_up("AUTHENTICATION_FAILED", "was revoked on 2027-01-14 08:00:00 UTC");
    finish();

    begin(2);
    trust_in(b, &root, DT_CRL_STRICT);
    fail_to_come_up("AUTHENTICATION_FAILED", "there is no CRL of O=Test, CN=Root");
    finish();

    begin(3);
    trust_in(b, &root, DT_CRL_STRICT);
    certs_revoke(b->cfg.proofs.trust, &root, NULL, 0, CERTS_NOW - CERTS_DAY, CERTS_NOW + CERTS_DAY);
    come_up();
    finish();

    begin(4);
    trust_in(b, &root, DT_CRL_STRICT);
    certs_revoke(b->cfg.proofs.trust, &root, NULL, 0, CERTS_NOW - CERTS_DAY, CERTS_NOW - 1);
    fail_to_come_up("AUTHENTICATION_FAILED", "was to be replaced by 2027-01-15 07:59:59 UTC");
    finish();
}

/* Somebody has the certificate, and not its key. */
static void a_certificate_alone_proves_nothing(void **state)
{
    struct cert thief;
    begin(1);
    cert_host(&thief, "host0.example.net", &root, DT_KEY_P256);
    struct dt_x509_own *own = certs_own((const struct cert *[]){&thief}, 1);
    dt_x509_own_unref(a->cfg.proofs.own);
    a->cfg.proofs.own = own;
    /* Its certificate in the message becomes anna's, of the same length or not: swapped inside the object. */
    struct dt_span *der = (struct dt_span *)(uintptr_t)memmem(
        own, 300, &(const uint8_t *){dt_x509_own_der(own, 0).p}, sizeof(void *));
    assert_non_null(der);
    struct dt_span was = *der;
    *der = cert_span(&anna);
    fail_to_come_up("AUTHENTICATION_FAILED", "host0.example.net: the signature by ECDSA with SHA2-256 is not "
                                             "one of its key, which is ECDSA P-256");
    *der = was;
    finish();
    cert_free(&thief);
}

static void keys_ids_are_proved_by_no_certificate(void **state)
{
    begin(1);
    assert_int_equal(dt_ike_id_parse(&a->cfg.local_id, "keyid:anna"), 0);
    fail_to_come_up("AUTHENTICATION_FAILED",
                    "keyid:anna signs, and no certificate proves an identity of that kind");
    finish();
}

/* ---- while a session is up ---- */

static bool gone(struct net *n)
{
    return !a->session && !b->session;
}

static void a_session_ends_with_the_certificate(void **state)
{
    struct dt_x509_draft d = cert_draft("host0.example.net", &root);
    struct cert c;
    d.n = 1;
    d.name[0] = (struct dt_x509_name){DT_X509_DNS, "host0.example.net"};
    d.until = CERTS_NOW + 100;
    cert_issue(&c, &d);
    begin(1);
    net.params.keepalive = DT_NEVER;
    net_restart(&net, 0);
    net_restart(&net, 1);
    prove_by(a, &c, NULL);
    come_up();
    net_run(&net, net.now + 95 * DT_SEC);
    assert_non_null(b->session);
    net.wall += 101;
    assert_true(net_run_until(&net, 20 * DT_SEC, gone));
    assert_int_equal(b->proofs_lost, 1);
    assert_int_equal(a->proofs_lost, 0);
    assert_non_null(
        strstr(b->last_proof.text, "host0.example.net: its certificate CN=host0.example.net, serial "));
    assert_non_null(strstr(b->last_proof.text, "has expired meanwhile"));
    cert_free(&c);
    finish();
}

static void a_session_is_judged_again(void **state)
{
    for (int jobs = 0; jobs < 2; jobs++) {
        begin((uint64_t)jobs);
        net.job_delay = jobs ? 50 * DT_MSEC : 0;
        net_restart(&net, 0);
        net_restart(&net, 1);
        come_up();
        struct dt_x509_trust *now = certs_trust(DT_CRL_SOFT, (const struct cert *[]){&root, &other_root}, 2),
                             *other = certs_trust(DT_CRL_SOFT, (const struct cert *[]){&other_root}, 1);
        dt_ike_session_recheck(b->session, net.now, now);
        net_run(&net, net.now + DT_SEC);
        assert_non_null(b->session);
        dt_ike_session_recheck(b->session, net.now, other); /* which is asked no more */
        dt_ike_session_recheck(b->session, net.now, now);
        net_run(&net, net.now + DT_SEC);
        assert_int_equal(b->session != NULL, jobs); /* at once, or it was never told */
        if (jobs) {
            certs_revoke(now, &root, (const struct cert *[]){&anna}, 1, CERTS_NOW - CERTS_DAY,
                         CERTS_NOW + CERTS_DAY);
            dt_ike_session_recheck(b->session, net.now, now);
            assert_true(net_run_until(&net, 5 * DT_SEC, gone));
            assert_non_null(strstr(b->last_proof.text, "was revoked on"));
        }
        assert_int_equal(b->proofs_lost, 1);
        dt_x509_trust_unref(now);
        dt_x509_trust_unref(other);
        net_run(&net, net.now + DT_SEC);
        finish();
    }
    begin(3); /* it ends while it is judged */
    net.job_delay = DT_SEC;
    net_restart(&net, 1);
    come_up();
    net_run(&net, net.now + 5 * DT_SEC);
    dt_ike_session_recheck(b->session, net.now, b->cfg.proofs.trust);
    dt_ike_close(b->session, net.now, true);
    b->session = NULL;
    dt_ike_close(a->session, net.now, true);
    a->session = NULL;
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < net.host[i].nchild; k++)
            net.host[i].child[k].up = false;
    net_run(&net, net.now + 5 * DT_SEC);
    finish();
}

/* ---- what strangers cost ---- */

static void work_is_paid_for_and_given_back(void **state)
{
    begin(1);
    net.params.door.work_rate_source = 1000; /* us a second: one proof, and no second at once */
    net_restart(&net, 1);
    for (int i = 0; i < 8; i++) {
        net_open(&net, 0, 1);
        net_run(&net, net.now + 200 * DT_MSEC);
        assert_non_null(a->session);
        dt_ike_close(a->session, net.now, false);
        net_run(&net, net.now + 100 * DT_MSEC);
    }
    assert_int_equal(dt_ike_counters(b->ike)->auth_put_off, 0);
    finish();

    struct cert c;
    begin(2);
    net.params.door.work_rate_source = 1000;
    net_restart(&net, 1);
    cert_host(&c, "host0.example.net", &other_root, DT_KEY_P256);
    prove_by(a, &c, NULL);
    for (int i = 0; i < 10; i++)
        net_open(&net, 0, 1);
    net_run(&net, net.now + 100 * DT_MSEC);
    assert_true(dt_ike_counters(b->ike)->auth_failed >= 1);
    assert_true(dt_ike_counters(b->ike)->auth_failed <= 3);
    assert_true(dt_ike_counters(b->ike)->auth_put_off >= 7);
    net_run(&net, net.now + 60 * DT_SEC);
    assert_int_equal(dt_ike_counters(b->ike)->auth_failed, 10); /* all in their turn */
    finish();
    cert_free(&c);
}

/* Nobody gets more octets than he sent: with many authorities the request for certificates becomes an empty one. */
static struct {
    size_t request, answer, certreq;
} seen;

static bool look_at_init(struct net *n, struct net_packet *p)
{
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    if (p->exchange != DT_IKE_SA_INIT || dt_ike_header_read(&h, p->data, p->len) ||
        dt_ike_payloads_read(&list, h.next, p->data + DT_IKE_HEADER_LEN, p->len - DT_IKE_HEADER_LEN))
        return false;
    const struct dt_ike_payload *req = dt_ike_find(&list, DT_P_CERTREQ);
    if (p->response) {
        seen.answer = p->len;
        seen.certreq = req ? req->body.len : 0;
    } else {
        seen.request = p->len;
    }
    return false;
}

static void requests_for_certificates(void **state)
{
    struct cert ca[20];
    for (size_t n = 1; n <= 20; n++)
        cert_ca(&ca[n - 1], "Many", NULL);
    static const size_t counts[] = {1, 4, 16, 17};
    for (size_t i = 0; i < DT_ARRAY_LEN(counts); i++) {
        begin(i);
        net.filter = look_at_init;
        for (size_t k = 1; k < counts[i]; k++)
            assert_int_equal(
                dt_x509_trust_add_ca(b->cfg.proofs.trust, dt_span(ca[k].a.cert.p, ca[k].a.cert.len), NULL),
                0);
        come_up();
        assert_true(seen.answer <= seen.request);
        size_t full = 1 + 20 * counts[i];
        assert_true(seen.certreq == 1 || seen.certreq == full);
        assert_true(counts[i] > 4 || seen.certreq == full);
        assert_true(counts[i] < 17 || seen.certreq == 1);
        finish();
    }
    for (size_t n = 0; n < 20; n++)
        cert_free(&ca[n]);
    /* Without authorities nothing of it is in the exchange. */
    begin(9);
    net.filter = look_at_init;
    a->psk = b->psk = NET_PSK;
    prove_by(a, NULL, NULL);
    trust_in(a, NULL, DT_CRL_SOFT);
    trust_in(b, NULL, DT_CRL_SOFT);
    come_up();
    assert_int_equal(seen.certreq, 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key),
        cmocka_unit_test(every_kind_of_identity),
        cmocka_unit_test(as_jobs),
        cmocka_unit_test(nobody_waits_any_more),
        cmocka_unit_test(peers_that_know_no_rfc7427),
        cmocka_unit_test(both_kinds_of_clients),
        cmocka_unit_test(who_must_show_a_certificate_shows_one),
        cmocka_unit_test(a_client_that_is_not_believed),
        cmocka_unit_test(a_gateway_that_is_not_believed),
        cmocka_unit_test(revoked_clients),
        cmocka_unit_test(a_certificate_alone_proves_nothing),
        cmocka_unit_test(keys_ids_are_proved_by_no_certificate),
        cmocka_unit_test(a_session_ends_with_the_certificate),
        cmocka_unit_test(a_session_is_judged_again),
        cmocka_unit_test(work_is_paid_for_and_given_back),
        cmocka_unit_test(requests_for_certificates),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, setup, teardown);
}
