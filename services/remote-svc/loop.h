#pragma once

/*
 * loop: a thread with an HTTP client that does a bounded amount of work, again
 * and again, and rests while this replica may not act.
 */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/httpc.h"
#include "common/io/leader.h"

/* Returns in how many ms to come back. */
typedef int64_t loop_tick(void *arg, struct httpc *http);

/* Forgets what is true only as long as this replica acts: again and again, while it does not. */
typedef void loop_rest(void *arg);

struct loop_work {
    loop_tick *tick;
    loop_rest *rest;
    void *arg; /* of both */
};

struct loop;

MUST_CHECK bool loop_start(const struct loop_work *work, struct leader *leader, struct loop **ret,
                           struct err *e);

/* Breaks off a call under way. */
struct loop *loop_stop(struct loop *l);
CLEANUP_DEFINE(loop, struct loop, loop_stop)
#define auto_loop CLEANUP(loop)
