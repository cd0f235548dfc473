#pragma once

/*
 * watch: a broadcast, to servers of windows, or to who tells other data centres
 * of rows.  A call that is up to date is suspended; one thread hears of news from the database (of
 * this replica or another), loads it once and completes all suspended calls with it; a second one
 * completes those whose wait is over.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/metric.h"
#include "common/io/db.h"
#include "common/io/httpd.h"

#define WATCH_ROWS_MAX 1000 /* of a page */

struct watch;

/* News after a revision, as all who wait for it are answered. */
struct watch_page {
    int64_t revision; /* everything up to here is known after it */
    bool more;        /* there is still newer news */
    size_t count;     /* of what is in it */
    struct buf body;
};

static inline void watch_page_done(struct watch_page *p)
{
    buf_done(&p->body);
}
#define auto_watch_page __attribute__((cleanup(watch_page_done)))

typedef bool watch_load(struct db *db, int64_t since, int64_t limit, struct watch_page *ret,
                        struct err *e);

struct watch_config {
    struct db *db;
    const char *conninfo; /* for the connection that listens */
    const char *channel;  /* on which news is announced */
    watch_load *load;
    const char *member; /* the array of the body */
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

/* Of windows, for servers; of rows, for who tells other data centres. */
watch_load watch_load_windows, watch_load_rows;

struct watch *watch_stop(struct watch *w);
CLEANUP_DEFINE(watch, struct watch, watch_stop)
#define auto_watch CLEANUP(watch)
