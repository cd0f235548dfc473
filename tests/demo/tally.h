#pragma once

/* tally: what the clients were told, by cap and window and by hour.  Safe for many threads. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "tests/demo/plan.h"
#include "tests/harness/client.h"
#include "tests/harness/dcs.h"

struct tally_window {
    int64_t starts_at_ms;
    int64_t granted;
    int64_t refused;
    int64_t granted_by_dc[DCS_MAX];
};

struct tally_cap {
    struct tally_window *windows; /* in the order of time */
    size_t windows_count;
    int64_t *granted_by_hour; /* by the hour of the request in the trace */
};

struct tally {
    pthread_mutex_t mutex;
    const struct plan *plan;
    struct tally_cap caps[PLAN_CAPS_MAX]; /* guarded by mutex */
    size_t hours;
    int64_t *granted_by_hour; /* guarded by mutex */
    int64_t *refused_by_hour; /* guarded by mutex */
    _Atomic(int64_t) asked, granted, refused;
    _Atomic(int64_t) cut_off;           /* refused where units were out of reach */
    _Atomic(int64_t) unanswered;        /* given up */
    _Atomic(int64_t) retried[VERDICTS]; /* by why */
    _Atomic(int64_t) slowest_ms;        /* how late a request was sent or answered at most */
};

struct tally *tally_new(const struct plan *p);
struct tally *tally_free(struct tally *t);
CLEANUP_DEFINE(tally, struct tally, tally_free)
#define auto_tally CLEANUP(tally)

/* The final answer to a request, from a server of this data centre: granted or used up. */
void tally_answer(struct tally *t, int dc, int cap, int64_t at_s, const struct consumed *answer);

/* The window, or NULL if no answer named it. */
const struct tally_window *tally_find(const struct tally *t, int cap, int64_t starts_at_ms);
