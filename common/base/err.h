#pragma once

/*
 * err: what went wrong, in one small value.
 *
 * A function that can fail returns bool, true for success, and takes a
 * `struct err *e` as its last parameter.  The caller owns the struct, one per
 * unit of work (a request, a message, a boot), so failing never allocates.
 * `e` is written on failure only.
 */

#include <stdbool.h>

/* clang-format off */
/* kind, name in problem types and logs, HTTP status, title, may the same request be sent again */
#define ERR_KINDS(X)                                                                          \
    X(ERR_INVALID,         "invalid",               400, "The request is not valid", false)           \
    X(ERR_NOT_FOUND,       "not-found",             404, "There is no such thing", false)             \
    X(ERR_METHOD,          "method-not-allowed",    405, "Method not allowed", false)                 \
    X(ERR_CONFLICT,        "conflict",              409, "The world is not as the request assumes", false) \
    X(ERR_PRECONDITION,    "precondition-failed",   412, "The precondition does not hold", false)     \
    X(ERR_TOO_LARGE,       "too-large",             413, "Larger than a published limit", false)      \
    X(ERR_MEDIA_TYPE,      "unsupported-media-type",415, "Only application/json is understood", false) \
    X(ERR_PRECONDITION_REQUIRED, "precondition-required", 428, "A precondition is required", false)   \
    X(ERR_USED_UP,         "quota-exceeded",        429, "Not enough units are left", false)          \
    X(ERR_INTERNAL,        "internal",              500, "A bug, or a broken dependency", false)      \
    X(ERR_UNAVAILABLE,     "unavailable",           503, "Cannot be reached right now", true)         \
    X(ERR_TIMEOUT,         "timeout",               503, "The deadline passed, the outcome is unknown", true)
/* clang-format on */

enum err_kind {
    ERR_NONE,
#define X(kind, name, status, title, retry) kind,
    ERR_KINDS(X)
#undef X
};

struct err {
    enum err_kind kind;
    char msg[200];
    char pointer[120]; /* RFC 6901, the member of the input that is wrong; empty if none */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/*
 * All are always false, and visibly so to the compiler, so that an error path
 * is one line:  return err_set(e, ERR_INVALID, "...");
 * err_at() also names the member that is wrong, by JSON pointer.
 * err_while() puts "what we were doing: " in front of what is already there.
 */
#define err_set(e, ...) (err_set_(e, __VA_ARGS__), false)
#define err_at(e, ...) (err_at_(e, __VA_ARGS__), false)
#define err_while(e, ...) (err_while_(e, __VA_ARGS__), false)

void err_set_(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void err_at_(struct err *e, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void err_while_(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *err_name(enum err_kind kind);
const char *err_title(enum err_kind kind);
int err_http_status(enum err_kind kind);
bool err_is_retryable(enum err_kind kind);

/* The kind that the HTTP status of a service or a gateway stands for; else ERR_INTERNAL. */
enum err_kind err_kind_of_status(int status);
