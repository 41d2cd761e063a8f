/* Names and times of certificates: compared, and as text for people. */
#include "crypto/x509_priv.h"

#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/utf8.h"

/* ---- for people ---- */

static void bio_take(char *buf, size_t cap, BIO *bio)
{
    int n = bio ? BIO_read(bio, buf, (int)cap - 1) : 0;
    buf[n > 0 ? n : 0] = '\0';
    dt_utf8_mend(buf);
    BIO_free(bio);
}

const char *x509_name_str(char buf[X509_NAME_STRLEN], const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio)
        X509_NAME_print_ex(
            bio, name, 0,
            XN_FLAG_SEP_CPLUS_SPC | XN_FLAG_FN_SN |
                ((ASN1_STRFLGS_RFC2253 | ASN1_STRFLGS_ESC_CTRL) & ~(unsigned long)ASN1_STRFLGS_ESC_MSB));
    bio_take(buf, X509_NAME_STRLEN, bio);
    if (!buf[0])
        snprintf(buf, X509_NAME_STRLEN, "nobody (an empty name)");
    return buf;
}

const char *x509_who(char buf[X509_WHO_STRLEN], X509 *cert)
{
    char subject[X509_NAME_STRLEN], issuer[X509_NAME_STRLEN];
    BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *serial = bn ? BN_bn2hex(bn) : NULL;
    dt_utf8_printf(buf, X509_WHO_STRLEN, "%.100s, serial %.42s, by %.90s",
                   x509_name_str(subject, X509_get_subject_name(cert)), serial ? serial : "?",
                   x509_name_str(issuer, X509_get_issuer_name(cert)));
    OPENSSL_free(serial);
    BN_free(bn);
    return buf;
}

const char *x509_day_of(char buf[X509_DAY_STRLEN], int64_t t)
{
    struct tm tm;
    time_t seconds = (time_t)t;
    if (!gmtime_r(&seconds, &tm) || !strftime(buf, X509_DAY_STRLEN, "%Y-%m-%d %H:%M:%S UTC", &tm))
        snprintf(buf, X509_DAY_STRLEN, "an unknown time");
    return buf;
}

int64_t x509_seconds(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : DT_X509_NEVER;
}

const char *x509_day(char buf[X509_DAY_STRLEN], const ASN1_TIME *t)
{
    return x509_day_of(buf, x509_seconds(t));
}

/* ---- the names that a certificate is for ---- */

/* Of one subjectAltName: its octets, when it is of that kind. */
static bool general_name(const GENERAL_NAME *g, enum dt_x509_name_kind kind, struct dt_span *out)
{
    static const int type[] = {
        [DT_X509_DNS] = GEN_DNS, [DT_X509_EMAIL] = GEN_EMAIL, [DT_X509_IP] = GEN_IPADD};
    if (kind < DT_X509_DNS || kind > DT_X509_IP || g->type != type[kind])
        return false;
    const ASN1_STRING *s = kind == DT_X509_IP ? g->d.iPAddress : g->d.ia5;
    *out = dt_span(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    return out->len > 0;
}

static uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Names without regard to case, as identities are. */
static bool octets_match(enum dt_x509_name_kind kind, struct dt_span a, struct dt_span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (kind == DT_X509_IP ? a.p[i] != b.p[i] : ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

static bool subject_is(X509 *cert, struct dt_span der)
{
    const uint8_t *p = der.p;
    X509_NAME *name = der.len <= INT32_MAX ? d2i_X509_NAME(NULL, &p, (long)der.len) : NULL;
    bool same = name && p == der.p + der.len && X509_NAME_entry_count(name) > 0 &&
                X509_NAME_cmp(name, X509_get_subject_name(cert)) == 0;
    X509_NAME_free(name);
    ERR_clear_error();
    return same;
}

bool x509_has(X509 *cert, enum dt_x509_name_kind kind, struct dt_span name)
{
    bool found = false;
    struct dt_span one;
    if (kind == DT_X509_DN)
        return subject_is(cert, name);
    GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(list); i++)
        found = general_name(sk_GENERAL_NAME_value(list, i), kind, &one) && octets_match(kind, one, name);
    GENERAL_NAMES_free(list);
    ERR_clear_error();
    return found;
}

static const char *general_name_str(char *buf, size_t cap, const GENERAL_NAME *g)
{
    struct dt_span s;
    char a[DT_ADDR_STRLEN];
    buf[0] = '\0';
    if (general_name(g, DT_X509_DNS, &s)) {
        dt_utf8_printf(buf, cap, "DNS %.*s", (int)(s.len < 80 ? s.len : 80), (const char *)s.p);
    } else if (general_name(g, DT_X509_EMAIL, &s)) {
        dt_utf8_printf(buf, cap, "e-mail %.*s", (int)(s.len < 80 ? s.len : 80), (const char *)s.p);
    } else if (general_name(g, DT_X509_IP, &s) && (s.len == 4 || s.len == 16)) {
        struct dt_addr addr = s.len == 4 ? dt_addr4_bytes(s.p) : dt_addr6_bytes(s.p);
        dt_utf8_printf(buf, cap, "address %s", dt_addr_str(a, &addr));
    }
    for (char *c = buf; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            *c = '?';
    return buf;
}

#define DN_ROOM 48 /* octets that are kept for the subject */

const char *x509_names(char *buf, size_t cap, X509 *cert)
{
    char one[120], subject[X509_NAME_STRLEN];
    size_t at = 0;
    GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        size_t len = strlen(general_name_str(one, sizeof(one), sk_GENERAL_NAME_value(list, i)));
        if (len && at + len + 2 + DN_ROOM < cap)
            at += dt_utf8_printf(buf + at, cap - at, "%s, ", one);
    }
    GENERAL_NAMES_free(list);
    ERR_clear_error();
    dt_utf8_printf(buf + at, cap - at, "DN %s", x509_name_str(subject, X509_get_subject_name(cert)));
    return buf;
}
