/* Metrics are counted, made and printed all at once: nothing is lost, nothing goes backwards. */

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/metric.h"
#include "common/base/num.h"
#include "tests/race/race.h"

#define COUNTERS 3
#define LABELS_COMMON 5
#define LABELS_MANY 600 /* more than a metric has series: the rest is counted as "other" */

struct world {
    struct metrics *registry;
    struct metric *total, *labelled, *seconds, *level;
    _Atomic int64_t added, observed;
};

static void counter(struct race_thread *t)
{
    struct world *w = t->arg;
    const bool common = prng_below(&t->prng, 4) != 0;
    char label[24];

    (void)snprintf(label, sizeof(label), "v%lld",
                   (long long)prng_below(&t->prng, common ? LABELS_COMMON : LABELS_MANY));
    metric_add(metric_at(w->labelled, label, "x", NULL), 2);
    metric_inc(w->total, 2);
    atomic_fetch_add(&w->added, 2);
    metric_put(w->level, t->index);
    metric_observed(w->seconds, prng_below(&t->prng, 1000000));
    atomic_fetch_add(&w->observed, 1);
}

/* The number behind the only line that begins with this name and a space. */
static int64_t printed(const char *text, const char *name)
{
    char line[80];
    int64_t value = -1;
    struct err e = {0};

    (void)snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text, line);
    CHECK(at);
    at += strlen(line);
    (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
    CHECK(num_parse_i64(line, 0, INT64_MAX, &value, &e));
    return value;
}

static int64_t print_total(const struct world *w)
{
    auto_buf struct buf out = BUF_INIT(0);

    metrics_write(w->registry, &out);
    CHECK(!buf_failed(&out));
    return printed(out.data, "race_units_total");
}

/* Written by one thread; what was counted before must be in what is printed later. */
static void scraper(struct race_thread *t)
{
    const struct world *w = t->arg;
    const int64_t before = metric_value(metric_at(w->total, NULL, NULL, NULL));
    const int64_t first = print_total(w);

    CHECK(first >= before && print_total(w) >= first);
}

static int64_t sum_of_series(const struct world *w)
{
    int64_t sum = 0, rest = metric_value(metric_at(w->labelled, "never", "seen", NULL));
    char label[24];

    for (int i = 0; i < LABELS_MANY; i++) {
        (void)snprintf(label, sizeof(label), "v%d", i);
        const struct metric_series *s = metric_at(w->labelled, label, "x", NULL);
        if (s != metric_at(w->labelled, "never", "seen", NULL))
            sum += metric_value(s);
    }
    return sum + rest;
}

int main(void)
{
    struct world w = {.registry = metrics_new()};

    CHECK(w.registry);
    w.total = metric_new(w.registry, METRIC_COUNTER, "race_units_total", "Units.", NULL);
    w.labelled = metric_new(w.registry, METRIC_COUNTER, "race_labels_total", "Units.", "a,b");
    w.seconds = metric_new(w.registry, METRIC_HISTOGRAM_SECONDS, "race_seconds", "Time.", NULL);
    w.level = metric_new(w.registry, METRIC_GAUGE, "race_level", "Level.", NULL);

    RACE_RUN({counter, COUNTERS, &w, false}, {scraper, 1, &w, false});

    CHECK(print_total(&w) == atomic_load(&w.added));
    CHECK(sum_of_series(&w) == atomic_load(&w.added));
    CHECK(metric_value(metric_at(w.seconds, NULL, NULL, NULL)) == atomic_load(&w.observed));
    metrics_free(w.registry);
    return 0;
}
