#pragma once

/* metrics: what this server counts besides what httpd does. */

#include "common/base/metric.h"
#include "common/domain/slice.h"

struct server_metrics {
    struct metric *granted, *consumed, *refunded, *returned; /* units */
    struct metric *waiting;
    struct metric *batch_items;
    struct metric *slots;
    struct metric *topups;
    struct metric *watch_revision, *watch_errors, *windows;
    struct metric_series *slots_used, *slots_free;
    struct metric_series *consumes[SLICE_UNKNOWN + 1]; /* by verdict */
};

void server_metrics_init(struct server_metrics *m, struct metrics *registry);
