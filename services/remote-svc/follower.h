#pragma once

/*
 * follower: the threads that ask local-svc and meta-svc what there is to tell,
 * and those that tell it again until it was heard.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/num.h"
#include "common/base/prng.h"
#include "services/remote-svc/loop.h"

/*
 * Our definitions, for one peer: what it has been told, and what it says it has
 * applied.  Revisions that it heard of in a life that meta-svc's database has
 * forgotten are given again, to other definitions: so all are told again in
 * walks from the beginning.
 */
struct follower {
    int64_t revision; /* the newest that meta-svc has; FOLLOWER_UNKNOWN */
    int64_t told;     /* up to this revision */
    int64_t told_ms;  /* since when nothing of it was echoed */
    int64_t resend_ms;
    int64_t echoed;    /* as it was at told_ms, and never above `revision` */
    int64_t again;     /* where the walk is; 0: at the beginning */
    int64_t again_ms;  /* when the next one is due */
    bool was_again;    /* the last page was one of the walk */
    int64_t looked_ms; /* when meta-svc was last asked what we have applied; 0: never */
    int64_t begun_ms;
    bool failed;
};
#define FOLLOWER_UNKNOWN UNITS_MAX

#define CURSOR_SIZE (NAME_SIZE + TIME_TEXT_SIZE)

/* One way through the rows for a peer, a page at a time; it goes on where it stopped. */
struct walk {
    char cursor[CURSOR_SIZE]; /* "": at the beginning */
    int64_t due_ms;           /* of the next page */
    int64_t began_ms, pages;
};

/* Rows for one peer, told again: units in transit often, all windows in rounds. */
struct resend {
    struct walk in_transit, round;
    int64_t pause_ms; /* between two tellings of what is in transit, growing while nothing moves */
    int64_t units;    /* in transit at the last one */
    int64_t rounds;
    int64_t round_pages; /* of the last round */
    int64_t forgot_ms;   /* when it was last to be told everything because of a loss */
    bool has_missed;     /* it says that it missed something, and is not told everything yet */
    bool wants_another;  /* a round that begins as soon as this one is over */
    bool has_begun, failed;
    struct prng prng;
};

/* `arg` is a struct remote_app: GET /rows of local-svc, for all peers. */
loop_tick follow_rows_tick;
loop_rest follow_rows_rest;

/* `arg` is a struct remote_link. */
loop_tick follow_definitions_tick;
loop_rest follow_definitions_rest; /* also how it begins */
loop_tick resend_tick;
loop_rest resend_rest; /* and of the peer itself */
