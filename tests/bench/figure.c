#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "tests/bench/bench.h"
#include "tests/harness/proc.h"

void bench_add(struct bench_figure *f, const struct load_result *run)
{
    CHECK(f->count < BENCH_ROUNDS_MAX);
    f->p99_us[f->count] = run->p99_us;
    f->per_second[f->count++] = run->per_second;
}

static int compare_rates(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Each of the two in order: a median needs no more. */
static struct bench_figure sorted(const struct bench_figure *f)
{
    struct bench_figure s = *f;
    size_t count = (size_t)s.count;

    CHECK(count > 0);
    qsort(s.per_second, count, sizeof(s.per_second[0]), compare_rates);
    qsort(s.p99_us, count, sizeof(s.p99_us[0]), compare_times);
    return s;
}

static double median(const struct bench_figure *f)
{
    return sorted(f).per_second[f->count / 2];
}

void bench_print(const char *name, const struct bench_figure *f)
{
    struct bench_figure s = sorted(f);

    printf("bench: %s: %.0f/s (median of %d, %.0f to %.0f)", name, s.per_second[s.count / 2],
           s.count, s.per_second[0], s.per_second[s.count - 1]);
    printf(", p99 %.1f ms", (double)s.p99_us[s.count / 2] / 1000);
}

void bench_print_ratio(const struct bench_figure *f, const char *rival,
                       const struct bench_figure *other)
{
    double rate = median(other);

    printf("; %.2f x %s (%.0f/s)", median(f) / rate, rival, rate);
}

void bench_print_end(void)
{
    printf("\n");
}

struct load_result bench_run(const char *name, const struct load_target *target,
                             const struct load_plan *plan)
{
    struct load_result result = load_run(target, plan);

    if (result.good == 0 || result.bad > 0)
        harness_fail("bench: %s: %lld good answers, %lld bad ones", name, (long long)result.good,
                     (long long)result.bad);
    return result;
}
