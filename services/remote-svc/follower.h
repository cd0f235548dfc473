#pragma once

/*
 * follower: the threads that ask local-svc and meta-svc what there is to tell,
 * and those that tell it again until it was heard.
 */

#include <stdbool.h>
#include <stdint.h>

#include "services/remote-svc/loop.h"

/* Our definitions, for one peer: what it has been told, and what it says it has applied. */
struct follower {
    int64_t told;    /* up to this revision */
    int64_t told_ms; /* since when nothing of it was echoed */
    int64_t resend_ms;
    int64_t echoed;    /* as it was at told_ms */
    int64_t looked_ms; /* when meta-svc was last asked what we have applied; 0: never */
    int64_t begun_ms;
    bool failed;
};

/* Rows for one peer, told again. */
struct resend {
    int64_t due_ms, sync_due_ms;
    int64_t pause_ms; /* between two, growing while nothing changes */
    int64_t units;    /* in transit at the last one */
    bool failed;
};

/* `arg` is a struct remote_app: GET /rows of local-svc, for all peers. */
loop_tick follow_rows_tick;

/* `arg` is a struct remote_link. */
loop_tick follow_definitions_tick;
loop_tick resend_tick;
