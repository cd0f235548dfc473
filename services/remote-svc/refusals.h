#pragma once

/*
 * refusals: who was refused lately, and why, for operators.  Bounded: the one
 * that was seen longest ago makes room.  Thread-safe.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/base/num.h"

#define REFUSALS_MAX 32

struct refusal {
    char from[NAME_SIZE]; /* what the message says, which need not be true; "": no valid name */
    const char *reason;   /* a literal */
    int64_t count;
    int64_t last_ms; /* on the monotonic clock */
};

struct refusals;

struct refusals *refusals_new(void);
struct refusals *refusals_free(struct refusals *r);

/* `from` may be NULL or anything; `reason` is kept. */
void refusals_add(struct refusals *r, const char *from, const char *reason);

/* In the order in which they were first seen; how many. */
size_t refusals_list(struct refusals *r, struct refusal ret[REFUSALS_MAX]);
