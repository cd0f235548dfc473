#pragma once

/*
 * refusals: who was refused lately, and why, for operators.  Bounded: the one
 * that was seen longest ago makes room.  So is what is logged of them: whoever
 * can write into a queue must not fill a disk.  Thread-safe.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/base/num.h"

#define REFUSALS_MAX 32
#define REFUSALS_LOG_MS 60000 /* in which there is one line of each, and REFUSALS_MAX of all */

struct refusal {
    char from[NAME_SIZE]; /* what the message says, which need not be true; "": no valid name */
    const char *reason;   /* a literal */
    int64_t count;
    int64_t last_ms; /* on the monotonic clock */
    int64_t logged;  /* so many of them have been, the latest at logged_ms */
    int64_t logged_ms;
};

struct refusals;

struct refusals *refusals_new(void);
struct refusals *refusals_free(struct refusals *r);

/*
 * `from` may be NULL or anything; `reason` is kept.  How many a line in the log
 * stands for, if there is to be one now: this one, and those since the last; else 0.
 */
int64_t refusals_add(struct refusals *r, const char *from, const char *reason, int64_t now_ms);

/* In the order in which they were first seen; how many. */
size_t refusals_list(struct refusals *r, struct refusal ret[REFUSALS_MAX]);
