#pragma once

/*
 * watch: the broadcast to servers.  A call that is up to date is suspended; one
 * thread hears of news from the database (of this replica or another), loads
 * it once and completes all suspended calls with it; a second one completes
 * those whose wait is over.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/metric.h"
#include "common/io/db.h"
#include "common/io/httpd.h"
#include "services/local-svc/store_watch.h"

struct watch;

struct watch_config {
    struct db *db;
    const char *conninfo; /* for the connection that listens */
    int64_t watchers_max;
    struct metric *watchers; /* gauge */
};

MUST_CHECK bool watch_start(const struct watch_config *config, struct watch **ret, struct err *e);

/*
 * Suspends the request until there is news after `since` or the wait is over.
 * `ret_suspended` false: answer at once, there is news, or we are stopping.
 * Too many: ERR_UNAVAILABLE.
 */
MUST_CHECK bool watch_suspend(struct watch *w, const struct httpd_request *req, int64_t since,
                              int64_t wait_ms, bool *ret_suspended, struct err *e);

/* From now on nothing is suspended; does not wait. */
void watch_tell_stop(struct watch *w);

/* Completes all calls; from now on nothing is suspended. */
void watch_drain(struct watch *w);

struct watch *watch_stop(struct watch *w);
CLEANUP_DEFINE(watch, struct watch, watch_stop)
#define auto_watch CLEANUP(watch)
