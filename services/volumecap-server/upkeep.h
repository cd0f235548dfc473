#pragma once

/*
 * upkeep: one look at one window: measure its demand, hand back what is too
 * much, decide what to tell and ask the pool; and what to do with the answer.
 *
 * The topper's thread only.  No I/O.
 */

#include <stdbool.h>
#include <stdint.h>

#include "services/volumecap-server/attention.h"
#include "services/volumecap-server/metrics.h"
#include "services/volumecap-server/waiting.h"
#include "services/volumecap-server/windows.h"

struct upkeep {
    struct windows *windows;
    struct attention *attention;
    struct waiting *waiting;
    const struct server_metrics *metrics;
    int64_t report_ms;
    int64_t remember_ms;
    bool ledger_was_full; /* said once, not for each window */
};

/* What to say of a window in the next call; the window stays where it is until it is answered. */
struct topup_item {
    struct window *window;
    char cap[NAME_SIZE];
    int64_t starts_at_ms;
    struct pool_report report;
    uint64_t news; /* of the window when it was looked at */
};

struct topup_answer {
    struct pool_answer pool;
    bool has_bounds;
    int64_t starts_in_ms, ends_in_ms;
};

/* The windows that clients may be served from, those to be fetched ahead, and those to give up. */
enum upkeep_phase { UPKEEP_LIVE, UPKEEP_AHEAD, UPKEEP_OVER };

/* Pure.  `current`: it is the one that clients spend from. */
enum upkeep_phase upkeep_phase(const struct window *w, bool current, int64_t now_ms);

/* Pure.  After an ask in vain nobody asks for a while but who waits for less. */
bool upkeep_may_ask(const struct window *w, const struct pool_report *r, int64_t now_ms);

/*
 * Pure: nothing that was spent or given back is unknown to the pool, and no more can be, unless
 * its database goes back.
 */
bool upkeep_is_settled(const struct window *w);

/* True: the item belongs into the next call.  May remove the window. */
bool upkeep_visit(struct upkeep *u, struct window *w, int64_t now_ms, struct topup_item *ret);

/*
 * A report for a held window that is not in a call: as it is, or, if the
 * process is `leaving`, after everything was handed back.
 */
void upkeep_report(struct upkeep *u, struct window *w, bool leaving, struct topup_item *ret);

/* `measured_ms`: before the call; bounds are only believed if the call was quick. */
void upkeep_apply(struct upkeep *u, const struct topup_item *item, const struct topup_answer *a,
                  int64_t measured_ms, int64_t now_ms);

/* The call failed, its outcome is unknown: say and ask it all again. */
void upkeep_failed(struct upkeep *u, const struct topup_item *item);

/* The same for an item whose call failed because of it: later, and later each time. */
void upkeep_set_aside(struct upkeep *u, const struct topup_item *item, const struct err *why,
                      int64_t now_ms);
