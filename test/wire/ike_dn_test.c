/* Distinguished names. The DER of the first two is OpenSSL's and strongSwan's of the same name. */
#include "support/test.h"

#include "base/bytes.h"
#include "wire/ike_dn.h"
#include "wire/ike_id.h"

static struct dt_ike_id dn_of(const char *hex)
{
    struct dt_ike_id id = {.type = DT_ID_DER_ASN1_DN};
    long n = dt_unhex(id.data, sizeof(id.data), hex);
    assert_true(n > 0);
    id.len = (uint8_t)n;
    return id;
}

#define UTF8_NAME                                                                                            \
    "302d310b3009060355040613024445310f300d060355040a0c0654657374204f310d300b06035504030c04416e6e61"
#define PRINTABLE_NAME                                                                                       \
    "302d310b3009060355040613024445310f300d060355040a130654657374204f310d300b06035504031304616e6e61"

static void text_and_der(void **state)
{
    struct dt_ike_id id, want = dn_of(UTF8_NAME), other = dn_of(PRINTABLE_NAME);
    char out[DT_IKE_ID_STRLEN], key[DT_IKE_ID_STRLEN], again[DT_IKE_ID_STRLEN];
    static const char *const same[] = {"C=DE, O=Test O, CN=Anna", "dn:C=DE,O=Test O,CN=Anna",
                                       "c=DE , o=Test O , cn=Anna"};
    for (size_t i = 0; i < DT_ARRAY_LEN(same); i++) {
        assert_int_equal(dt_ike_id_parse(&id, same[i]), 0);
        assert_int_equal(id.type, DT_ID_DER_ASN1_DN);
        assert_int_equal(id.len, want.len);
        assert_memory_equal(id.data, want.data, want.len);
    }
    assert_string_equal(dt_ike_id_str(out, &want), "C=DE, O=Test O, CN=Anna");
    assert_string_equal(dt_ike_id_str(out, &other), "C=DE, O=Test O, CN=anna");
    /* One name, in two encodings. */
    static const struct dt_siphash_key hash = {{3, 4}};
    assert_true(dt_ike_id_eq(&want, &other));
    assert_int_equal(dt_ike_id_cmp(&want, &other), 0);
    assert_true(dt_ike_id_hash(&hash, &want) == dt_ike_id_hash(&hash, &other));
    assert_string_equal(dt_ike_id_key(key, &want), dt_ike_id_key(again, &other));
    assert_true(dt_ike_id_matches(&want, &other));
    other.data[other.len - 1] = 'x';
    assert_false(dt_ike_id_eq(&want, &other));
    assert_int_not_equal(dt_ike_id_cmp(&want, &other), 0);
}

static void escapes_and_types(void **state)
{
    static const char *const same[] = {"O=Example\\, Inc., CN=a\\\\b",
                                       "CN=\\ x\\ ",
                                       "DC=net, DC=example, UID=anna",
                                       "E=anna@example.net",
                                       "1.2.840.113549.1.9.2=x",
                                       "2.999=y",
                                       "serialNumber=12=3",
                                       "ST=a, L=b, OU=c"};
    for (size_t i = 0; i < DT_ARRAY_LEN(same); i++) {
        struct dt_ike_id id;
        char out[DT_IKE_ID_STRLEN];
        assert_int_equal(dt_ike_id_parse(&id, same[i]), 0);
        assert_int_equal(id.type, DT_ID_DER_ASN1_DN);
        assert_string_equal(dt_ike_id_str(out, &id), same[i]);
    }
    struct dt_ike_id a, b;
    assert_int_equal(dt_ike_id_parse(&a, "emailAddress=anna@example.net"), 0);
    assert_int_equal(dt_ike_id_parse(&b, "E=anna@example.net"), 0);
    assert_true(dt_ike_id_eq(&a, &b));
}

static void what_is_no_dn(void **state)
{
    static const char *const bad[] = {"dn:",       "dn:CN",     "dn:CN=",    "dn:CN=a,",          "dn:CN=a, ",
                                      "dn:=a",     "dn:XY=a",   "dn:1=a",    "dn:3.1=a",          "dn:1.40=a",
                                      "dn:1..2=a", "dn:1.2.=a", "dn:.1.2=a", "dn:1.99999999999=a"};
    struct dt_ike_id id;
    char text[400], out[DT_IKE_ID_STRLEN];
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++)
        if (!dt_ike_id_parse(&id, bad[i]))
            fail_msg("%s", bad[i]);
    /* Without "dn:" they are what they would be without any "=". */
    assert_int_equal(dt_ike_id_parse(&id, "XY=a"), 0);
    assert_int_equal(id.type, DT_ID_FQDN);
    assert_int_equal(dt_ike_id_parse(&id, "a=b@example.net"), 0);
    assert_int_equal(id.type, DT_ID_RFC822_ADDR);
    /* A name that looks like a DN says that it is none. */
    struct dt_ike_id name = {.type = DT_ID_FQDN, .len = 6, .data = "CN=abc"};
    assert_string_equal(dt_ike_id_str(out, &name), "fqdn:CN=abc");
    /* As long as there may be, and longer. */
    memset(text, 'a', sizeof(text));
    memcpy(text, "CN=", 3);
    text[3 + 238] = '\0';
    assert_int_equal(dt_ike_id_parse(&id, text), 0);
    assert_int_equal(id.type, DT_ID_DER_ASN1_DN);
    assert_string_equal(dt_ike_id_str(out, &id), text);
    text[3 + 238] = 'a';
    text[3 + 250] = '\0';
    assert_int_equal(dt_ike_dn_parse(id.data, sizeof(id.data), text), 0);
}

/* Whatever the octets are: bounded, and a text only where it leads back. */
static void any_octets(void **state)
{
    static const char *const odd[] = {
        "3000",                                                   /* an empty name */
        "30193117300b06035504030c04416e6e61300806035504040c0161", /* two attributes in one RDN */
        "300f310d300b06035504030c04416e6e0a",                     /* a line's end in it */
        "300f310d300b06035504031e0400410042",                     /* BMPString */
        "3081"
        "0f310d300b06035504030c04416e6e61",     /* a length that is not the shortest */
        "300f310d300b06035504030c04416e6e6100", /* something behind it */
        "300f310d300b06035504030c05416e6e61",   /* too long inside */
    };
    char out[DT_IKE_ID_STRLEN];
    for (size_t i = 0; i < DT_ARRAY_LEN(odd); i++) {
        struct dt_ike_id id = dn_of(odd[i]), back;
        dt_ike_id_str(out, &id);
        assert_memory_equal(out, "id9:", 4);
        assert_int_equal(dt_ike_id_parse(&back, out), 0);
        assert_true(dt_ike_id_eq(&id, &back));
    }
    struct dt_ike_id id = dn_of(UTF8_NAME);
    for (size_t i = 0; i < id.len; i++)
        for (unsigned v = 0; v < 256; v++) {
            struct dt_ike_id x = id, y;
            x.data[i] = (uint8_t)v;
            dt_ike_id_str(out, &x);
            assert_int_equal(dt_ike_id_parse(&y, out), 0);
            assert_true(dt_ike_id_eq(&x, &y));
            x.len = (uint8_t)i;
            if (i)
                dt_ike_id_key(out, &x);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_der),
        cmocka_unit_test(escapes_and_types),
        cmocka_unit_test(what_is_no_dn),
        cmocka_unit_test(any_octets),
    };
    return TEST_RUN(tests);
}
