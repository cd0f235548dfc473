#pragma once

/*
 * stopper: Ctrl-C.  A thread takes SIGINT and SIGTERM; from then on every call
 * to a data centre fails and every wait is over.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/io/httpc.h"

struct stopper;

/* Before any other thread: it blocks the signals.  Borrows the clients, which outlive it. */
struct stopper *stopper_start(struct httpc *const *clients, size_t count);
struct stopper *stopper_end(struct stopper *s);
CLEANUP_DEFINE(stopper, struct stopper, stopper_end)
#define auto_stopper CLEANUP(stopper)

bool stopper_is_stopped(struct stopper *s);

/* Until the time is over, or it was stopped. */
void stopper_wait(struct stopper *s, int64_t ms);
