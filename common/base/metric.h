#pragma once

/*
 * metric: counters, gauges and histograms, written in Prometheus text format
 * 0.0.4.  A registry belongs to the service's main(); metrics live as long as
 * it does.  Adding and observing are wait-free once a series exists.
 *
 * Names follow `volumecap_<noun>_<unit>_total|_seconds|_bytes`.
 */

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"

struct metrics;
struct metric;
struct metric_series;

/* The histograms come last. */
enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_GAUGE_SECONDS,
    METRIC_HISTOGRAM_SECONDS,
    METRIC_HISTOGRAM_COUNT
};

struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);
CLEANUP_DEFINE(metrics, struct metrics, metrics_free)
#define auto_metrics CLEANUP(metrics)

/*
 * Registers a metric.  `labels` are label names joined by commas, at most 3,
 * or NULL for a single unlabelled series that exists from the start at 0.
 * METRIC_GAUGE_SECONDS is set in nanoseconds and printed in seconds;
 * METRIC_HISTOGRAM_SECONDS has buckets from 50 us to 10 s and is observed in
 * nanoseconds; METRIC_HISTOGRAM_COUNT has powers of two from 1 to 4096.
 */
struct metric *metric_new(struct metrics *m, enum metric_kind kind, const char *name,
                          const char *help, const char *labels);

/*
 * The series with these label values (unused ones NULL), made on first use.
 * At most 512 series a metric: beyond that, the series with all values "other".
 */
struct metric_series *metric_at(struct metric *metric, const char *v1, const char *v2,
                                const char *v3);

void metric_add(struct metric_series *s, int64_t n);     /* counter (n >= 0), gauge */
void metric_set(struct metric_series *s, int64_t n);     /* gauge; of seconds: ns */
void metric_observe(struct metric_series *s, int64_t n); /* histogram: ns, or a count */
int64_t metric_value(const struct metric_series *s);     /* counter, gauge; a histogram's count */

/* Shorthands for an unlabelled metric. */
void metric_inc(struct metric *metric, int64_t n);
void metric_put(struct metric *metric, int64_t n);
void metric_observed(struct metric *metric, int64_t n);

/* Appends all metrics, sorted by name, with HELP and TYPE. */
void metrics_write(const struct metrics *m, struct buf *out);
