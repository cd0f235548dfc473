#pragma once

/*
 * envelope: what is around a message between data centres: who says it, to
 * whom, and the signature that proves it.
 *
 * A body that is not small is packed (header enc: deflate).  The signature is over
 * "<version>\n<from>\n<to>\n<kind>\n<enc>\n" and the body as it travels, so that nothing is
 * unpacked that is not believed, and a message for one data centre is of no use at another.
 * A message that is repeated has a good signature: peer_heard() knows it by its number.
 */

#include <stdbool.h>

#include "common/io/bus.h"
#include "common/io/sign.h"

#define ENVELOPE_VERSION "1"

/* clang-format off */
#define ENVELOPE_KINDS(X)             \
    X(ENVELOPE_HELLO,       "hello")  \
    X(ENVELOPE_ROWS,        "rows")   \
    X(ENVELOPE_DEFINITIONS, "definitions")

/* What may be wrong with one; the names are label values of a metric. */
#define ENVELOPE_VERDICTS(X)                          \
    X(ENVELOPE_GOOD,           "good")                \
    X(ENVELOPE_VERSION_WRONG,  "version")             \
    X(ENVELOPE_STRANGER,       "stranger")            \
    X(ENVELOPE_NOT_FOR_US,     "not_for_us")          \
    X(ENVELOPE_KIND_WRONG,     "kind")                \
    X(ENVELOPE_KEY_UNKNOWN,    "key")                 \
    X(ENVELOPE_FORGED,         "signature")           \
    X(ENVELOPE_REPLAYED,       "replayed")            \
    X(ENVELOPE_TOO_LARGE,      "too_large")           \
    X(ENVELOPE_MALFORMED,      "malformed")
/* clang-format on */

enum envelope_kind {
#define X(kind, name) kind,
    ENVELOPE_KINDS(X)
#undef X
        ENVELOPE_KIND_COUNT
};

enum envelope_verdict {
#define X(verdict, name) verdict,
    ENVELOPE_VERDICTS(X)
#undef X
        ENVELOPE_VERDICT_COUNT
};

extern const char *const envelope_kind_names[];
extern const char *const envelope_verdict_names[];

/* Packs the body, which is complete, and adds the headers. */
void envelope_seal(const struct sign_key *key, const char *to, enum envelope_kind kind,
                   struct bus_message *m);

/* Borrows from the message; everything but the content has been checked if good. */
struct envelope {
    const char *from;
    enum envelope_kind kind;
    struct buf unpacked; /* the content, if it was packed */
    const char *text;    /* the content */
    size_t len;
};
void envelope_done(struct envelope *e);
#define auto_envelope __attribute__((cleanup(envelope_done)))

enum envelope_verdict envelope_open(const struct sign_keys *keys, const char *self,
                                    const struct bus_message *m, struct envelope *ret);
