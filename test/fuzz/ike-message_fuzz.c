/* IKE messages: header, chain of payloads, and the body of each payload that is understood. Whatever is read must lie
 * inside the datagram. */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "wire/ike_msg.h"
#include "wire/ike_payload.h"

static void body(uint8_t type, struct dt_span b)
{
    static struct dt_proposals sa;
    struct dt_ike_ke ke;
    struct dt_span nonce;
    struct dt_ike_id id;
    struct dt_ike_auth auth;
    struct dt_ike_notify_payload n;
    struct dt_ike_delete del;
    struct dt_selectors ts;
    struct dt_ike_cp cp;
    char text[DT_IKE_ID_STRLEN];
    switch (type) {
    case DT_P_SA:
        if (!dt_ike_sa_read(&sa, b))
            dt_proposals_str(text, sizeof(text), &sa);
        break;
    case DT_P_KE:
        (void)!dt_ike_ke_read(&ke, b);
        break;
    case DT_P_NONCE:
        (void)!dt_ike_nonce_read(&nonce, b);
        break;
    case DT_P_IDI:
    case DT_P_IDR:
        if (!dt_ike_id_read(&id, b))
            dt_ike_id_str(text, &id);
        break;
    case DT_P_AUTH:
        (void)!dt_ike_auth_read(&auth, b);
        break;
    case DT_P_NOTIFY:
        if (!dt_ike_notify_read(&n, b) && n.spi.len + n.data.len + 4 != b.len)
            abort();
        break;
    case DT_P_DELETE:
        if (!dt_ike_delete_read(&del, b) && (size_t)del.n * del.spi_len + 4 != b.len)
            abort();
        break;
    case DT_P_TSI:
    case DT_P_TSR:
        if (!dt_ike_ts_read(&ts, NULL, b))
            dt_selectors_str(text, sizeof(text), &ts);
        break;
    case DT_P_CP:
        (void)!dt_ike_cp_read(&cp, b);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct dt_ike_header h;
    struct dt_ike_payloads list, inner;
    struct dt_ike_sk sk;
    if (dt_ike_header_read(&h, data, len))
        return 0;
    if (dt_ike_payloads_read(&list, h.next, data + DT_IKE_HEADER_LEN, len - DT_IKE_HEADER_LEN))
        return 0;
    for (size_t i = 0; i < list.n; i++) {
        const struct dt_ike_payload *p = &list.v[i];
        if (p->body.p < data || p->body.p + p->body.len > data + len)
            abort();
        body(p->type, p->body);
        /* As if the text were the plain one: the null cipher's way. */
        if (p->type == DT_P_SK && !dt_ike_sk_split((uint8_t *)(uintptr_t)data, p, 8, 1, 16, &sk) &&
            !dt_ike_sk_payloads(&inner, p, &sk))
            for (size_t k = 0; k < inner.n; k++)
                body(inner.v[k].type, inner.v[k].body);
    }
    return 0;
}
