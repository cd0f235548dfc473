#include <assert.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/metric_series.h"

#define NS_PER_S INT64_C(1000000000)

/* clang-format off */
static const struct metric_bucket seconds_rows[] = {
    {      50000, "0.00005"}, {     100000, "0.0001"}, {     250000, "0.00025"},
    {     500000, "0.0005"},  {    1000000, "0.001"},  {    2500000, "0.0025"},
    {    5000000, "0.005"},   {   10000000, "0.01"},   {   25000000, "0.025"},
    {   50000000, "0.05"},    {  100000000, "0.1"},    {  250000000, "0.25"},
    {  500000000, "0.5"},     { 1000000000, "1"},      { 2500000000, "2.5"},
    { 5000000000, "5"},       {10000000000, "10"},
};
static const struct metric_bucket count_rows[] = {
    {1, "1"}, {2, "2"}, {4, "4"}, {8, "8"}, {16, "16"}, {32, "32"}, {64, "64"}, {128, "128"},
    {256, "256"}, {512, "512"}, {1024, "1024"}, {2048, "2048"}, {4096, "4096"},
};
/* clang-format on */

#define COUNT_OF(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct metric_buckets seconds = {seconds_rows, COUNT_OF(seconds_rows)};
static const struct metric_buckets counts = {count_rows, COUNT_OF(count_rows)};

static_assert(COUNT_OF(seconds_rows) < METRIC_BUCKETS_MAX, "one more is for +Inf");
static_assert(COUNT_OF(count_rows) < METRIC_BUCKETS_MAX, "one more is for +Inf");

static const char *const type_names[] = {
    [METRIC_COUNTER] = "counter",           [METRIC_GAUGE] = "gauge",
    [METRIC_GAUGE_SECONDS] = "gauge",       [METRIC_HISTOGRAM_SECONDS] = "histogram",
    [METRIC_HISTOGRAM_COUNT] = "histogram",
};

const struct metric_buckets *metric_buckets_of(enum metric_kind kind)
{
    CHECK(kind == METRIC_HISTOGRAM_SECONDS || kind == METRIC_HISTOGRAM_COUNT);
    return kind == METRIC_HISTOGRAM_SECONDS ? &seconds : &counts;
}

/* In HELP only backslashes and newlines are escaped, in a label's value quotes too. */
static void write_escaped(struct buf *out, const char *text, bool quotes)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            buf_str(out, "\\n");
        else if (*text == '\\' || (*text == '"' && quotes))
            buf_printf(out, "\\%c", *text);
        else
            buf_add(out, text, 1);
    }
}

static void write_label(struct buf *out, const char *name, const char *value, bool *first)
{
    buf_str(out, *first ? "{" : ",");
    *first = false;
    buf_printf(out, "%s=\"", name);
    write_escaped(out, value, true);
    buf_str(out, "\"");
}

/* name, suffix and labels; `le` is a bucket's, or NULL. */
static void write_name(const struct metric_series *s, const char *suffix, const char *le,
                       struct buf *out)
{
    const struct metric *metric = s->metric;
    bool first = true;

    buf_printf(out, "%s%s", metric->name, suffix);
    for (int i = 0; i < metric->labels; i++)
        write_label(out, metric->label[i], s == &metric->rest ? "other" : s->values[i], &first);
    if (le != NULL)
        write_label(out, "le", le, &first);
    buf_str(out, first ? " " : "} ");
}

static void write_seconds(int64_t ns, struct buf *out)
{
    buf_printf(out, "%s%lld.%09lld\n", ns < 0 ? "-" : "", (long long)llabs(ns / NS_PER_S),
               (long long)llabs(ns % NS_PER_S));
}

static void write_sum(const struct metric_series *s, struct buf *out)
{
    int64_t sum = atomic_load_explicit(&s->value, memory_order_relaxed);

    write_name(s, "_sum", NULL, out);
    if (s->metric->kind == METRIC_HISTOGRAM_COUNT)
        buf_printf(out, "%lld\n", (long long)sum);
    else
        write_seconds(sum, out);
}

/* The count is the total of the very buckets that were printed, so that they always agree. */
static void write_histogram(const struct metric_series *s, struct buf *out)
{
    const struct metric_buckets *buckets = metric_buckets_of(s->metric->kind);
    int64_t total = 0;

    for (size_t i = 0; i <= buckets->count; i++) {
        total += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
        write_name(s, "_bucket", i < buckets->count ? buckets->rows[i].le : "+Inf", out);
        buf_printf(out, "%lld\n", (long long)total);
    }
    write_sum(s, out);
    write_name(s, "_count", NULL, out);
    buf_printf(out, "%lld\n", (long long)total);
}

static void write_series(const struct metric_series *s, struct buf *out)
{
    if (s->metric->kind >= METRIC_HISTOGRAM_SECONDS) {
        write_histogram(s, out);
        return;
    }
    write_name(s, "", NULL, out);
    if (s->metric->kind == METRIC_GAUGE_SECONDS)
        write_seconds(metric_value(s), out);
    else
        buf_printf(out, "%lld\n", (long long)metric_value(s));
}

void metric_write(const struct metric *metric, struct buf *out)
{
    int count = atomic_load(&metric->count);

    buf_printf(out, "# HELP %s ", metric->name);
    write_escaped(out, metric->help, false);
    buf_printf(out, "\n# TYPE %s %s\n", metric->name, type_names[metric->kind]);
    for (int i = 0; i < count; i++)
        write_series(metric->series[i], out);
    if (atomic_load(&metric->rest.used))
        write_series(&metric->rest, out);
}
