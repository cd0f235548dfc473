#pragma once

/*
 * watcher: the one thread that follows GET /watch of local-svc and puts its
 * rows into the table.
 *
 * The waiting call only rings: if it had to wait for its rows, they are
 * fetched once more by a call that does not wait, so that the time before that
 * call is a good measure of the boundaries in them.
 */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/replicas.h"
#include "services/volumecap-server/announce.h"
#include "services/volumecap-server/metrics.h"
#include "services/volumecap-server/upstream.h"

struct watcher;

struct watcher_config {
    struct windows *windows;
    struct attention *attention;
    const struct server_metrics *metrics;
    struct upstream *upstream;
    struct replicas *locals;
};

MUST_CHECK bool watcher_start(const struct watcher_config *config, struct watcher **ret,
                              struct err *e);

/* Ends the thread within moments. */
struct watcher *watcher_stop(struct watcher *w);
CLEANUP_DEFINE(watcher, struct watcher, watcher_stop)
#define auto_watcher CLEANUP(watcher)
