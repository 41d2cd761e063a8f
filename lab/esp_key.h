/* Opens ESP (RFC 4303) with the keys of a key log: lines of Wireshark's esp_sa table, as `keylog` of dovetaild writes them. It
 * stands on OpenSSL alone, not on Dovetail's rooms, so that what it says of a packet is a second opinion. */
#ifndef LAB_ESP_KEY_H
#define LAB_ESP_KEY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESP_KEYS_MAX 4096

/* One SA. The log has two lines an epoch, first what its writer sends on, then what it hears on. */
struct esp_key {
    uint32_t spi; /* host order */
    bool out;     /* the writer of the log sends on it */
    uint8_t ver;  /* 4 or 6 */
    uint8_t from[16], to[16];
    const EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    const EVP_MD *md; /* NULL: the cipher authenticates */
    bool aead;
    uint8_t key[64], integ[64];
    size_t key_len, integ_len, iv_len, icv_len;
};

struct esp_keys {
    struct esp_key key[ESP_KEYS_MAX]; /* 2i: out, 2i + 1: in, of the i-th epoch */
    size_t n;
};

/* False, with a sentence on standard error: unreadable, a line that is not understood, a line without its partner. */
bool esp_keys_load(struct esp_keys *keys, const char *path);
void esp_keys_free(struct esp_keys *keys);

/* Opens one ESP packet (from the SPI to the ICV) into out, which has room for len bytes. False: it is not authentic. */
bool esp_key_open(struct esp_key *k, const uint8_t *esp, size_t len, uint8_t *out, size_t *out_len,
                  uint8_t *next);

#endif
