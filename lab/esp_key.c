#include "esp_key.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS   8
#define SALT_LEN 4

enum { VERSION, FROM, TO, SPI, ENCRYPTION, KEY, INTEGRITY, INTEG_KEY };

/* "a","b",...: the fields without their quotes, in place. */
static bool split(char *line, char *field[FIELDS])
{
    for (int i = 0; i < FIELDS; i++) {
        char *end = *line == '"' ? strchr(line + 1, '"') : NULL;
        if (!end)
            return false;
        field[i] = line + 1;
        *end = '\0';
        line = end + 1 + (end[1] == ',');
    }
    return true;
}

static bool unhex(const char *text, uint8_t *out, size_t cap, size_t *len)
{
    size_t n = strlen(text);
    *len = 0;
    if (n == 0)
        return true;
    if (strncmp(text, "0x", 2) != 0 || n % 2 || (n - 2) / 2 > cap)
        return false;
    for (text += 2; *text; text += 2) {
        unsigned byte;
        if (sscanf(text, "%2x", &byte) != 1)
            return false;
        out[(*len)++] = (uint8_t)byte;
    }
    return true;
}

static bool set_cipher(struct esp_key *k, const char *encryption, const char *integrity)
{
    size_t bits = k->key_len * 8;
    if (strncmp(encryption, "AES-GCM with 16", 15) == 0) {
        bits -= (size_t)SALT_LEN * 8;
        k->cipher = bits == 128 ? EVP_aes_128_gcm() : bits == 256 ? EVP_aes_256_gcm() : NULL;
        k->aead = true;
    } else if (strncmp(encryption, "ChaCha20", 8) == 0) {
        k->cipher = EVP_chacha20_poly1305();
        k->aead = true;
    } else if (strncmp(encryption, "AES-CBC", 7) == 0) {
        k->cipher = bits == 128 ? EVP_aes_128_cbc() : bits == 256 ? EVP_aes_256_cbc() : NULL;
        k->md = strncmp(integrity, "HMAC-SHA-256", 12) == 0   ? EVP_sha256()
                : strncmp(integrity, "HMAC-SHA-384", 12) == 0 ? EVP_sha384()
                : strncmp(integrity, "HMAC-SHA-512", 12) == 0 ? EVP_sha512()
                                                              : NULL;
    }
    k->iv_len = k->aead ? 8 : 16;
    k->icv_len = k->aead ? 16 : k->md ? (size_t)EVP_MD_size(k->md) / 2 : 0;
    k->ctx = EVP_CIPHER_CTX_new();
    return k->cipher && k->ctx && k->icv_len;
}

static bool read_key(struct esp_key *k, char *line)
{
    char *f[FIELDS];
    if (strncmp(line, "# ", 2) == 0) /* with a cipher that Wireshark does not know */
        line += 2;
    if (!split(line, f))
        return false;
    k->ver = strcmp(f[VERSION], "IPv6") == 0 ? 6 : 4;
    int family = k->ver == 6 ? AF_INET6 : AF_INET;
    k->spi = (uint32_t)strtoul(f[SPI], NULL, 16);
    return inet_pton(family, f[FROM], k->from) == 1 && inet_pton(family, f[TO], k->to) == 1 &&
           unhex(f[KEY], k->key, sizeof k->key, &k->key_len) &&
           unhex(f[INTEG_KEY], k->integ, sizeof k->integ, &k->integ_len) &&
           set_cipher(k, f[ENCRYPTION], f[INTEGRITY]);
}

bool esp_keys_load(struct esp_keys *keys, const char *path)
{
    char line[1024];
    FILE *f = fopen(path, "re");
    if (!f) {
        perror(path);
        return false;
    }
    bool good = true;
    while (good && fgets(line, sizeof line, f)) {
        struct esp_key *k = &keys->key[keys->n];
        k->out = keys->n % 2 == 0;
        const struct esp_key *other = k->out ? NULL : k - 1;
        good = keys->n < ESP_KEYS_MAX && read_key(k, line) &&
               (!other || (memcmp(other->from, k->to, 16) == 0 && memcmp(other->to, k->from, 16) == 0));
        keys->n++;
    }
    fclose(f);
    if (!good || keys->n % 2) {
        fprintf(stderr, "%s:%zu: not a pair of lines of an esp_sa table\n", path, keys->n);
        return false;
    }
    return true;
}

void esp_keys_free(struct esp_keys *keys)
{
    for (size_t i = 0; i < keys->n && i < ESP_KEYS_MAX; i++)
        EVP_CIPHER_CTX_free(keys->key[i].ctx);
}

/* RFC 4106, 7634: nonce = salt | IV; authenticated are SPI and number, with ESN its high half between them (0 here). */
static bool open_aead(struct esp_key *k, const uint8_t *esp, size_t text, uint8_t *out, bool esn)
{
    uint8_t nonce[12], aad[12] = {0};
    size_t salt = k->key_len - SALT_LEN;
    int n = 0;
    memcpy(nonce, k->key + salt, SALT_LEN);
    memcpy(nonce + SALT_LEN, esp + 8, 8);
    memcpy(aad, esp, 4);
    memcpy(aad + (esn ? 8 : 4), esp + 4, 4);
    const uint8_t *tag = esp + 8 + k->iv_len + text;
    return EVP_DecryptInit_ex(k->ctx, k->cipher, NULL, k->key, nonce) == 1 &&
           EVP_DecryptUpdate(k->ctx, NULL, &n, aad, esn ? 12 : 8) == 1 &&
           EVP_DecryptUpdate(k->ctx, out, &n, esp + 8 + k->iv_len, (int)text) == 1 &&
           EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(uintptr_t)tag) == 1 &&
           EVP_DecryptFinal_ex(k->ctx, out + n, &n) == 1;
}

/* RFC 4303 2.8: the ICV covers everything before it, with ESN the high half (0 here) behind that. */
static bool open_hmac(struct esp_key *k, const uint8_t *esp, size_t text, uint8_t *out, bool esn)
{
    uint8_t mac[EVP_MAX_MD_SIZE], covered[65536 + 4];
    size_t len = 8 + k->iv_len + text;
    unsigned mac_len = 0;
    int n = 0, last = 0;
    if (len > 65536)
        return false;
    memcpy(covered, esp, len);
    memset(covered + len, 0, 4);
    return HMAC(k->md, k->integ, (int)k->integ_len, covered, len + (esn ? 4 : 0), mac, &mac_len) &&
           CRYPTO_memcmp(mac, esp + len, k->icv_len) == 0 &&
           EVP_DecryptInit_ex(k->ctx, k->cipher, NULL, k->key, esp + 8) == 1 &&
           EVP_CIPHER_CTX_set_padding(k->ctx, 0) == 1 &&
           EVP_DecryptUpdate(k->ctx, out, &n, esp + 8 + k->iv_len, (int)text) == 1 &&
           EVP_DecryptFinal_ex(k->ctx, out + n, &last) == 1;
}

bool esp_key_open(struct esp_key *k, const uint8_t *esp, size_t len, uint8_t *out, size_t *out_len,
                  uint8_t *next)
{
    size_t around = 8 + k->iv_len + k->icv_len;
    if (len < around + 2)
        return false;
    size_t text = len - around;
    bool (*open)(struct esp_key *, const uint8_t *, size_t, uint8_t *, bool) =
        k->aead ? open_aead : open_hmac;
    if (!open(k, esp, text, out, true) && !open(k, esp, text, out, false))
        return false;
    size_t pad = out[text - 2];
    if (pad + 2 > text)
        return false;
    *next = out[text - 1];
    *out_len = text - 2 - pad;
    return true;
}
