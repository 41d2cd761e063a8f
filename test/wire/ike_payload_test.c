#include "support/test.h"

#include "wire/ike_payload.h"

static uint8_t buf[4096];

static void begin(struct dt_ike_builder *b)
{
    struct dt_ike_header h = {.spi_i = 1, .exchange = DT_IKE_SA_INIT};
    dt_ike_build(b, buf, sizeof(buf), &h);
}

static struct dt_span written(struct dt_ike_builder *b, uint8_t type)
{
    static struct dt_ike_payloads list;
    size_t len = dt_ike_build_end(b);
    assert_true(len > 0);
    assert_int_equal(dt_ike_payloads_read(&list, type, buf + 28, len - 28), 0);
    assert_int_equal(list.n, 1);
    return list.v[0].body;
}

static struct dt_span hex(uint8_t *out, size_t cap, const char *text)
{
    long n = dt_unhex(out, cap, text);
    assert_true(n >= 0);
    return dt_span(out, (size_t)n);
}

static void security_association(void **state)
{
    /* One ESP proposal by hand from RFC 7296 figures 7 to 9: AES-GCM-16 with 128 bits, no ESN. */
    uint8_t raw[100], other[100];
    struct dt_span body = hex(
        raw, sizeof(raw), "0000 0020 0103 0402 aabbccdd  0300 000c 0100 0014 800e 0080  0000 0008 0500 0000");
    struct dt_proposals list;
    struct dt_ike_builder b;
    assert_int_equal(dt_ike_sa_read(&list, body), 0);
    assert_int_equal(list.n, 1);
    assert_int_equal(list.v[0].protocol, DT_PROTO_ESP);
    assert_int_equal(list.v[0].spi_len, 4);
    assert_int_equal(dt_get_be32(list.v[0].spi), 0xaabbccdd);
    uint16_t bits;
    assert_int_equal(dt_proposal_id(&list.v[0], DT_TRANSFORM_ENCR, &bits), DT_ENCR_AES_GCM_16);
    assert_int_equal(bits, 128);
    begin(&b);
    dt_ike_sa_write(&b, &list);
    struct dt_span again = written(&b, DT_P_SA);
    assert_int_equal(again.len, body.len);
    assert_memory_equal(again.p, body.p, body.len);
    for (size_t n = 0; n < body.len; n++)
        assert_int_equal(dt_ike_sa_read(&list, dt_span(raw, n)), -1);
    /* What a byte more or less does to each length and count. */
    static const uint8_t at[] = {0, 3, 6, 7, 12, 15, 24, 27};
    for (size_t i = 0; i < sizeof(at); i++) {
        memcpy(other, raw, body.len);
        other[at[i]] ^= 1;
        assert_int_equal(dt_ike_sa_read(&list, dt_span(other, body.len)), -1);
    }
    /* An attribute that is not known makes the transform unusable, not the message malformed. */
    memcpy(other, raw, body.len);
    other[21] = 0x0f;
    assert_int_equal(dt_ike_sa_read(&list, dt_span(other, body.len)), 0);
    assert_true(list.v[0].t[0].unusable);
}

static void what_would_be_taken(void **state)
{
    uint8_t data[DT_IKE_TAKES_MAX + 1];
    struct dt_proposals own, back;
    bool more;
    char a[600], b[600];
    for (uint8_t protocol = DT_PROTO_IKE; protocol <= DT_PROTO_ESP; protocol += 2) {
        dt_proposals_default(&own, protocol);
        size_t len = dt_ike_takes_write(data, DT_IKE_TAKES_MAX, &own);
        assert_int_equal(dt_ike_takes_read(&back, &more, protocol, dt_span(data, len)), 0);
        assert_false(more);
        assert_string_equal(dt_proposals_str(a, sizeof(a), &own), dt_proposals_str(b, sizeof(b), &back));
        struct dt_proposal chosen; /* it is a whole list of proposals: choices can be made from it */
        assert_true(dt_proposals_choose(&chosen, &own, &back, 0, 0));
        /* Whole proposals alone, in as much room as there is. */
        size_t first = 5 + 1 + 4u * own.v[0].n;
        assert_int_equal(dt_ike_takes_write(data, first - 1, &own), 0);
        assert_int_equal(dt_ike_takes_write(data, len - 1, &own), first);
        assert_int_equal(dt_ike_takes_read(&back, &more, protocol, dt_span(data, first)), 0);
        assert_true(more && back.n == 1);
        for (size_t n = 0; n < first; n++)
            assert_int_equal(dt_ike_takes_read(&back, &more, protocol, dt_span(data, n)), -1);
        data[3] ^= 1; /* another version */
        assert_int_equal(dt_ike_takes_read(&back, &more, protocol, dt_span(data, first)), -1);
    }
    memset(data, 1, sizeof(data));
    memcpy(data, "DTT\1", 4);
    assert_int_equal(dt_ike_takes_read(&back, &more, DT_PROTO_IKE, dt_span(data, sizeof(data))), -1);
}

static void many_transforms(void **state)
{
    struct dt_proposals big = {.n = DT_PROPOSALS_MAX}, list;
    struct dt_ike_builder b;
    for (size_t i = 0; i < big.n; i++) {
        big.v[i] = (struct dt_proposal){.protocol = DT_PROTO_IKE, .number = (uint8_t)(i + 1), .n = 30};
        for (uint16_t k = 0; k < 30; k++)
            big.v[i].t[k] = (struct dt_transform){.type = 1, .id = k};
    }
    begin(&b);
    dt_ike_sa_write(&b, &big);
    assert_int_equal(dt_ike_sa_read(&list, written(&b, DT_P_SA)), 0);
    assert_int_equal(list.n, DT_PROPOSALS_MAX);
    assert_int_equal(list.v[11].t[29].id, 29);
}

/* What can be chosen is found behind any number of proposals and transforms that cannot. */
static void a_good_proposal_behind_bad_ones(void **state)
{
    static struct dt_proposals list, own;
    static uint8_t body[32000];
    struct dt_proposal good, chosen;
    struct dt_err err = {0};
    own.n = 0;
    assert_int_equal(dt_proposal_parse(&good, DT_PROTO_IKE, "aes256gcm16-prfsha384-ecp384", &err), 0);
    dt_proposals_add(&own, &good);
    for (unsigned bad = 0; bad <= 200; bad += 8) {
        static const struct dt_transform ours[] = {{DT_TRANSFORM_ENCR, false, DT_ENCR_AES_GCM_16, 256},
                                                   {DT_TRANSFORM_PRF, false, DT_PRF_HMAC_SHA2_384, 0},
                                                   {DT_TRANSFORM_KE, false, DT_KE_ECP_384, 0}};
        struct dt_writer w;
        dt_writer_init(&w, body, sizeof(body));
        for (unsigned i = 0; i <= bad; i++) {
            unsigned n = i == bad ? bad + 3 : 1; /* the good one has as many strange ciphers before its own */
            dt_write_be16(&w, i < bad ? 0x0200 : 0);
            uint8_t *len = dt_write_reserve(&w, 2);
            uint8_t head[4] = {(uint8_t)(i + 1), DT_PROTO_IKE, 0, (uint8_t)n};
            dt_write_bytes(&w, head, 4);
            for (unsigned k = 0; k < n; k++) {
                const struct dt_transform *t = i == bad && k >= bad ? &ours[k - bad] : NULL;
                dt_write_be16(&w, k + 1 < n ? 0x0300 : 0);
                dt_write_be16(&w, t && t->key_bits ? 12 : 8);
                dt_write_be16(&w, (uint16_t)((t ? t->type : DT_TRANSFORM_ENCR) << 8));
                dt_write_be16(&w, t ? t->id : (uint16_t)(1000 + k));
                if (t && t->key_bits)
                    dt_write_be32(&w, 0x800e0000u | t->key_bits);
            }
            dt_put_be16(len, (uint16_t)(w.p - len + 2));
        }
        assert_int_equal(dt_ike_sa_read(&list, dt_span(body, dt_writer_len(&w))), 0);
        assert_true(dt_proposals_choose(&chosen, &own, &list, DT_KE_ECP_384, 0));
        assert_int_equal(chosen.number, bad + 1);
    }
}

/* Sixteen different selectors are kept; how many more there were is said. */
static void more_selectors_than_can_be_kept(void **state)
{
    static uint8_t body[5000];
    for (unsigned n = 1; n <= 255; n++) {
        struct dt_selectors list;
        size_t lost;
        struct dt_writer w;
        dt_writer_init(&w, body, sizeof(body));
        dt_write_be32(&w, n << 24);
        for (unsigned i = 0; i < n; i++) {
            uint8_t one[16] = {7, 0, 0, 16, 0, 0, 255, 255, 10, (uint8_t)i, 0, 0, 10, (uint8_t)i, 0, 255};
            dt_write_bytes(&w, one, sizeof(one));
        }
        assert_int_equal(dt_ike_ts_read(&list, &lost, dt_span(body, dt_writer_len(&w))), 0);
        assert_int_equal(list.n + lost, n);
        assert_int_equal(lost, n > DT_SELECTORS_MAX ? n - DT_SELECTORS_MAX : 0);
        memset(body + 4 + 8, 0, 4); /* the first covers all others */
        memset(body + 4 + 12, 255, 4);
        assert_int_equal(dt_ike_ts_read(&list, &lost, dt_span(body, dt_writer_len(&w))), 0);
        assert_int_equal(list.n, 1);
        assert_int_equal(lost, 0);
    }
}

static void key_exchange_and_nonce(void **state)
{
    struct dt_ike_builder b;
    struct dt_ike_ke ke;
    struct dt_span nonce;
    begin(&b);
    dt_ike_ke_write(&b, DT_KE_X25519, dt_span("0123", 4));
    assert_int_equal(dt_ike_ke_read(&ke, written(&b, DT_P_KE)), 0);
    assert_int_equal(ke.group, 31);
    assert_memory_equal(ke.data.p, "0123", 4);
    assert_int_equal(dt_ike_ke_read(&ke, dt_span("\0\37\0\0", 4)), -1);
    assert_int_equal(dt_ike_nonce_read(&nonce, dt_span(buf, 15)), -1);
    assert_int_equal(dt_ike_nonce_read(&nonce, dt_span(buf, 16)), 0);
    assert_int_equal(dt_ike_nonce_read(&nonce, dt_span(buf, 256)), 0);
    assert_int_equal(dt_ike_nonce_read(&nonce, dt_span(buf, 257)), -1);
}

static void notify_and_delete(void **state)
{
    uint8_t raw[64];
    struct dt_ike_notify_payload n;
    struct dt_ike_delete d;
    struct dt_ike_builder b;
    assert_int_equal(dt_ike_notify_read(&n, hex(raw, 64, "03 04 4009 01020304 aabb")), 0); /* REKEY_SA */
    assert_int_equal(n.type, DT_N_REKEY_SA);
    assert_int_equal(n.spi.len, 4);
    assert_int_equal(n.data.len, 2);
    assert_int_equal(dt_ike_notify_read(&n, hex(raw, 64, "03 04 4009 010203")), -1);
    assert_int_equal(dt_ike_delete_read(&d, hex(raw, 64, "03 04 0002 01020304 05060708")), 0);
    assert_int_equal(d.n, 2);
    assert_int_equal(dt_ike_delete_read(&d, hex(raw, 64, "03 04 0002 01020304 050607")), -1);
    assert_int_equal(dt_ike_delete_read(&d, hex(raw, 64, "03 04 0001 01020304 050607")), -1);
    assert_int_equal(dt_ike_delete_read(&d, hex(raw, 64, "03 08 0001 0102030405060708")), -1);
    assert_int_equal(dt_ike_delete_read(&d, hex(raw, 64, "01 00 0000")), 0);
    assert_int_equal(dt_ike_delete_read(&d, hex(raw, 64, "01 08 0001 0102030405060708")), -1);
    uint32_t spis[] = {0x01020304, 0xffffffff};
    begin(&b);
    dt_ike_delete_write(&b, DT_PROTO_ESP, spis, 2);
    assert_int_equal(dt_ike_delete_read(&d, written(&b, DT_P_DELETE)), 0);
    assert_int_equal(dt_get_be32(d.spis + 4), 0xffffffff);
}

static void identities_and_auth(void **state)
{
    struct dt_ike_builder b;
    struct dt_ike_id id, back;
    struct dt_ike_auth auth;
    uint8_t raw[DT_IKE_ID_MAX + 6] = {2};
    dt_ike_id_parse(&id, "anna@example.net");
    begin(&b);
    dt_ike_id_write(&b, DT_P_IDI, &id);
    assert_int_equal(dt_ike_id_read(&back, written(&b, DT_P_IDI)), 0);
    assert_true(dt_ike_id_eq(&id, &back));
    assert_int_equal(dt_ike_id_read(&back, dt_span(raw, 4)), -1);
    assert_int_equal(dt_ike_id_read(&back, dt_span(raw, 4 + DT_IKE_ID_MAX)), 0);
    assert_int_equal(dt_ike_id_read(&back, dt_span(raw, 5 + DT_IKE_ID_MAX)), -1);
    raw[0] = 0;
    assert_int_equal(dt_ike_id_read(&back, dt_span(raw, 8)), -1);
    begin(&b);
    dt_ike_auth_write(&b, DT_IKE_AUTH_PSK, dt_span("abc", 3));
    assert_int_equal(dt_ike_auth_read(&auth, written(&b, DT_P_AUTH)), 0);
    assert_int_equal(auth.method, 2);
    assert_int_equal(auth.data.len, 3);
}

static void traffic_selectors(void **state)
{
    /* By hand from RFC 7296 figures 19 and 20: 10.0.0.0 - 10.0.0.255 TCP port 80; then a type that is not known. */
    uint8_t raw[100];
    struct dt_span body =
        hex(raw, sizeof(raw), "02 000000  07 06 0010 0050 0050 0a000000 0a0000ff  09 00 0008 01020304");
    struct dt_selectors list;
    char text[DT_SELECTOR_STRLEN];
    assert_int_equal(dt_ike_ts_read(&list, NULL, body), 0);
    assert_int_equal(list.n, 1);
    assert_string_equal(dt_selector_str(text, &list.v[0]), "10.0.0.0/24[tcp/80]");
    for (size_t n = 0; n < body.len; n++)
        assert_int_equal(dt_ike_ts_read(&list, NULL, dt_span(raw, n)), -1);
    raw[0] = 0;
    assert_int_equal(dt_ike_ts_read(&list, NULL, dt_span(raw, 4)), -1);
    /* From 10.0.0.255 to 10.0.0.0: well formed, matches nothing. */
    assert_int_equal(
        dt_ike_ts_read(&list, NULL, hex(raw, sizeof(raw), "01000000 07 06 0010 0050 0050 0a0000ff 0a000000")),
        0);
    assert_int_equal(list.n, 0);
    /* OPAQUE ports are from 65535 to 0. */
    assert_int_equal(
        dt_ike_ts_read(&list, NULL, hex(raw, sizeof(raw), "01000000 07 06 0010 ffff 0000 0a000000 0a0000ff")),
        0);
    assert_int_equal(list.n, 1);
    struct dt_selectors all = {.n = 2, .v = {dt_selector_all4(), dt_selector_all6()}};
    struct dt_ike_builder b;
    begin(&b);
    dt_ike_ts_write(&b, DT_P_TSI, &all);
    assert_int_equal(dt_ike_ts_read(&list, NULL, written(&b, DT_P_TSI)), 0);
    assert_true(dt_selectors_eq(&list, &all));
}

static void configuration(void **state)
{
    uint8_t raw[100];
    struct dt_ike_cp cp;
    struct dt_ike_builder b;
    assert_int_equal(
        dt_ike_cp_read(&cp, hex(raw, 100, "01000000 0001 0000 0003 0000 0008 0000 7fff 0001 99")), 0);
    assert_true(cp.has4 && cp.has6 && cp.has_dns4 && !cp.has_dns6 && !cp.addr4.ver);
    assert_int_equal(dt_ike_cp_read(&cp, hex(raw, 100, "02000000 0001 0004 0a090007 0003 0004 0a010035")), 0);
    assert_int_equal(dt_addr4_host(&cp.addr4), 0x0a090007);
    assert_int_equal(cp.ndns, 1);
    assert_int_equal(dt_ike_cp_read(&cp, hex(raw, 100, "02000000 0001 0003 0a0900")), -1);
    assert_int_equal(dt_ike_cp_read(&cp, hex(raw, 100, "02000000 0001 0004 0a0900")), -1);
    assert_int_equal(
        dt_ike_cp_read(&cp, hex(raw, 100, "02000000 0008 0011 fd000000000000000000000000000001 81")), -1);
    assert_int_equal(
        dt_ike_cp_read(&cp, hex(raw, 100, "02000000 0008 0011 fd000000000000000000000000000001 40")), 0);
    assert_int_equal(cp.addr6_len, 64);
    assert_int_equal(dt_ike_cp_read(&cp, hex(raw, 100, "0200")), -1);
    struct dt_ike_cp ask = {
        .type = DT_CFG_REQUEST, .has4 = true, .has6 = true, .has_dns4 = true, .has_dns6 = true};
    begin(&b);
    dt_ike_cp_write(&b, &ask);
    assert_int_equal(dt_ike_cp_read(&cp, written(&b, DT_P_CP)), 0);
    assert_true(cp.has4 && cp.has6 && cp.has_dns4 && cp.has_dns6 && !cp.has_domain);
}

/* RFC 8598: names that are none are left out, and what there is no room for. */
static void domains_of_a_configuration(void **state)
{
    uint8_t raw[100], flood[4 + 40 * 24] = {DT_CFG_REPLY};
    struct dt_ike_cp cp;
    struct dt_ike_builder b;
    assert_int_equal(dt_ike_cp_read(&cp, hex(raw, 100, "01000000 0019 0000")), 0);
    assert_true(cp.has_domain && cp.domains[0] == '\0');
    assert_int_equal(dt_ike_cp_read(&cp, hex(raw, 100,
                                             "02000000 0019 0005 412e6e6574 0019 0001 2e 0019 0003 610a62 "
                                             "0019 0006 622e6e65742e")),
                     0);
    assert_string_equal(cp.domains, "a.net b.net");
    struct dt_ike_cp out = {.type = DT_CFG_REPLY, .domains = "a.net b.net"}, ask = {.has_domain = true};
    begin(&b);
    dt_ike_cp_write(&b, &out);
    struct dt_span body = written(&b, DT_P_CP);
    assert_int_equal(body.len, 4 + 2 * (4 + 5));
    assert_memory_equal(body.p + 4, "\0\x19\0\5a.net\0\x19\0\5b.net", 18);
    begin(&b);
    dt_ike_cp_write(&b, &ask);
    body = written(&b, DT_P_CP);
    assert_int_equal(body.len, 8);
    assert_memory_equal(body.p + 4, "\0\x19\0\0", 4);
    for (unsigned i = 0; i < 40; i++) {
        char name[21];
        snprintf(name, sizeof(name), "domain-%02u.example.ne", i);
        memcpy(flood + 4 + 24 * i, "\0\x19\0\x14", 4);
        memcpy(flood + 8 + 24 * i, name, 20);
    }
    assert_int_equal(dt_ike_cp_read(&cp, dt_span(flood, sizeof(flood))), 0);
    assert_true(dt_domains_ok(cp.domains));
    assert_in_range(strlen(cp.domains), 480, DT_DOMAINS_CAP - 1);
}

static void notify_names(void **state)
{
    assert_string_equal(dt_notify_name(14), "NO_PROPOSAL_CHOSEN");
    assert_string_equal(dt_notify_name(43), "TEMPORARY_FAILURE");
    assert_null(dt_notify_name(8191));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(security_association),
                                       cmocka_unit_test(many_transforms),
                                       cmocka_unit_test(what_would_be_taken),
                                       cmocka_unit_test(key_exchange_and_nonce),
                                       cmocka_unit_test(notify_and_delete),
                                       cmocka_unit_test(identities_and_auth),
                                       cmocka_unit_test(traffic_selectors),
                                       cmocka_unit_test(configuration),
                                       cmocka_unit_test(domains_of_a_configuration),
                                       cmocka_unit_test(notify_names),
                                       cmocka_unit_test(a_good_proposal_behind_bad_ones),
                                       cmocka_unit_test(more_selectors_than_can_be_kept)};
    return TEST_RUN(tests);
}
