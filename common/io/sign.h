#pragma once

/*
 * sign: HMAC-SHA256 with keys from a file, so that a message is known to come
 * from the data centre that it names.
 *
 * The file has a line "<dc> <key id> <hex, 32 to 64 bytes>" for each key;
 * empty lines and those that begin with # are skipped.  A file that everybody
 * may read or change is refused.  A data centre may have
 * several keys: all of them are accepted, and it signs with the first, so that
 * keys can be exchanged without a moment in which nothing is accepted.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/num.h"

#define SIGN_HEX_SIZE 65
#define SIGN_KEY_MIN 32
#define SIGN_KEY_MAX 64
#define SIGN_KEYS_MAX 256

struct sign_key {
    char dc[NAME_SIZE];
    char id[NAME_SIZE];
    unsigned char secret[SIGN_KEY_MAX];
    size_t secret_len;
};

struct sign_keys;

MUST_CHECK bool sign_keys_load(const char *path, struct sign_keys **ret, struct err *e);
struct sign_keys *sign_keys_free(struct sign_keys *k);
CLEANUP_DEFINE(sign_keys, struct sign_keys, sign_keys_free)
#define auto_sign_keys CLEANUP(sign_keys)

/* The key of a data centre with this id, or its first (`id` NULL); NULL if there is none. */
const struct sign_key *sign_key_of(const struct sign_keys *k, const char *dc, const char *id);
bool sign_knows(const struct sign_keys *k, const char *dc);

/* The signature of the two parts, one after the other, in lower-case hex. */
void sign_hex(const struct sign_key *key, const char *head, size_t head_len, const char *body,
              size_t body_len, char ret[SIGN_HEX_SIZE]);

/* Compares two signatures in a time that does not tell where they differ. */
bool sign_equal(const char *a, const char *b);
