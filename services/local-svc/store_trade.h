#pragma once

/* store_trade: rows of other data centres come in, and asks go out. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/db.h"
#include "services/local-svc/peers.h"
#include "services/local-svc/store_topup.h"
#include "services/local-svc/told.h"
#include "services/local-svc/witness.h"

/* clang-format off */
#define TRADE_OUTCOMES(X)                                                          \
    X(OUTCOME_APPLIED,    "applied")                                               \
    X(OUTCOME_STALE,      "stale")      /* from before its database went back: void */    \
    X(OUTCOME_ABSURD,     "absurd")     /* refused: no honest data centre claims so */ \
    X(OUTCOME_OTHER_HOME, "other_home") /* the window of this start is another one */  \
    X(OUTCOME_OVER,       "over")       /* it never was here, and is over */           \
    X(OUTCOME_UNKNOWN,    "unknown")    /* no such window here, perhaps not yet */
/* clang-format on */

enum trade_outcome {
#define X(outcome, name) outcome,
    TRADE_OUTCOMES(X)
#undef X
};

extern const char *const trade_outcome_names[]; /* NULL-terminated */

/* Rows of one other data centre.  Each is applied by itself, in this order. */
struct trade_batch {
    const struct peers *peers;
    size_t from; /* its index among the peers */
    size_t count;
    const struct told_row *rows;
    enum trade_outcome *outcomes; /* as many; set on success */
    size_t answers_count;
    struct told_row *answers; /* room for as many: what it should hear now */
    struct units_moved moved; /* set on success */
};

MUST_CHECK bool store_trade(struct db *db, struct witness *witness, struct trade_batch *batch,
                            struct err *e);

#define TRADE_POOLS_MAX 500

/*
 * Looks again at windows for which others were asked: says again what was not
 * met, and that nobody is short any more.  `ret_more`: call again soon.
 */
MUST_CHECK bool store_trade_again(struct db *db, const struct peers *peers, bool *ret_more,
                                  struct err *e);
