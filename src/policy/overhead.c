#include "policy/overhead.h"

int dt_overhead_make(struct dt_overhead *o, const struct dt_suite *suite, bool tunnel, uint8_t ver, bool udp,
                     struct dt_err *err)
{
    *o = (struct dt_overhead){.ip = !tunnel    ? 0
                                    : ver == 6 ? 40
                                               : 20,
                              .udp = udp ? 8 : 0,
                              .esp = 8,
                              .tail = 2,
                              .align = 4};
    switch (suite->encr) {
    case DT_ENCR_AES_GCM_16:        /* RFC 4106 */
    case DT_ENCR_CHACHA20_POLY1305: /* RFC 7634 */
        o->iv = 8;
        o->icv = 16;
        return 0;
    case DT_ENCR_AES_CBC: /* RFC 3602 */
        o->iv = o->align = 16;
        break;
    case DT_ENCR_NULL:
        break;
    default:
        return dt_err_set(err, 0, "encryption transform %u is not known", suite->encr);
    }
    switch (suite->integ) { /* RFC 4868: half of the hash */
    case DT_INTEG_HMAC_SHA2_256_128:
        o->icv = 16;
        return 0;
    case DT_INTEG_HMAC_SHA2_384_192:
        o->icv = 24;
        return 0;
    case DT_INTEG_HMAC_SHA2_512_256:
        o->icv = 32;
        return 0;
    default:
        return dt_err_set(err, 0, "integrity transform %u is not known", suite->integ);
    }
}

static uint32_t overhead_fixed(const struct dt_overhead *o)
{
    return o->ip + o->udp + o->esp + o->iv + o->icv;
}

uint32_t dt_overhead_least(const struct dt_overhead *o)
{
    return overhead_fixed(o) + o->tail;
}

uint32_t dt_overhead_most(const struct dt_overhead *o)
{
    return overhead_fixed(o) + o->tail + o->align - 1;
}

uint32_t dt_overhead_inner(const struct dt_overhead *o, uint32_t outer, uint32_t header)
{
    uint32_t kept = o->ip ? 0 : header, around = overhead_fixed(o) + kept;
    if (outer < around)
        return 0;
    uint32_t room = (outer - around) / o->align * o->align;
    return room < o->tail ? 0 : kept + room - o->tail;
}

uint32_t dt_overhead_outer(const struct dt_overhead *o, uint32_t inner, uint32_t header)
{
    uint32_t kept = o->ip ? 0 : header;
    uint32_t body = (inner - kept + o->tail + o->align - 1) / o->align * o->align;
    return overhead_fixed(o) + kept + body;
}
