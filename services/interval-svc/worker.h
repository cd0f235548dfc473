#pragma once

/*
 * worker: the thread that looks at each definition when its time has come or
 * a new version has arrived, and tidies up now and then.
 */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/metric.h"
#include "common/io/db.h"
#include "common/io/leader.h"
#include "common/io/outbox.h"

struct interval_worker;

struct interval_worker_config {
    struct db *db;
    const char *conninfo;       /* for a connection that hears of changes of the calendar */
    struct outbox_relay *relay; /* woken after each message; NULL in tests */
    struct leader *leader;      /* the worker rests unless it may act; NULL in tests: it may */
    struct metrics *metrics;
    int64_t retention_ms; /* calendar time that windows are kept after their end */
};

MUST_CHECK bool interval_worker_new(const struct interval_worker_config *config,
                                    struct interval_worker **ret, struct err *e);

/* A bounded amount of work; the real time until there is more, 0 if there is now. */
int64_t interval_worker_tick(struct interval_worker *w);

MUST_CHECK bool interval_worker_start(struct interval_worker *w, struct err *e);
void interval_worker_wake(struct interval_worker *w); /* from any thread */

/* Stops the thread, if it runs. */
struct interval_worker *interval_worker_free(struct interval_worker *w);
CLEANUP_DEFINE(interval_worker, struct interval_worker, interval_worker_free)
#define auto_interval_worker CLEANUP(interval_worker)
