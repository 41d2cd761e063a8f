#include <stdio.h>

#include "crypto/crypto.h"

#define NOTIFY_NO_PROPOSAL_CHOSEN 14 /* RFC 7296 3.10.1 */

/* ---- lengths and names by algorithm number ---- */

size_t dt_prf_len(uint16_t prf)
{
    switch (prf) {
    case DT_PRF_HMAC_SHA2_256:
        return 32;
    case DT_PRF_HMAC_SHA2_384:
        return 48;
    case DT_PRF_HMAC_SHA2_512:
        return 64;
    }
    return 0;
}

const char *dt_prf_name(uint16_t prf)
{
    switch (prf) {
    case DT_PRF_HMAC_SHA2_256:
        return "prf-hmac-sha2-256";
    case DT_PRF_HMAC_SHA2_384:
        return "prf-hmac-sha2-384";
    case DT_PRF_HMAC_SHA2_512:
        return "prf-hmac-sha2-512";
    }
    return "?";
}

size_t dt_hash_len(enum dt_hash hash)
{
    switch (hash) {
    case DT_HASH_SHA1:
        return 20;
    case DT_HASH_SHA2_256:
        return 32;
    case DT_HASH_SHA2_384:
        return 48;
    case DT_HASH_SHA2_512:
        return 64;
    }
    return 0;
}

size_t dt_ke_public_len(uint16_t group)
{
    switch (group) {
    case DT_KE_MODP_2048:
        return 256;
    case DT_KE_ECP_256:
        return 64;
    case DT_KE_ECP_384:
        return 96;
    case DT_KE_X25519:
        return 32;
    }
    return 0;
}

size_t dt_ke_shared_len(uint16_t group)
{
    switch (group) {
    case DT_KE_ECP_256:
    case DT_KE_ECP_384:
        return dt_ke_public_len(group) / 2;
    }
    return dt_ke_public_len(group);
}

uint32_t dt_ke_work(uint16_t group)
{
    switch (group) {
    case DT_KE_MODP_2048:
        return 1000;
    case DT_KE_ECP_256:
        return 200;
    case DT_KE_ECP_384:
        return 3000;
    case DT_KE_X25519:
        return 100;
    }
    return 0;
}

const char *dt_ke_name(uint16_t group)
{
    switch (group) {
    case DT_KE_MODP_2048:
        return "modp2048";
    case DT_KE_ECP_256:
        return "ecp256";
    case DT_KE_ECP_384:
        return "ecp384";
    case DT_KE_X25519:
        return "x25519";
    }
    return "?";
}

/* ---- suites ---- */

struct shape {
    uint8_t key, integ, iv, icv, block;
    bool aead;
};

static const char *integ_name(uint16_t integ)
{
    switch (integ) {
    case DT_INTEG_HMAC_SHA2_256_128:
        return "sha2_256_128";
    case DT_INTEG_HMAC_SHA2_384_192:
        return "sha2_384_192";
    case DT_INTEG_HMAC_SHA2_512_256:
        return "sha2_512_256";
    }
    return NULL;
}

static uint8_t integ_key_len(uint16_t integ)
{
    return integ == DT_INTEG_HMAC_SHA2_256_128   ? 32
           : integ == DT_INTEG_HMAC_SHA2_384_192 ? 48
           : integ == DT_INTEG_HMAC_SHA2_512_256 ? 64
                                                 : 0;
}

/* Zeros when it is unknown or incomplete. */
static struct shape suite_shape(const struct dt_suite *s)
{
    uint8_t aes = s->key_bits == 128 ? 16 : s->key_bits == 256 ? 32 : 0;
    uint8_t mac = integ_key_len(s->integ);
    switch (s->encr) {
    case DT_ENCR_AES_GCM_16:
        if (!aes || s->integ != DT_INTEG_NONE)
            break;
        return (struct shape){(uint8_t)(aes + DT_SALT_LEN), 0, 8, 16, 1, true};
    case DT_ENCR_CHACHA20_POLY1305: /* RFC 7634 4: no Key Length attribute; 256 means the same */
        if ((s->key_bits != 0 && s->key_bits != 256) || s->integ != DT_INTEG_NONE)
            break;
        return (struct shape){32 + DT_SALT_LEN, 0, 8, 16, 1, true};
    case DT_ENCR_AES_CBC:
        if (!aes || !mac)
            break;
        return (struct shape){aes, mac, 16, mac / 2, 16, false};
    case DT_ENCR_NULL:
        if (s->key_bits != 0 || s->integ != DT_INTEG_NONE)
            break;
        return (struct shape){16 + DT_SALT_LEN, 0, 8, 16, 1, true};
    }
    return (struct shape){0};
}

size_t dt_suite_key_len(const struct dt_suite *s)
{
    return suite_shape(s).key;
}

size_t dt_suite_integ_len(const struct dt_suite *s)
{
    return suite_shape(s).integ;
}

size_t dt_suite_iv_len(const struct dt_suite *s)
{
    return suite_shape(s).iv;
}

size_t dt_suite_icv_len(const struct dt_suite *s)
{
    return suite_shape(s).icv;
}

size_t dt_suite_block_len(const struct dt_suite *s)
{
    return suite_shape(s).block;
}

bool dt_suite_aead(const struct dt_suite *s)
{
    return suite_shape(s).aead;
}

int dt_suite_check(const struct dt_suite *s, struct dt_err *err)
{
    char name[DT_SUITE_NAME];
    if (suite_shape(s).block)
        return 0;
    return dt_err_set(err, NOTIFY_NO_PROPOSAL_CHOSEN, "%s is no cipher suite known here",
                      dt_suite_name(s, name));
}

const char *dt_suite_name(const struct dt_suite *s, char buf[DT_SUITE_NAME])
{
    if (!suite_shape(s).block)
        snprintf(buf, DT_SUITE_NAME, "encr%u-%u-integ%u", s->encr, s->key_bits, s->integ);
    else if (s->encr == DT_ENCR_AES_GCM_16)
        snprintf(buf, DT_SUITE_NAME, "aes%ugcm16", s->key_bits);
    else if (s->encr == DT_ENCR_CHACHA20_POLY1305)
        snprintf(buf, DT_SUITE_NAME, "chacha20poly1305");
    else if (s->encr == DT_ENCR_AES_CBC)
        snprintf(buf, DT_SUITE_NAME, "aes%u-%s", s->key_bits, integ_name(s->integ));
    else
        snprintf(buf, DT_SUITE_NAME, "null");
    return buf;
}
