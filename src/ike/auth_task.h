/* Inside the IKE room: a task of IKE_AUTH's public-key work. */
#ifndef DT_IKE_AUTH_TASK_H
#define DT_IKE_AUTH_TASK_H

#include "crypto/x509.h"
#include "ike/internal.h"

#define IKE_VERIFY_WORK 500 /* us: a chain of three certificates, and a signature */

struct ike_auth_task {
    /* The peer's proof; trust NULL: there is none to be looked at. */
    struct dt_x509_trust *trust;
    struct ike_bytes certs; /* DER, one behind the other */
    size_t ncert, cert_len[DT_X509_CHAIN_MAX];
    struct dt_ike_id peer_id;
    bool peer_responds;
    uint8_t peer_method;
    struct dt_sig_algorithm peer_algorithm;
    struct ike_bytes signature, signed_by_peer;
    int64_t now; /* wall clock */
    /* Our own; own NULL: there is none to be made. */
    struct dt_x509_own *own;
    uint8_t own_method;
    struct dt_sig_algorithm own_algorithm;
    struct ike_bytes to_sign;
    /* What came of it. */
    int rc, own_rc;
    struct dt_err err, own_err;
    struct dt_x509_answer peer;
    uint8_t auth[1 + DT_SIG_ALGORITHM_MAX + DT_SIGNATURE_MAX];
    size_t auth_len;
};

struct ike_auth_task *ike_auth_task_new(void);
void ike_auth_task_free(struct ike_auth_task *t); /* NULL is fine */
/* The same question: what came of one is the answer to the other. */
bool ike_auth_task_same(const struct ike_auth_task *a, const struct ike_auth_task *b);
void ike_auth_task_run(struct ike_auth_task *t);
uint32_t ike_auth_task_work(const struct ike_auth_task *t); /* us */

#endif
