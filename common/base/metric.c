#include "common/base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/metric_series.h"
#include "common/base/num.h"

/*
 * Readers never lock: metrics and series are only ever added, each published
 * by one release store of a pointer, and freed with the registry.
 */
struct metrics {
    pthread_mutex_t mutex; /* taken to add a metric or a series */
    _Atomic(struct metric *) first;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = calloc(1, sizeof(*m));

    CHECK(m != NULL);
    CHECK(pthread_mutex_init(&m->mutex, NULL) == 0);
    return m;
}

static void free_metric(struct metric *metric)
{
    int count = atomic_load(&metric->count);

    for (int i = 0; i < count; i++) {
        for (int label = 0; label < METRIC_LABELS_MAX; label++)
            free(metric->series[i]->values[label]);
        free(metric->series[i]);
    }
    free(metric->names);
    free(metric);
}

struct metrics *metrics_free(struct metrics *m)
{
    if (m == NULL)
        return NULL;
    for (struct metric *metric = atomic_load(&m->first), *next; metric != NULL; metric = next) {
        next = atomic_load(&metric->next);
        free_metric(metric);
    }
    (void)pthread_mutex_destroy(&m->mutex);
    free(m);
    return NULL;
}

/* Kept sorted by name from the start, so that writing needs no sorting. */
static void link_metric(struct metrics *m, struct metric *metric)
{
    _Atomic(struct metric *) *at = &m->first;

    (void)pthread_mutex_lock(&m->mutex);
    for (struct metric *next = atomic_load(at); next != NULL; next = atomic_load(at)) {
        int order = strcmp(next->name, metric->name);
        CHECK(order != 0);
        if (order > 0)
            break;
        at = &next->next;
    }
    atomic_store(&metric->next, atomic_load(at));
    atomic_store(at, metric);
    (void)pthread_mutex_unlock(&m->mutex);
}

static void split_labels(struct metric *metric, const char *labels)
{
    char *rest = NULL;

    metric->names = strdup(labels);
    CHECK(metric->names != NULL);
    for (char *name = strtok_r(metric->names, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        CHECK(metric->labels < METRIC_LABELS_MAX);
        metric->label[metric->labels++] = name;
    }
}

struct metric *metric_new(struct metrics *m, enum metric_kind kind, const char *name,
                          const char *help, const char *labels)
{
    struct metric *metric = calloc(1, sizeof(*metric));

    CHECK(metric != NULL);
    metric->registry = m;
    metric->kind = kind;
    metric->name = name;
    metric->help = help;
    metric->rest.metric = metric;
    if (labels != NULL)
        split_labels(metric, labels);
    atomic_store(&metric->rest.used, metric->labels == 0);
    link_metric(m, metric);
    return metric;
}

static bool has_values(const struct metric_series *s, const char *const values[])
{
    for (int i = 0; i < s->metric->labels; i++)
        if (strcmp(s->values[i], values[i]) != 0)
            return false;
    return true;
}

/* The slot of these values: taken by their series, or the free one where it belongs. */
static _Atomic(struct metric_series *) *find_slot(struct metric *metric, const char *const values[])
{
    uint64_t hash = 0;

    for (int i = 0; i < metric->labels; i++)
        hash = hash * 31 + hash_text(values[i]);
    for (;; hash++) {
        _Atomic(struct metric_series *) *slot = &metric->slots[hash % METRIC_SLOTS];
        struct metric_series *s = atomic_load_explicit(slot, memory_order_acquire);
        if (s == NULL || has_values(s, values))
            return slot;
    }
}

static struct metric_series *new_series(struct metric *metric, const char *const values[])
{
    struct metric_series *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    s->metric = metric;
    atomic_store(&s->used, true);
    for (int i = 0; i < metric->labels; i++) {
        s->values[i] = strdup(values[i]);
        CHECK(s->values[i] != NULL);
    }
    return s;
}

/* Under the registry's mutex. */
static struct metric_series *add_series(struct metric *metric, const char *const values[])
{
    _Atomic(struct metric_series *) *slot = find_slot(metric, values);
    struct metric_series *s = atomic_load(slot);
    int count = atomic_load(&metric->count);

    if (s != NULL)
        return s; /* another thread was quicker */
    if (count == METRIC_SERIES_MAX) {
        atomic_store(&metric->rest.used, true);
        return &metric->rest;
    }
    s = new_series(metric, values);
    metric->series[count] = s;
    atomic_store(&metric->count, count + 1);
    atomic_store_explicit(slot, s, memory_order_release);
    return s;
}

struct metric_series *metric_at(struct metric *metric, const char *v1, const char *v2,
                                const char *v3)
{
    const char *const values[METRIC_LABELS_MAX] = {v1, v2, v3};

    for (int i = 0; i < METRIC_LABELS_MAX; i++)
        CHECK((values[i] != NULL) == (i < metric->labels));
    if (metric->labels < 1)
        return &metric->rest;

    struct metric_series *s = atomic_load_explicit(find_slot(metric, values), memory_order_acquire);
    if (s != NULL)
        return s;
    /* A full table is looked at without the lock: its overflow must stay cheap too. */
    if (atomic_load(&metric->count) == METRIC_SERIES_MAX && atomic_load(&metric->rest.used))
        return &metric->rest;
    (void)pthread_mutex_lock(&metric->registry->mutex);
    s = add_series(metric, values);
    (void)pthread_mutex_unlock(&metric->registry->mutex);
    return s;
}

void metric_add(struct metric_series *s, int64_t n)
{
    CHECK(s->metric->kind == METRIC_GAUGE || (s->metric->kind == METRIC_COUNTER && n >= 0));
    (void)atomic_fetch_add_explicit(&s->value, n, memory_order_relaxed);
}

void metric_set(struct metric_series *s, int64_t n)
{
    CHECK(s->metric->kind == METRIC_GAUGE || s->metric->kind == METRIC_GAUGE_SECONDS);
    atomic_store_explicit(&s->value, n, memory_order_relaxed);
}

void metric_observe(struct metric_series *s, int64_t n)
{
    const struct metric_buckets *buckets = metric_buckets_of(s->metric->kind);
    size_t i = 0;

    while (i < buckets->count && n > buckets->rows[i].upto)
        i++;
    (void)atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&s->value, n, memory_order_relaxed);
}

int64_t metric_value(const struct metric_series *s)
{
    int64_t count = 0;

    if (s->metric->kind < METRIC_HISTOGRAM_SECONDS)
        return atomic_load_explicit(&s->value, memory_order_relaxed);
    for (int i = 0; i < METRIC_BUCKETS_MAX; i++)
        count += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
    return count;
}

void metric_inc(struct metric *metric, int64_t n)
{
    metric_add(metric_at(metric, NULL, NULL, NULL), n);
}

void metric_put(struct metric *metric, int64_t n)
{
    metric_set(metric_at(metric, NULL, NULL, NULL), n);
}

void metric_observed(struct metric *metric, int64_t n)
{
    metric_observe(metric_at(metric, NULL, NULL, NULL), n);
}

void metrics_write(const struct metrics *m, struct buf *out)
{
    for (const struct metric *metric = atomic_load(&m->first); metric != NULL;
         metric = atomic_load(&metric->next))
        metric_write(metric, out);
}
