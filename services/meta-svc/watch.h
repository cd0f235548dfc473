#pragma once

/*
 * watch: GET /definitions calls that are up to date are suspended; a thread
 * hears of changes from the database (of this replica or another) and answers
 * those that they are news for, and the others when their wait is over.
 */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/httpd.h"
#include "services/meta-svc/store_peers.h"

struct meta_watch;

MUST_CHECK bool meta_watch_start(const struct meta_home *here, const char *conninfo,
                                 int64_t watchers_max, struct meta_watch **ret, struct err *e);

/* What a call asks for. */
struct meta_watcher {
    int64_t since, limit;
    int64_t deadline_ms; /* clk_now_ms() */
    struct httpd_call *call;
};

/* Suspends the request; it is looked at at once, in the thread.  Too many: ERR_UNAVAILABLE. */
MUST_CHECK bool meta_watch_suspend(struct meta_watch *w, const struct httpd_request *http,
                                   const struct meta_watcher *asked, struct err *e);

/* Answers all calls; from now on none is suspended for long. */
void meta_watch_drain(struct meta_watch *w);

struct meta_watch *meta_watch_stop(struct meta_watch *w);
CLEANUP_DEFINE(meta_watch, struct meta_watch, meta_watch_stop)
#define auto_meta_watch CLEANUP(meta_watch)
