#pragma once

/* metric_series: what metric.c keeps and metric_write.c prints; private to the two. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/metric.h"

#define METRIC_LABELS_MAX 3
#define METRIC_SERIES_MAX 512
#define METRIC_SLOTS 1024 /* twice the series: a probe always finds a free slot */
#define METRIC_BUCKETS_MAX 18

struct metric_series {
    struct metric *metric;
    char *values[METRIC_LABELS_MAX];
    atomic_bool used;
    _Atomic(int64_t) value;                       /* of a histogram: the sum */
    _Atomic(int64_t) buckets[METRIC_BUCKETS_MAX]; /* each by itself, not cumulative */
};

struct metric {
    struct metrics *registry;
    _Atomic(struct metric *) next;
    enum metric_kind kind;
    const char *name;
    const char *help;
    char *names; /* what the pointers of label point into */
    const char *label[METRIC_LABELS_MAX];
    int labels;
    atomic_int count;
    struct metric_series *series[METRIC_SERIES_MAX];     /* in the order they came */
    _Atomic(struct metric_series *) slots[METRIC_SLOTS]; /* the same, by hash */
    struct metric_series rest; /* the only series if there are no labels, else "other" */
};

struct metric_bucket {
    int64_t upto;   /* inclusive, in what is observed */
    const char *le; /* the same, in what is printed */
};

struct metric_buckets {
    const struct metric_bucket *rows;
    size_t count;
};

const struct metric_buckets *metric_buckets_of(enum metric_kind kind);
void metric_write(const struct metric *metric, struct buf *out);
