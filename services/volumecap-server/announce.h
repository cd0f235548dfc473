#pragma once

/* announce: what the watch says of windows enters the table. */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/prng.h"
#include "services/volumecap-server/attention.h"
#include "services/volumecap-server/windows.h"

/* One row of the watch. */
struct announcement {
    char cap[NAME_SIZE];
    int64_t starts_at_ms, ends_at_ms;
    int64_t starts_in_ms, ends_in_ms; /* counted from measured_ms */
    int state;                        /* enum interval_state */
    bool paused;
    int64_t total;
    int64_t autonomy_ms;
    bool recall; /* somebody is short: the pool wants to know what is held */
};

struct announcer {
    struct windows *windows;
    struct attention *attention;
    struct prng prng;
    int64_t measured_ms; /* before the request was sent that these rows came by */
    uint64_t snapshot;   /* counts the snapshots: whose rows these are */
};

/* False: out of memory; nothing was changed. */
bool announce(struct announcer *a, const struct announcement *row);

/*
 * The clock that counts says that a window is over: then the one that follows it has begun,
 * whatever was measured.  With the shard's lock held alone.
 */
void announce_open_successor(const struct window *over, struct attention *attention);

/* The snapshot is complete: what it did not have is over, and what is not known is unknown. */
void announce_snapshot_end(struct announcer *a);

/* From when to ask for a slice of a window that opens at opens_ms: some time ahead, spread. */
int64_t announce_prefetch_ms(int64_t opens_ms, int64_t now_ms, struct prng *prng);
