#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/metric.h"

static void expect_line(const struct buf *text, const char *line)
{
    cr_expect(strstr(buf_text(text), line) != NULL, "%s is missing in:\n%s", line, buf_text(text));
}

Test(metric, one_without_labels_is_there_from_the_start)
{
    struct metrics *m = metrics_new();
    struct metric *depth = metric_new(m, METRIC_GAUGE, "volumecap_queue_depth", "Waiting.", NULL);
    auto_buf struct buf out = BUF_INIT(0);

    metrics_write(m, &out);
    cr_expect_str_eq(buf_text(&out), "# HELP volumecap_queue_depth Waiting.\n"
                                     "# TYPE volumecap_queue_depth gauge\n"
                                     "volumecap_queue_depth 0\n");
    metric_put(depth, 7);
    metric_inc(depth, -2);
    cr_expect(metric_value(metric_at(depth, NULL, NULL, NULL)) == 5);
    cr_expect(metrics_free(m) == NULL);
}

Test(metric, the_same_label_values_are_the_same_series)
{
    struct metrics *m = metrics_new();
    struct metric *sent =
        metric_new(m, METRIC_COUNTER, "volumecap_x_total", "Sent.", "operation,status");
    auto_buf struct buf out = BUF_INIT(0);

    metric_add(metric_at(sent, "topup", "200", NULL), 2);
    metric_add(metric_at(sent, "topup", "200", NULL), 3);
    metric_add(metric_at(sent, "topup", "503", NULL), 1);
    metric_add(metric_at(sent, "200", "topup", NULL), 1);
    metrics_write(m, &out);
    expect_line(&out, "\nvolumecap_x_total{operation=\"topup\",status=\"200\"} 5\n"
                      "volumecap_x_total{operation=\"topup\",status=\"503\"} 1\n"
                      "volumecap_x_total{operation=\"200\",status=\"topup\"} 1\n");
    metrics_free(m);
}

Test(metric, label_values_and_help_are_escaped)
{
    struct metrics *m = metrics_new();
    struct metric *metric =
        metric_new(m, METRIC_COUNTER, "volumecap_y_total", "a \\ \"b\"\nc", "path");
    auto_buf struct buf out = BUF_INIT(0);

    metric_add(metric_at(metric, "a\"b\\c\nd", NULL, NULL), 1);
    metrics_write(m, &out);
    expect_line(&out, "# HELP volumecap_y_total a \\\\ \"b\"\\nc\n");
    expect_line(&out, "{path=\"a\\\"b\\\\c\\nd\"} 1\n");
    metrics_free(m);
}

Test(metric, all_are_written_sorted_by_name)
{
    struct metrics *m = metrics_new();
    auto_buf struct buf out = BUF_INIT(0);

    metric_new(m, METRIC_GAUGE, "volumecap_b", "B.", NULL);
    metric_new(m, METRIC_GAUGE, "volumecap_c", "C.", NULL);
    metric_new(m, METRIC_GAUGE, "volumecap_a", "A.", NULL);
    metrics_write(m, &out);
    const char *a = strstr(buf_text(&out), "\nvolumecap_a 0");
    const char *b = strstr(buf_text(&out), "\nvolumecap_b 0");
    const char *c = strstr(buf_text(&out), "\nvolumecap_c 0");
    cr_expect(a != NULL && b > a && c > b);
    metrics_free(m);
}

Test(metric, a_histogram_of_seconds_is_observed_in_nanoseconds)
{
    struct metrics *m = metrics_new();
    struct metric *h = metric_new(m, METRIC_HISTOGRAM_SECONDS, "volumecap_z_seconds", "Z.", NULL);
    auto_buf struct buf out = BUF_INIT(0);

    metric_observed(h, 50000);        /* on a bound: counts below it */
    metric_observed(h, 50001);        /* just above */
    metric_observed(h, 1500000000);   /* 1.5 s */
    metric_observed(h, 100000000000); /* beyond the last bound */
    metrics_write(m, &out);
    expect_line(&out, "volumecap_z_seconds_bucket{le=\"0.00005\"} 1\n"
                      "volumecap_z_seconds_bucket{le=\"0.0001\"} 2\n");
    expect_line(&out, "volumecap_z_seconds_bucket{le=\"1\"} 2\n"
                      "volumecap_z_seconds_bucket{le=\"2.5\"} 3\n");
    expect_line(&out, "volumecap_z_seconds_bucket{le=\"10\"} 3\n"
                      "volumecap_z_seconds_bucket{le=\"+Inf\"} 4\n"
                      "volumecap_z_seconds_sum 101.500100001\n"
                      "volumecap_z_seconds_count 4\n");
    cr_expect(metric_value(metric_at(h, NULL, NULL, NULL)) == 4);
    metrics_free(m);
}

Test(metric, a_histogram_of_counts_has_powers_of_two)
{
    struct metrics *m = metrics_new();
    struct metric *h = metric_new(m, METRIC_HISTOGRAM_COUNT, "volumecap_batch_items", "B.", "kind");
    auto_buf struct buf out = BUF_INIT(0);

    metric_observe(metric_at(h, "save", NULL, NULL), 3);
    metric_observe(metric_at(h, "save", NULL, NULL), 5000);
    metrics_write(m, &out);
    expect_line(&out, "volumecap_batch_items_bucket{kind=\"save\",le=\"2\"} 0\n"
                      "volumecap_batch_items_bucket{kind=\"save\",le=\"4\"} 1\n");
    expect_line(&out, "volumecap_batch_items_bucket{kind=\"save\",le=\"4096\"} 1\n"
                      "volumecap_batch_items_bucket{kind=\"save\",le=\"+Inf\"} 2\n"
                      "volumecap_batch_items_sum{kind=\"save\"} 5003\n"
                      "volumecap_batch_items_count{kind=\"save\"} 2\n");
    metrics_free(m);
}

Test(metric, beyond_512_series_the_rest_is_counted_as_other)
{
    struct metrics *m = metrics_new();
    struct metric *metric = metric_new(m, METRIC_COUNTER, "volumecap_w_total", "W.", "cap");
    auto_buf struct buf out = BUF_INIT(0);
    char cap[16];

    for (int i = 0; i < 600; i++) {
        (void)snprintf(cap, sizeof(cap), "cap-%d", i);
        metric_add(metric_at(metric, cap, NULL, NULL), 1);
    }
    metric_add(metric_at(metric, "cap-0", NULL, NULL), 1);
    metrics_write(m, &out);
    expect_line(&out, "{cap=\"cap-0\"} 2\n");
    expect_line(&out, "{cap=\"cap-511\"} 1\n");
    expect_line(&out, "{cap=\"other\"} 88\n");
    cr_expect(strstr(buf_text(&out), "cap-512") == NULL);
    metrics_free(m);
}

Test(metric, a_counter_never_goes_down, .signal = SIGABRT)
{
    metric_inc(metric_new(metrics_new(), METRIC_COUNTER, "volumecap_v_total", "V.", NULL), -1);
}

Test(metric, one_name_is_one_metric, .signal = SIGABRT)
{
    struct metrics *m = metrics_new();

    metric_new(m, METRIC_GAUGE, "volumecap_a", "A.", NULL);
    metric_new(m, METRIC_GAUGE, "volumecap_a", "A.", NULL);
}

static void *count_a_thousand(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        char value[8];
        (void)snprintf(value, sizeof(value), "%d", i % 50);
        metric_add(metric_at(arg, value, NULL, NULL), 1);
    }
    return NULL;
}

Test(metric, threads_that_meet_on_new_series_lose_no_count)
{
    struct metrics *m = metrics_new();
    struct metric *metric = metric_new(m, METRIC_COUNTER, "volumecap_u_total", "U.", "n");
    pthread_t threads[4];
    int64_t total = 0;

    for (int i = 0; i < 4; i++)
        cr_assert(pthread_create(&threads[i], NULL, count_a_thousand, metric) == 0);
    for (int i = 0; i < 4; i++)
        cr_assert(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < 50; i++) {
        char value[8];
        (void)snprintf(value, sizeof(value), "%d", i);
        total += metric_value(metric_at(metric, value, NULL, NULL));
    }
    cr_expect(total == 4000);
    metrics_free(m);
}

Test(metric, a_gauge_of_seconds_is_set_in_nanoseconds)
{
    struct metrics *m = metrics_new();
    auto_buf struct buf out = BUF_INIT(0);

    metric_put(metric_new(m, METRIC_GAUGE_SECONDS, "volumecap_difference_seconds", "A.", NULL),
               -2500000000);
    metrics_write(m, &out);
    cr_expect(strstr(buf_text(&out), "\nvolumecap_difference_seconds -2.500000000\n"));
    metrics_free(m);
}

Test(metric, promtool_finds_nothing_to_say)
{
    cr_assert(access("/usr/bin/promtool", X_OK) == 0, "promtool is not installed");

    struct metrics *m = metrics_new();
    auto_buf struct buf out = BUF_INIT(0);
    metric_observed(metric_new(m, METRIC_HISTOGRAM_SECONDS, "volumecap_call_seconds", "A.", NULL),
                    1);
    metric_new(m, METRIC_COUNTER, "volumecap_calls_total", "B.", NULL);
    metric_put(metric_new(m, METRIC_GAUGE, "volumecap_ledger_bytes", "C.", NULL), 9);
    metric_put(metric_new(m, METRIC_GAUGE_SECONDS, "volumecap_age_seconds", "E.", NULL), 9);
    metric_observe(
        metric_at(metric_new(m, METRIC_HISTOGRAM_COUNT, "volumecap_batch_items", "D.", "a,b"),
                  "1\n", "\"2\"", NULL),
        3);
    metrics_write(m, &out);

    FILE *promtool = popen("/usr/bin/promtool check metrics >&2", "w");
    cr_assert(promtool != NULL);
    cr_assert(fputs(buf_text(&out), promtool) >= 0);
    cr_expect(pclose(promtool) == 0);
    metrics_free(m);
}
