#pragma once

/*
 * replay: the requests of a trace, each at its time, from many threads.
 *
 * Every server has a lane of its own with the clients that belong to it, so
 * that a server that is away holds up only its own clients, as it would in
 * life.  A request that gets no final answer (the server is away, units cannot
 * be reached) is repeated until it does, while others go on.
 */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "tests/demo/plan.h"
#include "tests/demo/tally.h"

#define REPLAY_LANES_MAX 20

struct replay_config {
    const struct plan *plan;
    struct tally *tally;
    int64_t first_due_ms;        /* on clk_now_ms(): when the trace's first request is due */
    int dcs, servers;            /* so many servers each: dcs * servers <= REPLAY_LANES_MAX */
    int ports[REPLAY_LANES_MAX]; /* of the servers, data centre by data centre */
};

struct replay;

/* Starts the threads.  `config` is copied; what it points to must outlive the replay. */
struct replay *replay_start(const struct replay_config *config);

/*
 * While a data centre is cut off, "cannot be reached" is a final answer there:
 * its clients go away.
 */
void replay_cut_off(struct replay *r, int dc, bool is_cut_off);

/* Are all requests answered, or given up? */
bool replay_is_done(const struct replay *r);

/* Lets requests in flight end, sends no more, and joins the threads. */
struct replay *replay_stop(struct replay *r);
CLEANUP_DEFINE(replay, struct replay, replay_stop)
#define auto_replay CLEANUP(replay)
