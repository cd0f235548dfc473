#pragma once

/* told: a row of account as data centres say it to each other, without JSON. */

#include <stddef.h>
#include <stdint.h>

#include "common/base/num.h"
#include "common/domain/trade.h"
#include "common/domain/window_key.h"

#define TOLD_ROWS_MAX 1000 /* in one request or answer */

struct told_row {
    struct window_key key;
    char peer[NAME_SIZE]; /* the data centre that is to hear it */
    char home[NAME_SIZE]; /* of the units; "": the data centre that tells */
    int64_t ends_at_ms;   /* calendar time of the window's end; 0: not said */
    struct trade_row row;
    /* Of row.sent, what the receiver is known to know of.  It says so again if it knows more. */
    int64_t echoed;
};
