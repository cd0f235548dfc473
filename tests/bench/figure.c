#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "tests/bench/bench.h"
#include "tests/harness/proc.h"

void bench_add(struct bench_figure *f, const struct load_result *run)
{
    CHECK(f->count < BENCH_ROUNDS_MAX);
    f->p99_ms[f->count] = (double)run->p99_us / 1000;
    f->cpu_us[f->count] = run->cpu_us;
    f->per_second[f->count++] = run->per_second;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void sort(double values[BENCH_ROUNDS_MAX], int count)
{
    qsort(values, (size_t)count, sizeof(values[0]), compare);
}

/* Each column in order by itself: medians and ranges need no more. */
static struct bench_figure sorted(const struct bench_figure *f)
{
    struct bench_figure s = *f;

    CHECK(s.count > 0);
    sort(s.per_second, s.count);
    sort(s.p99_ms, s.count);
    sort(s.cpu_us, s.count);
    return s;
}

void bench_print(const char *name, const struct bench_figure *f)
{
    struct bench_figure s = sorted(f);
    int middle = s.count / 2;

    printf("bench: %s: %.0f/s (median of %d, %.0f to %.0f), p99 %.1f ms, CPU %.1f us", name,
           s.per_second[middle], s.count, s.per_second[0], s.per_second[s.count - 1],
           s.p99_ms[middle], s.cpu_us[middle]);
}

void bench_print_ratio(const struct bench_figure *f, const char *rival,
                       const struct bench_figure *other)
{
    struct bench_figure ours = sorted(f), theirs = sorted(other);
    double rate = theirs.per_second[theirs.count / 2], cpu = theirs.cpu_us[theirs.count / 2];

    printf("; %.2f x %s (%.0f/s", ours.per_second[ours.count / 2] / rate, rival, rate);
    if (cpu > 0)
        printf(", CPU %.1f us", cpu);
    printf(")");
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
