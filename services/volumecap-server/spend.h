#pragma once

/*
 * spend: what clients do with a cap: consume, refund, look.
 *
 * No I/O, no waiting: a shared lock for a lookup and one operation on a slot.
 */

#include <stdbool.h>
#include <stdint.h>

#include "services/volumecap-server/attention.h"
#include "services/volumecap-server/windows.h"

struct spend_ask {
    char cap[NAME_SIZE];
    int64_t amount;
    int mode; /* enum consume_mode */
};

/* Which window it was about; starts_at_ms only has a meaning if `known`. */
struct spend_window {
    bool known;
    int64_t starts_at_ms, ends_at_ms;
    int64_t ends_in_ms;
    int64_t total;
};

struct spend {
    enum slice_verdict verdict;
    bool may_wait; /* not now, but a topup, or the watch, may change that in a moment */
    int64_t units; /* taken; for a check, what could be taken */
    int64_t rest;  /* of the slice, afterwards */
    struct spend_window window;
};

struct spender {
    struct windows *windows;
    struct attention *attention;
};

/* What serves an ask: a best effort one unit, anything else all of them. */
int64_t spend_needed(const struct spend_ask *ask);

/* `again`: the ask has been counted as demand before. */
struct spend spend_consume(const struct spender *s, const struct spend_ask *ask, bool again,
                           int64_t now_ms);

/* Somebody has begun to wait for units of this cap: the topper should look at it now. */
void spend_ring(const struct spender *s, const char *cap, int64_t now_ms);

/* clang-format off */
#define REFUND_VERDICTS(X)                                                            \
    X(REFUND_DONE,     "refunded")                                                    \
    X(REFUND_TOO_MUCH, "too_much")  /* more than this server consumed of that window */ \
    X(REFUND_NOT_OPEN, "not_open")                                                    \
    X(REFUND_UNKNOWN,  "unknown")                                                     \
    X(REFUND_NOT_NOW,  "unreachable") /* this server does not know its windows yet */
/* clang-format on */

enum refund_verdict {
#define X(verdict, name) verdict,
    REFUND_VERDICTS(X)
#undef X
};

extern const char *const refund_verdict_names[]; /* NULL-terminated */

struct refund_ask {
    char cap[NAME_SIZE];
    int64_t amount;
    bool has_starts_at; /* otherwise the current window */
    int64_t starts_at_ms;
};

struct refund {
    enum refund_verdict verdict;
    int64_t rest;
    bool has_window;
    int64_t starts_at_ms;
};

struct refund spend_refund(const struct spender *s, const struct refund_ask *ask, int64_t now_ms);

/* A window as GET /caps/{id} shows it. */
struct spend_view {
    int64_t starts_at_ms, ends_at_ms;
    const char *state;
    bool current;
    struct slot_counts counts;
    int64_t rest;
    int64_t rate_milli; /* RATE_UNKNOWN */
};

#define SPEND_VIEWS_MAX 16

/* Returns how many windows there are to see, at most SPEND_VIEWS_MAX; 0: the cap is unknown. */
size_t spend_look(const struct spender *s, const char *cap, int64_t now_ms,
                  struct spend_view ret[SPEND_VIEWS_MAX]);
