#pragma once

/*
 * envelope: what is around a message between data centres: who says it, to
 * whom, and the signature that proves it.
 *
 * The signature is over "<version>\n<from>\n<to>\n<kind>\n" and the body, so a message for
 * one data centre is of no use at another.  Repeating an old message is
 * harmless: it has cumulative numbers.
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

/* Adds the headers to a message whose body is complete. */
void envelope_seal(const struct sign_key *key, const char *to, enum envelope_kind kind,
                   struct bus_message *m);

/* `from` borrows from the message; everything but the body's content has been checked if good. */
struct envelope {
    const char *from;
    enum envelope_kind kind;
};
enum envelope_verdict envelope_open(const struct sign_keys *keys, const char *self,
                                    const struct bus_message *m, struct envelope *ret);
