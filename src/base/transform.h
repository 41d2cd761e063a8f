/* Algorithm numbers of IKEv2 (IANA "Internet Key Exchange Version 2 Parameters"), known to wire, crypto, ike and
 * esp alike, and the one description of a cipher suite that they pass to each other. */
#ifndef DT_BASE_TRANSFORM_H
#define DT_BASE_TRANSFORM_H

#include <stdint.h>

/* transform type 1 */
enum dt_encr {
    DT_ENCR_NONE = 0,
    DT_ENCR_NULL = 11, /* simulator and tests only */
    DT_ENCR_AES_CBC = 12,
    DT_ENCR_AES_GCM_16 = 20,
    DT_ENCR_CHACHA20_POLY1305 = 28,
};

/* transform type 2 */
enum dt_prf {
    DT_PRF_NONE = 0,
    DT_PRF_HMAC_SHA2_256 = 5,
    DT_PRF_HMAC_SHA2_384 = 6,
    DT_PRF_HMAC_SHA2_512 = 7,
};

/* transform type 3 */
enum dt_integ {
    DT_INTEG_NONE = 0,
    DT_INTEG_HMAC_SHA2_256_128 = 12,
    DT_INTEG_HMAC_SHA2_384_192 = 13,
    DT_INTEG_HMAC_SHA2_512_256 = 14,
};

/* transform type 4, key exchange method ("group") */
enum dt_ke {
    DT_KE_NONE = 0,
    DT_KE_MODP_2048 = 14,
    DT_KE_ECP_256 = 19,
    DT_KE_ECP_384 = 20,
    DT_KE_X25519 = 31,
};

/* How packets of one SA are protected: IKE's SK payload and ESP alike. */
struct dt_suite {
    uint16_t encr;     /* enum dt_encr */
    uint16_t key_bits; /* 128 or 256 where the cipher has a choice, else 0 */
    uint16_t integ;    /* enum dt_integ; DT_INTEG_NONE with a combined-mode cipher */
};

#define DT_KEY_MAX 104 /* the longest encryption key with salt (36) and integrity key (64), rounded up */

#endif
