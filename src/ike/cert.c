/* CERT and CERTREQ payloads (RFC 7296 sections 3.6 and 3.7), and which names of a certificate are an identity. */
#include "ike/auth_task.h"

enum dt_x509_name_kind ike_cert_name_kind(const struct dt_ike_id *id)
{
    switch (id->type) {
    case DT_ID_FQDN:
        return DT_X509_DNS;
    case DT_ID_RFC822_ADDR:
        return DT_X509_EMAIL;
    case DT_ID_IPV4_ADDR:
    case DT_ID_IPV6_ADDR:
        return DT_X509_IP;
    case DT_ID_DER_ASN1_DN:
        return DT_X509_DN;
    default:
        return 0;
    }
}

/* ---- certificates ---- */

void ike_cert_write(struct dt_ike_builder *b, const struct dt_x509_own *own)
{
    for (size_t i = 0; i < dt_x509_own_count(own); i++)
        dt_ike_cert_write(b, DT_P_CERT, DT_CERT_X509_SIGNATURE, dt_x509_own_der(own, i));
}

/* All that came, as far as there may be so many: the first is the peer's own. Other encodings are passed over. */
int ike_cert_read(struct ike_auth_task *t, const struct dt_ike_payloads *in, struct dt_err *err)
{
    struct dt_ike_cert c;
    size_t octets = 0, n = 0;
    uint8_t *all = NULL;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (size_t i = 0; i < in->n; i++) {
            if (in->v[i].type != DT_P_CERT || dt_ike_cert_read(&c, in->v[i].body) ||
                c.encoding != DT_CERT_X509_SIGNATURE || !c.data.len)
                continue;
            if (pass == 0) {
                octets += c.data.len;
                n++;
                continue;
            }
            t->cert_len[t->ncert++] = c.data.len;
            memcpy(all + at, c.data.p, c.data.len);
            at += c.data.len;
        }
        if (!n)
            return dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "it signs, and sent no certificate");
        if (n > DT_X509_CHAIN_MAX || octets > DT_X509_CHAIN_OCTETS)
            return dt_err_set(err, DT_N_AUTHENTICATION_FAILED,
                              "it sent %zu certificates with %zu octets; at most %d with %d are looked at", n,
                              octets, DT_X509_CHAIN_MAX, DT_X509_CHAIN_OCTETS);
        if (pass == 0 && ike_bytes_new(&t->certs, octets))
            return dt_err_set(err, 0, "no memory for certificates");
        all = t->certs.p;
    }
    return 0;
}

/* ---- requests ---- */

/* The authorities' hashes behind those that are there already. More than there is room for become none: whoever reads an empty
 * request shows what it has. */
void ike_certreq_add(struct ike_certreq *r, const struct dt_x509_trust *trust)
{
    size_t n = dt_x509_trust_count(trust);
    r->wanted = true;
    if (r->any || r->n + n > IKE_CERTREQ_MAX) {
        r->any = true;
        r->n = 0;
        return;
    }
    for (size_t i = 0; i < n; i++)
        memcpy(r->hash[r->n++], dt_x509_trust_hash(trust, i), DT_X509_HASH_LEN);
}

void ike_certreq_write(struct dt_ike_builder *b, const struct ike_certreq *r)
{
    if (r->wanted)
        dt_ike_cert_write(b, DT_P_CERTREQ, DT_CERT_X509_SIGNATURE, dt_span(r->hash, r->n * DT_X509_HASH_LEN));
}

/* ---- SIGNATURE_HASH_ALGORITHMS ---- */

void ike_hashes_write(struct dt_ike_builder *b)
{
    static const uint16_t known[] = {DT_HASH_SHA2_256, DT_HASH_SHA2_384, DT_HASH_SHA2_512,
                                     DT_SIGNATURE_HASH_IDENTITY};
    uint8_t data[2 * DT_ARRAY_LEN(known)];
    for (size_t i = 0; i < DT_ARRAY_LEN(known); i++)
        dt_put_be16(data + 2 * i, known[i]);
    ike_write_notify(b, DT_N_SIGNATURE_HASH_ALGORITHMS, dt_span(data, sizeof(data)));
}

uint16_t ike_hashes_read(const struct dt_ike_payloads *in)
{
    struct dt_ike_notify_payload n;
    uint16_t mask = 0;
    if (!ike_find_notify(in, DT_N_SIGNATURE_HASH_ALGORITHMS, &n))
        return 0;
    for (size_t i = 0; i + 1 < n.data.len; i += 2) {
        uint16_t hash = dt_get_be16(n.data.p + i);
        if (hash < 16)
            mask |= (uint16_t)(1u << hash);
    }
    return mask;
}
