#pragma once

/* worker: a thread that does a bounded amount of work, again and again, until it is stopped. */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"

/* Returns in how many ms to come back. */
typedef int64_t worker_tick(void *arg);

struct worker;

MUST_CHECK bool worker_start(worker_tick *tick, void *arg, struct worker **ret, struct err *e);

/* No further tick begins; does not wait for the one under way. */
void worker_tell_stop(struct worker *w);

/* Waits for the tick under way. */
struct worker *worker_stop(struct worker *w);
CLEANUP_DEFINE(worker, struct worker, worker_stop)
#define auto_worker CLEANUP(worker)
