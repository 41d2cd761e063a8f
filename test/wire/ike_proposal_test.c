#include "support/test.h"

#include "wire/ike_proposal.h"

static struct dt_proposal prop(uint8_t protocol, const char *text)
{
    struct dt_proposal p;
    struct dt_err err = {0};
    if (dt_proposal_parse(&p, protocol, text, &err))
        fail_msg("%s: %s", text, err.text);
    return p;
}

static struct dt_proposals list(uint8_t protocol, const char *a, const char *b)
{
    struct dt_proposals l = {0};
    struct dt_proposal p = prop(protocol, a);
    assert_true(dt_proposals_add(&l, &p));
    if (b) {
        p = prop(protocol, b);
        assert_true(dt_proposals_add(&l, &p));
    }
    return l;
}

static void text_comes_back(void **state)
{
    static const char *const ike[] = {"aes128gcm16/aes256gcm16-prfsha256-x25519",
                                      "aes256-sha256-prfsha256-ecp384/modp2048"};
    char out[DT_PROPOSAL_STRLEN];
    struct dt_proposal p = prop(DT_PROTO_IKE, "aes128gcm16-aes256gcm-prfsha256-curve25519");
    assert_string_equal(dt_proposal_str(out, sizeof(out), &p), ike[0]);
    p = prop(DT_PROTO_IKE, "aes256-sha256-ecp384-modp2048"); /* the PRF goes by the integrity */
    assert_string_equal(dt_proposal_str(out, sizeof(out), &p), ike[1]);
    p = prop(DT_PROTO_IKE, "aes256gcm-sha384-ecp384"); /* with an AEAD, integrity words mean the PRF */
    assert_string_equal(dt_proposal_str(out, sizeof(out), &p), "aes256gcm16-prfsha384-ecp384");
    p = prop(DT_PROTO_ESP, "aes128gcm16"); /* both kinds of sequence numbers, the long ones first */
    assert_string_equal(dt_proposal_str(out, sizeof(out), &p), "aes128gcm16-esn/noesn");
    p.t[0].id = 7;
    assert_string_equal(dt_proposal_str(out, sizeof(out), &p), "encr7_128-esn/noesn");
    assert_true(strlen(dt_proposal_str(out, 9, &p)) < 9);
}

static void what_is_not_whole_is_refused(void **state)
{
    static const struct {
        uint8_t protocol;
        const char *text, *says;
    } bad[] = {
        {DT_PROTO_IKE, "aes128gcm16-prfsha256", "group"},
        {DT_PROTO_IKE, "x25519", "cipher"},
        {DT_PROTO_IKE, "aes128-x25519", "integrity"},
        {DT_PROTO_IKE, "aes128gcm16-aes128-sha256-x25519", "mixes"},
        {DT_PROTO_IKE, "aes128gcm16-x25519-esn", "sequence"},
        {DT_PROTO_ESP, "aes128gcm16-sha256", "integrity"},
        {DT_PROTO_ESP, "aes128gcm16-prfsha256", "PRF"},
        {DT_PROTO_ESP, "aes128gmc16", "aes128gmc16"},
        {DT_PROTO_ESP, "", "cipher"},
        {DT_PROTO_IKE, "aes128gcm16-nopfs", "group"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_proposal p;
        struct dt_err err = {0};
        assert_int_equal(dt_proposal_parse(&p, bad[i].protocol, bad[i].text, &err), -1);
        if (!strstr(err.text, bad[i].says))
            fail_msg("%s: %s", bad[i].text, err.text);
    }
}

static void choice(void **state)
{
    char out[DT_PROPOSAL_STRLEN];
    struct dt_proposal c;
    struct dt_proposals own =
        list(DT_PROTO_IKE, "aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256", "aes128-sha256-modp2048");
    struct dt_proposals offer =
        list(DT_PROTO_IKE, "aes128-sha256-x25519-modp2048", "aes128gcm16-prfsha512-prfsha256-ecp256-x25519");
    assert_true(dt_proposals_choose(&c, &own, &offer, 0, 0));
    assert_string_equal(dt_proposal_str(out, sizeof(out), &c), "aes128gcm16-prfsha256-x25519");
    assert_int_equal(c.number, 2);
    assert_true(dt_proposals_answers(&offer, &c, 0));
    assert_true(dt_proposals_choose(&c, &own, &offer, DT_KE_ECP_256, 0)); /* rather than ask for another KE */
    assert_string_equal(dt_proposal_str(out, sizeof(out), &c), "aes128gcm16-prfsha256-ecp256");
    struct dt_proposals no = list(DT_PROTO_IKE, "chacha20poly1305-prfsha256-x25519", NULL);
    assert_false(dt_proposals_choose(&c, &no, &offer, 0, 0));
    offer.v[0].t[0].unusable = offer.v[1].t[0].unusable = true;
    assert_false(dt_proposals_choose(&c, &own, &offer, 0, 0));
}

static void pfs(void **state)
{
    struct dt_proposal c;
    struct dt_proposals with = list(DT_PROTO_ESP, "aes128gcm16-x25519", NULL),
                        without = list(DT_PROTO_ESP, "aes128gcm16", NULL),
                        either = list(DT_PROTO_ESP, "aes128gcm16-x25519-nopfs", NULL);
    assert_false(dt_proposals_choose(&c, &with, &without, 0, 0));
    assert_false(dt_proposals_choose(&c, &without, &with, 0, 0));
    assert_true(dt_proposals_choose(&c, &with, &without, 0, DT_CHOOSE_NO_KE));
    assert_true(dt_proposals_choose(&c, &either, &with, 0, 0));
    assert_int_equal(dt_proposal_id(&c, DT_TRANSFORM_KE, NULL), DT_KE_X25519);
    assert_true(dt_proposals_choose(&c, &either, &without, 0, 0));
    assert_int_equal(dt_proposal_id(&c, DT_TRANSFORM_KE, NULL), 0);
    assert_true(dt_proposals_choose(&c, &without, &either, 0, 0));
    assert_true(dt_proposals_answers(&either, &c, 0));
    assert_false(dt_proposals_answers(&with, &c, 0));
}

/* RFC 7296 3.3.6: what has a transform type that is not understood is not chosen. */
static void unknown_transform_type(void **state)
{
    struct dt_proposal c;
    struct dt_proposals own = list(DT_PROTO_ESP, "aes128gcm16", NULL), offer = own;
    offer.v[0].t[offer.v[0].n++] = (struct dt_transform){.type = 6, .id = 1};
    assert_false(dt_proposals_choose(&c, &own, &offer, 0, 0));
}

static void answers_must_be_of_the_offer(void **state)
{
    struct dt_proposals offer = list(DT_PROTO_ESP, "aes128gcm16-aes256gcm16", NULL);
    struct dt_proposal a = prop(DT_PROTO_ESP, "aes256gcm16-noesn");
    a.number = 1;
    assert_true(dt_proposals_answers(&offer, &a, 0));
    a.number = 2;
    assert_false(dt_proposals_answers(&offer, &a, 0));
    a.number = 1;
    a.protocol = DT_PROTO_AH;
    assert_false(dt_proposals_answers(&offer, &a, 0));
    a = prop(DT_PROTO_ESP, "chacha20poly1305-noesn");
    a.number = 1;
    assert_false(dt_proposals_answers(&offer, &a, 0));
    a = prop(DT_PROTO_ESP, "aes128gcm16-aes256gcm16-noesn"); /* two of one type */
    a.number = 1;
    assert_false(dt_proposals_answers(&offer, &a, 0));
    a = offer.v[0];
    a.n = 1; /* no sequence numbers at all: 32 bits were among the offered */
    assert_true(dt_proposals_answers(&offer, &a, 0));
}

static void chacha_with_or_without_key_length(void **state)
{
    struct dt_proposal c;
    struct dt_proposals own = list(DT_PROTO_ESP, "chacha20poly1305", NULL), offer = own;
    offer.v[0].t[0].key_bits = 256; /* RFC 7634 section 4 forbids it; some send it */
    assert_true(dt_proposals_choose(&c, &own, &offer, 0, 0));
    assert_int_equal(dt_proposal_suite(&c).key_bits, 0);
}

static void defaults_choose_each_other(void **state)
{
    struct dt_proposals a;
    struct dt_proposal c;
    for (uint8_t protocol = DT_PROTO_IKE; protocol <= DT_PROTO_ESP; protocol += 2) {
        dt_proposals_default(&a, protocol);
        assert_int_equal(a.n, 2);
        assert_true(dt_proposals_choose(&c, &a, &a, 0, 0));
        assert_int_equal(dt_proposal_suite(&c).encr, DT_ENCR_AES_GCM_16);
        assert_true(dt_proposals_answers(&a, &c, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(text_comes_back),
                                       cmocka_unit_test(what_is_not_whole_is_refused),
                                       cmocka_unit_test(choice),
                                       cmocka_unit_test(pfs),
                                       cmocka_unit_test(unknown_transform_type),
                                       cmocka_unit_test(answers_must_be_of_the_offer),
                                       cmocka_unit_test(chacha_with_or_without_key_length),
                                       cmocka_unit_test(defaults_choose_each_other)};
    return TEST_RUN(tests);
}
