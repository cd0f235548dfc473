#pragma once

/* bench: the parts of the bench, and how they say what they found. */

#include <stdint.h>

#include "tests/bench/load.h"
#include "tests/harness/dc.h"

#define BENCH_ROUNDS_MAX 9

struct bench_plan {
    int rounds; /* of each figure */
    int64_t ms; /* of one run */
};

/* One figure: its runs. */
struct bench_figure {
    double per_second[BENCH_ROUNDS_MAX];
    double p99_ms[BENCH_ROUNDS_MAX];
    double cpu_us[BENCH_ROUNDS_MAX]; /* an answer */
    int count;
};

void bench_add(struct bench_figure *f, const struct load_result *run);

/*
 * "bench: consume: 81234/s (median of 3, 79000 to 82100), p99 1.2 ms, CPU 9.1 us", then the
 * ratios, then the end of the line.  The server's own CPU time for an answer is there because it
 * stays the same on a busy machine, and when the load generator is what limits the rate.
 */
void bench_print(const char *name, const struct bench_figure *f);
void bench_print_ratio(const struct bench_figure *f, const char *rival,
                       const struct bench_figure *other);
void bench_print_end(void);

/* A run that must not have failed answers; otherwise the bench ends. */
struct load_result bench_run(const char *name, const struct load_target *target,
                             const struct load_plan *plan);

/* POST /consume of one unit at one server, by the side of its ceiling and of Redis. */
void bench_consume(struct dc *dc, const struct bench_plan *plan);

/* How long a run of preparation takes does not matter: open windows, one after the other. */
struct bench_windows {
    int port; /* of local-svc */
    const char *prefix;
    const char *starts_at, *ends_at, *state;
    int64_t total;
    double slice; /* as a fraction of the total */
};
void bench_open_windows(const struct bench_windows *w, int count);

/* How long a data centre that ran dry waits for units of another.  Starts its own. */
void bench_dry(struct dc *dc, const struct bench_plan *plan);

/* How long it takes until another interval-svc acts.  Starts its own. */
void bench_takeover(struct dc *dc, const struct bench_plan *plan);

/* Durable topups by many servers, on one cap and on many, by the side of one transaction each. */
void bench_topup(struct dc *dc, const struct bench_plan *plan);

/*
 * What remote-svc says to nine other data centres about 10,000 caps: in a full
 * round, when nothing changes, and when something does.  It starts what it
 * needs by itself.
 */
void bench_sync(struct dc *dc, const struct bench_plan *plan);
