#pragma once

/* demo: a trace replayed against data centres, with faults on the way, and what came of it. */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "tests/demo/trace.h"

struct demo_options {
    int64_t dcs;        /* data centres */
    int64_t seconds;    /* that the trace shall take */
    bool standby;       /* of what acts once, and its primaries are killed on the way */
    const char *page;   /* where the HTML goes */
    const char *folder; /* for the data centres' logs and data, kept; NULL: scratch */
};

enum demo_outcome { DEMO_HELD, DEMO_BROKEN, DEMO_INTERRUPTED };

/* Runs it all and prints progress, the table, and the verdict as the last line. */
enum demo_outcome demo_run(const struct trace *t, const struct demo_options *o);
