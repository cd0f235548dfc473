#pragma once

/* local_metrics: what local-svc counts. */

#include "common/base/metric.h"
#include "services/local-svc/store_topup.h"
#include "services/local-svc/store_counts.h"

struct local_metrics {
    struct metric *minted, *burned, *granted, *returned, *consumed, *refunded;
    struct metric *items, *batch_items, *commit_seconds;
    struct metric *received, *sent, *rows;
    struct metric *watchers, *rows_watchers;
    struct metric *pools, *slices, *servers, *presumed;
    struct metric *frozen;
    struct metric *learning, *frozen_pools, *frozen_units;
    struct metric *audit_violations, *audit_age;
};

void local_metrics_init(struct local_metrics *ret, struct metrics *m);
void local_metrics_moved(const struct local_metrics *m, const struct units_moved *moved);
void local_metrics_counts(const struct local_metrics *m, const struct store_counts *counts);
