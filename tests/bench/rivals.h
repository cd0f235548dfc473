#pragma once

/*
 * rivals: what our own speed is held against, started here, measured with the
 * same load generator in the same run.
 */

#include <stdbool.h>

#include "tests/bench/load.h"
#include "tests/harness/dc.h"
#include "tests/harness/proc.h"

/* libmicrohttpd with an empty handler, on as many threads as a service of ours. */
struct proc *ceiling_start(int threads, struct load_target *ret);

/* Redis, "increment if below" in Lua, one request at a time; NULL if it is not installed. */
struct proc *redis_start(struct load_target *ret);

/*
 * Topups with one transaction each: pgbench, 16 clients, prepared statements,
 * on tables like ours in the same cluster.  A run's answer is transactions per
 * second.
 */
void pgbench_prepare(const char *conninfo, int pools);
double pgbench_run(const char *conninfo, int pools, int64_t ms);
