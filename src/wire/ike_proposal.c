#include "wire/ike_proposal.h"

#include <stdio.h>
#include <string.h>

#include "wire/ike_notify.h"

/* Words of a proposal. A word may stand for an integrity algorithm and lend its name to the PRF too. */
static const struct word {
    const char *name;
    uint8_t type;
    uint16_t id, key_bits;
} words[] = {
    {"aes128gcm16", DT_TRANSFORM_ENCR, DT_ENCR_AES_GCM_16, 128},
    {"aes256gcm16", DT_TRANSFORM_ENCR, DT_ENCR_AES_GCM_16, 256},
    {"aes128gcm", DT_TRANSFORM_ENCR, DT_ENCR_AES_GCM_16, 128},
    {"aes256gcm", DT_TRANSFORM_ENCR, DT_ENCR_AES_GCM_16, 256},
    {"chacha20poly1305", DT_TRANSFORM_ENCR, DT_ENCR_CHACHA20_POLY1305, 0},
    {"aes128", DT_TRANSFORM_ENCR, DT_ENCR_AES_CBC, 128},
    {"aes256", DT_TRANSFORM_ENCR, DT_ENCR_AES_CBC, 256},
    {"prfsha256", DT_TRANSFORM_PRF, DT_PRF_HMAC_SHA2_256, 0},
    {"prfsha384", DT_TRANSFORM_PRF, DT_PRF_HMAC_SHA2_384, 0},
    {"prfsha512", DT_TRANSFORM_PRF, DT_PRF_HMAC_SHA2_512, 0},
    {"sha256", DT_TRANSFORM_INTEG, DT_INTEG_HMAC_SHA2_256_128, 0},
    {"sha384", DT_TRANSFORM_INTEG, DT_INTEG_HMAC_SHA2_384_192, 0},
    {"sha512", DT_TRANSFORM_INTEG, DT_INTEG_HMAC_SHA2_512_256, 0},
    {"x25519", DT_TRANSFORM_KE, DT_KE_X25519, 0},
    {"curve25519", DT_TRANSFORM_KE, DT_KE_X25519, 0},
    {"ecp256", DT_TRANSFORM_KE, DT_KE_ECP_256, 0},
    {"ecp384", DT_TRANSFORM_KE, DT_KE_ECP_384, 0},
    {"modp2048", DT_TRANSFORM_KE, DT_KE_MODP_2048, 0},
    {"nopfs", DT_TRANSFORM_KE, DT_KE_NONE, 0},
    {"esn", DT_TRANSFORM_ESN, 1, 0},
    {"noesn", DT_TRANSFORM_ESN, 0, 0},
};

static bool known_type(unsigned type)
{
    return type >= DT_TRANSFORM_ENCR && type <= DT_TRANSFORM_ESN;
}

bool dt_transform_known(const struct dt_transform *t)
{
    if (t->unusable || !known_type(t->type))
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].type == t->type && words[i].id == t->id &&
            (words[i].key_bits == t->key_bits || t->id == DT_ENCR_CHACHA20_POLY1305))
            return true;
    return t->id == 0;
}

bool dt_proposal_possible(const struct dt_proposal *p)
{
    bool has[DT_TRANSFORM_ESN + 1] = {false}, known[DT_TRANSFORM_ESN + 1] = {false};
    for (size_t i = 0; i < p->n; i++) {
        if (!known_type(p->t[i].type))
            return false; /* RFC 7296 section 3.3.6 */
        has[p->t[i].type] = true;
        known[p->t[i].type] |= dt_transform_known(&p->t[i]);
    }
    for (unsigned type = DT_TRANSFORM_ENCR; type <= DT_TRANSFORM_ESN; type++)
        if (has[type] && !known[type])
            return false;
    return has[DT_TRANSFORM_ENCR];
}

static bool aead(uint16_t encr)
{
    return encr == DT_ENCR_AES_GCM_16 || encr == DT_ENCR_CHACHA20_POLY1305;
}

static bool transform_add(struct dt_proposal *p, uint8_t type, uint16_t id, uint16_t key_bits)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->t[i].type == type && p->t[i].id == id && p->t[i].key_bits == key_bits)
            return true;
    if (p->n >= DT_PROPOSAL_TRANSFORMS)
        return false;
    p->t[p->n++] = (struct dt_transform){.type = type, .id = id, .key_bits = key_bits};
    return true;
}

static size_t transforms_of(const struct dt_proposal *p, unsigned type)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += p->t[i].type == type;
    return n;
}

/* Takes the integrity words of an AEAD proposal for what they mean there: the PRF. */
static void integ_to_prf(struct dt_proposal *p, bool keep)
{
    size_t n = p->n, out = 0;
    struct dt_transform t[DT_PROPOSAL_TRANSFORMS];
    memcpy(t, p->t, sizeof(t));
    for (size_t i = 0; i < n; i++)
        if (t[i].type != DT_TRANSFORM_INTEG || keep)
            p->t[out++] = t[i];
    p->n = (uint8_t)out;
    for (size_t i = 0; i < n; i++)
        if (t[i].type == DT_TRANSFORM_INTEG)
            transform_add(p, DT_TRANSFORM_PRF,
                          t[i].id == DT_INTEG_HMAC_SHA2_256_128   ? DT_PRF_HMAC_SHA2_256
                          : t[i].id == DT_INTEG_HMAC_SHA2_384_192 ? DT_PRF_HMAC_SHA2_384
                                                                  : DT_PRF_HMAC_SHA2_512,
                          0);
}

static int proposal_complete(struct dt_proposal *p, const char *text, struct dt_err *err)
{
    size_t combined = 0, ciphers = transforms_of(p, DT_TRANSFORM_ENCR);
    for (size_t i = 0; i < p->n; i++)
        combined += p->t[i].type == DT_TRANSFORM_ENCR && aead(p->t[i].id);
    if (!ciphers)
        return dt_err_set(err, 0, "proposal \"%s\" names no cipher (such as aes128gcm16 or aes256)", text);
    if (combined && combined != ciphers)
        return dt_err_set(err, 0, "proposal \"%s\" mixes combined-mode ciphers with AES-CBC; make two of it",
                          text);
    bool integ = transforms_of(p, DT_TRANSFORM_INTEG) > 0;
    if (!combined && !integ)
        return dt_err_set(err, 0, "proposal \"%s\" has a cipher without integrity (add sha256)", text);
    if (p->protocol == DT_PROTO_ESP) {
        if (combined && integ)
            return dt_err_set(err, 0,
                              "proposal \"%s\" adds integrity to a combined-mode cipher; leave it out", text);
        if (transforms_of(p, DT_TRANSFORM_PRF))
            return dt_err_set(err, 0, "proposal \"%s\" names a PRF, which ESP has none of", text);
        if (!transforms_of(p, DT_TRANSFORM_ESN)) {
            transform_add(p, DT_TRANSFORM_ESN, 1, 0);
            transform_add(p, DT_TRANSFORM_ESN, 0, 0);
        }
        return 0;
    }
    if (!transforms_of(p, DT_TRANSFORM_PRF))
        integ_to_prf(p, !combined);
    else if (combined && integ)
        return dt_err_set(err, 0, "proposal \"%s\" adds integrity to a combined-mode cipher; leave it out",
                          text);
    if (!transforms_of(p, DT_TRANSFORM_PRF))
        transform_add(p, DT_TRANSFORM_PRF, DT_PRF_HMAC_SHA2_256, 0);
    if (!transforms_of(p, DT_TRANSFORM_KE) || dt_proposal_has(p, DT_TRANSFORM_KE, DT_KE_NONE))
        return dt_err_set(err, 0, "proposal \"%s\" names no key exchange group (such as x25519)", text);
    if (transforms_of(p, DT_TRANSFORM_ESN))
        return dt_err_set(err, 0, "proposal \"%s\" names sequence numbers, which IKE has none of", text);
    return 0;
}

int dt_proposal_parse(struct dt_proposal *p, uint8_t protocol, const char *text, struct dt_err *err)
{
    struct dt_proposal out = {.protocol = protocol};
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, "-"), i = 0;
        while (i < sizeof(words) / sizeof(words[0]) &&
               (strlen(words[i].name) != len || strncmp(words[i].name, at, len) != 0))
            i++;
        if (i == sizeof(words) / sizeof(words[0]))
            return dt_err_set(err, 0, "proposal \"%s\": \"%.*s\" is not an algorithm that is known here",
                              text, (int)len, at);
        if (!transform_add(&out, words[i].type, words[i].id, words[i].key_bits))
            return dt_err_set(err, 0, "proposal \"%s\" has more than %d algorithms", text,
                              DT_PROPOSAL_TRANSFORMS);
        at += len;
        at += *at == '-';
    }
    if (proposal_complete(&out, text, err))
        return -1;
    *p = out;
    return 0;
}

bool dt_proposals_add(struct dt_proposals *list, const struct dt_proposal *p)
{
    if (list->n >= DT_PROPOSALS_MAX)
        return false;
    list->v[list->n] = *p;
    list->v[list->n].number = (uint8_t)(list->n + 1);
    list->n++;
    return true;
}

void dt_proposals_default(struct dt_proposals *out, uint8_t protocol)
{
    static const char *const ike[] = {"aes128gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-"
                                      "prfsha512-x25519-ecp256-ecp384-modp2048",
                                      "aes128-aes256-sha256-sha384-sha512-x25519-ecp256-ecp384-modp2048"};
    static const char *const esp[] = {
        "aes128gcm16-aes256gcm16-chacha20poly1305-x25519-ecp256-ecp384-modp2048-nopfs",
        "aes128-aes256-sha256-x25519-ecp256-ecp384-modp2048-nopfs"};
    struct dt_proposal p;
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < 2; i++)
        if (!dt_proposal_parse(&p, protocol, protocol == DT_PROTO_IKE ? ike[i] : esp[i], NULL))
            dt_proposals_add(out, &p);
}

/* ---- text ---- */

static const char *transform_name(const struct dt_transform *t, char *buf, size_t cap)
{
    static const char *const kinds[] = {"transform", "encr", "prf", "integ", "group", "esn"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].type == t->type && words[i].id == t->id &&
            (words[i].key_bits == t->key_bits || (t->id == DT_ENCR_CHACHA20_POLY1305 && t->key_bits == 256)))
            return words[i].name;
    const char *kind = t->type < sizeof(kinds) / sizeof(kinds[0]) ? kinds[t->type] : kinds[0];
    if (t->key_bits)
        snprintf(buf, cap, "%s%u_%u", kind, t->id, t->key_bits);
    else
        snprintf(buf, cap, "%s%u", kind, t->id);
    return buf;
}

char *dt_proposal_str(char *out, size_t cap, const struct dt_proposal *p)
{
    char buf[32];
    size_t at = 0;
    static const uint8_t order[] = {DT_TRANSFORM_ENCR, DT_TRANSFORM_INTEG, DT_TRANSFORM_PRF, DT_TRANSFORM_KE,
                                    DT_TRANSFORM_ESN};
    if (cap)
        out[0] = 0;
    for (size_t o = 0; o < sizeof(order); o++) {
        const char *sep = at ? "-" : "";
        for (size_t i = 0; i < p->n && at < cap; i++)
            if (p->t[i].type == order[o]) {
                at += (size_t)snprintf(out + at, cap - at, "%s%s", sep,
                                       transform_name(&p->t[i], buf, sizeof(buf)));
                sep = "/";
            }
    }
    return out;
}

char *dt_proposals_str(char *out, size_t cap, const struct dt_proposals *list)
{
    size_t at = 0;
    if (!list->n)
        snprintf(out, cap, "nothing");
    for (size_t i = 0; i < list->n && at + 3 < cap; i++) {
        at += (size_t)snprintf(out + at, cap - at, "%s", i ? ", " : "");
        dt_proposal_str(out + at, cap - at, &list->v[i]);
        at += strlen(out + at);
    }
    if (cap > 4 && at >= cap - 1)
        memcpy(out + cap - 4, "...", 4);
    return out;
}

/* ---- choice ---- */

static bool transform_same(const struct dt_transform *a, const struct dt_transform *b)
{
    if (a->type != b->type || a->id != b->id || a->unusable || b->unusable)
        return false;
    /* RFC 7634 section 4: no Key Length attribute; some peers send 256. */
    return a->key_bits == b->key_bits || a->id == DT_ENCR_CHACHA20_POLY1305;
}

static const struct dt_transform *transform_find(const struct dt_proposal *p, const struct dt_transform *t)
{
    for (size_t i = 0; i < p->n; i++)
        if (transform_same(&p->t[i], t))
            return &p->t[i];
    return NULL;
}

/* One transform of `type` for both; *ok false: they cannot agree. NULL with *ok: none is needed. */
static const struct dt_transform *choose_one(const struct dt_proposal *own, const struct dt_proposal *offer,
                                             unsigned type, uint16_t prefer, bool *ok)
{
    size_t mine = transforms_of(own, type), theirs = transforms_of(offer, type);
    const struct dt_transform *first = NULL;
    *ok = true;
    if (!mine && !theirs)
        return NULL;
    if (!mine || !theirs) {
        *ok = dt_proposal_has(mine ? own : offer, type,
                              0); /* "none" among the alternatives is as good as nothing */
        return NULL;
    }
    for (size_t i = 0; i < own->n; i++) {
        const struct dt_transform *t = own->t[i].type == type ? transform_find(offer, &own->t[i]) : NULL;
        if (t && (!first || (prefer && t->id == prefer)))
            first = t;
    }
    *ok = first != NULL;
    return first;
}

static bool proposal_match(struct dt_proposal *out, const struct dt_proposal *own,
                           const struct dt_proposal *offer, uint16_t prefer_ke, unsigned flags)
{
    if (own->protocol != offer->protocol)
        return false;
    *out = *offer;
    out->n = 0;
    for (size_t i = 0; i < offer->n; i++)
        if (!known_type(offer->t[i].type))
            return false; /* RFC 7296 section 3.3.6: a type that is not understood refuses its proposal */
    for (unsigned type = DT_TRANSFORM_ENCR; type <= DT_TRANSFORM_ESN; type++) {
        bool ok;
        if (type == DT_TRANSFORM_KE && (flags & DT_CHOOSE_NO_KE))
            continue;
        const struct dt_transform *t =
            choose_one(own, offer, type, type == DT_TRANSFORM_KE ? prefer_ke : 0, &ok);
        if (!ok)
            return false;
        if (t)
            out->t[out->n++] = *t;
    }
    return out->n > 0;
}

bool dt_proposals_choose(struct dt_proposal *out, const struct dt_proposals *own,
                         const struct dt_proposals *offered, uint16_t prefer_ke, unsigned flags)
{
    for (size_t i = 0; i < own->n; i++)
        for (size_t k = 0; k < offered->n; k++)
            if (proposal_match(out, &own->v[i], &offered->v[k], prefer_ke, flags))
                return true;
    memset(out, 0, sizeof(*out));
    return false;
}

bool dt_proposals_answers(const struct dt_proposals *offered, const struct dt_proposal *answer,
                          unsigned flags)
{
    const struct dt_proposal *o = NULL;
    for (size_t i = 0; i < offered->n && !o; i++)
        if (offered->v[i].number == answer->number && offered->v[i].protocol == answer->protocol)
            o = &offered->v[i];
    if (!o)
        return false;
    for (size_t i = 0; i < answer->n; i++)
        if (!transform_find(o, &answer->t[i]) || transforms_of(answer, answer->t[i].type) != 1)
            return false;
    for (unsigned type = DT_TRANSFORM_ENCR; type <= DT_TRANSFORM_ESN; type++)
        if (transforms_of(o, type) && !transforms_of(answer, type) && !dt_proposal_has(o, type, 0) &&
            !(type == DT_TRANSFORM_KE && (flags & DT_CHOOSE_NO_KE)))
            return false;
    return true;
}

uint16_t dt_proposal_id(const struct dt_proposal *p, uint8_t type, uint16_t *key_bits)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->t[i].type == type) {
            if (key_bits)
                *key_bits = p->t[i].key_bits;
            return p->t[i].id;
        }
    if (key_bits)
        *key_bits = 0;
    return 0;
}

bool dt_proposal_has(const struct dt_proposal *p, unsigned type, uint16_t id)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->t[i].type == type && p->t[i].id == id)
            return true;
    return false;
}

struct dt_suite dt_proposal_suite(const struct dt_proposal *p)
{
    struct dt_suite s = {0};
    s.encr = dt_proposal_id(p, DT_TRANSFORM_ENCR, &s.key_bits);
    s.integ = dt_proposal_id(p, DT_TRANSFORM_INTEG, NULL);
    if (s.encr == DT_ENCR_CHACHA20_POLY1305)
        s.key_bits = 0;
    return s;
}
