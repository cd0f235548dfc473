/*
 * bench [--quick] [consume] [topup] [dry] [sync] [takeover]: what the speed promises are
 * measured with.  Each figure is the median of several runs, taken in turn with what it
 * is held against.  The load generator shares the machine with what it
 * measures, for all alike.
 */

#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"

struct part {
    const char *name;
    void (*run)(struct dc *dc, const struct bench_plan *plan);
    bool needs_dc;
    bool is_wanted;
};

static struct part parts[] = {
    {"consume", bench_consume, true, false},    {"topup", bench_topup, true, false},
    {"dry", bench_dry, false, false},           {"sync", bench_sync, false, false},
    {"takeover", bench_takeover, false, false},
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

static bool want(const char *name)
{
    for (size_t i = 0; i < PARTS; i++)
        if (strcmp(parts[i].name, name) == 0)
            return parts[i].is_wanted = true;
    return false;
}

int main(int argc, char **argv)
{
    static const struct bench_plan full = {.rounds = 3, .ms = 3000};
    static const struct bench_plan quick = {.rounds = 1, .ms = 1000};
    const struct bench_plan *plan = &full;
    bool has_named = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            plan = &quick;
        } else if (want(argv[i])) {
            has_named = true;
        } else {
            fprintf(stderr, "usage: bench [--quick] [consume] [topup] [dry] [sync] [takeover]\n"
                            "./run --help says what these are\n");
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    auto_dc struct dc *dc = NULL;
    for (size_t i = 0; i < PARTS; i++) {
        if (has_named && !parts[i].is_wanted)
            continue;
        if (parts[i].needs_dc && !dc)
            dc = dc_start(&(struct dc_options){.fsync = true});
        if (!parts[i].needs_dc)
            dc = dc_stop(dc);
        parts[i].run(dc, plan);
    }
    return 0;
}
