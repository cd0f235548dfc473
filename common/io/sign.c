#include "common/io/sign.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/check.h"

#define LINE_SIZE 512
#define MAC_SIZE 32

struct sign_keys {
    struct sign_key list[SIGN_KEYS_MAX];
    size_t count;
};

/* ---- the file */

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

    return found ? (int)(found - digits) : -1;
}

static bool decode_secret(const char *hex, struct sign_key *key)
{
    size_t len = strlen(hex);

    if (len % 2 != 0 || len < (size_t)2 * SIGN_KEY_MIN || len > (size_t)2 * SIGN_KEY_MAX)
        return false;
    for (size_t i = 0; i < len / 2; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key->secret[i] = (unsigned char)(high * 16 + low);
    }
    key->secret_len = len / 2;
    return true;
}

/* Messages about a bad line never quote it: it has a secret. */
static bool add_line(struct sign_keys *k, char *line, int number, struct err *e)
{
    char *rest = NULL;
    const char *dc = strtok_r(line, " \t\r\n", &rest);

    if (!dc || dc[0] == '#')
        return true;
    const char *id = strtok_r(NULL, " \t\r\n", &rest), *hex = strtok_r(NULL, " \t\r\n", &rest);
    if (!hex || strtok_r(NULL, " \t\r\n", &rest))
        return err_set(e, ERR_INVALID, "line %d: must be <dc> <key id> <hex>", number);
    if (!name_is_valid(dc) || !name_is_valid(id))
        return err_set(e, ERR_INVALID, "line %d: not a name", number);
    if (sign_key_of(k, dc, id))
        return err_set(e, ERR_INVALID, "line %d: key %s of %s is there twice", number, id, dc);
    if (k->count == SIGN_KEYS_MAX)
        return err_set(e, ERR_INVALID, "line %d: more than %d keys", number, SIGN_KEYS_MAX);
    struct sign_key *key = &k->list[k->count];
    if (!decode_secret(hex, key))
        return err_set(e, ERR_INVALID, "line %d: the key must be %d to %d bytes in hex", number,
                       SIGN_KEY_MIN, SIGN_KEY_MAX);
    (void)snprintf(key->dc, sizeof(key->dc), "%s", dc);
    (void)snprintf(key->id, sizeof(key->id), "%s", id);
    k->count++;
    return true;
}

/* A group may: that is how a secret is given to a container. */
static bool check_mode(FILE *f, struct err *e)
{
    struct stat st;

    if (fstat(fileno(f), &st) != 0)
        return err_set(e, ERR_INVALID, "%s", strerror(errno));
    if (st.st_mode & S_IRWXO)
        return err_set(e, ERR_INVALID, "everybody may use it (mode %04o): chmod o= helps",
                       (unsigned)st.st_mode & 07777);
    return true;
}

static bool read_lines(FILE *f, struct sign_keys *k, struct err *e)
{
    char line[LINE_SIZE];
    bool ok = true;

    for (int number = 1; ok && fgets(line, sizeof(line), f); number++) {
        if (!strchr(line, '\n') && !feof(f))
            ok = err_set(e, ERR_INVALID, "line %d: too long", number);
        else
            ok = add_line(k, line, number, e);
    }
    if (ok && ferror(f))
        ok = err_set(e, ERR_INVALID, "%s", strerror(errno));
    OPENSSL_cleanse(line, sizeof(line));
    return ok;
}

bool sign_keys_load(const char *path, struct sign_keys **ret, struct err *e)
{
    auto_sign_keys struct sign_keys *k = calloc(1, sizeof(*k));
    FILE *f = fopen(path, "re");

    if (!f)
        return err_set(e, ERR_INVALID, "%s: %s", path, strerror(errno));
    CHECK(k != NULL);
    (void)setvbuf(f, NULL, _IONBF, 0); /* no copy of the secrets stays in a buffer */
    bool ok = check_mode(f, e) && read_lines(f, k, e);
    (void)fclose(f);
    if (!ok)
        return err_while(e, "%s", path);
    *ret = TAKE(k);
    return true;
}

struct sign_keys *sign_keys_free(struct sign_keys *k)
{
    if (k)
        OPENSSL_cleanse(k, sizeof(*k));
    free(k);
    return NULL;
}

const struct sign_key *sign_key_of(const struct sign_keys *k, const char *dc, const char *id)
{
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->list[i].dc, dc) == 0 && (!id || strcmp(k->list[i].id, id) == 0))
            return &k->list[i];
    return NULL;
}

bool sign_knows(const struct sign_keys *k, const char *dc)
{
    return sign_key_of(k, dc, NULL) != NULL;
}

/* ---- signatures */

void sign_hex(const struct sign_key *key, const char *head, size_t head_len, const char *body,
              size_t body_len, char ret[SIGN_HEX_SIZE])
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("digest", digest, 0),
        OSSL_PARAM_construct_end(),
    };
    unsigned char mac[MAC_SIZE];
    size_t mac_len = 0;
    EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(algorithm);

    CHECK(ctx != NULL);
    CHECK(EVP_MAC_init(ctx, key->secret, key->secret_len, params) == 1);
    CHECK(EVP_MAC_update(ctx, (const unsigned char *)head, head_len) == 1);
    CHECK(EVP_MAC_update(ctx, (const unsigned char *)body, body_len) == 1);
    CHECK(EVP_MAC_final(ctx, mac, &mac_len, sizeof(mac)) == 1);
    CHECK(mac_len == MAC_SIZE);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(algorithm);
    for (size_t i = 0; i < MAC_SIZE; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", mac[i]);
}

bool sign_equal(const char *a, const char *b)
{
    size_t len = strlen(a);

    return len == SIGN_HEX_SIZE - 1 && strlen(b) == len && CRYPTO_memcmp(a, b, len) == 0;
}
