#pragma once

/*
 * terms: the durations of an election, and how long a new primary must wait.
 *
 * Why they guarantee that no two act at once is in docs/PROTOCOL.md, "Who acts
 * once".  They are no settings: the argument needs all of them to be as they are
 * in every coordinator of a role.
 */

#include <stdbool.h>
#include <stdint.h>

/* A primary is one for this long after the start of its last successful heartbeat. */
#define TERMS_LEASE_MS INT64_C(2000)
#define TERMS_HEARTBEAT_MS INT64_C(500)

/* The database is waited for until the heartbeat before is as old as the lease. */
#define TERMS_ANSWER_MS INT64_C(1500)

/* A service may believe an answer for this long, and not longer than the lease. */
#define TERMS_BELIEF_MS INT64_C(600)

/* Whoever wins because the session before ended waits until its answers are not believed. */
#define TERMS_GRACE_MS INT64_C(700)

/* A standby asks for the lock this often. */
#define TERMS_TRY_MS INT64_C(100)

/* The database ends the session of a holder that it has not heard of for this long. */
#define TERMS_SILENCE_MS 3000

/* A member that was heard of within this time counts as alive. */
#define TERMS_ALIVE_MS INT64_C(2000)

_Static_assert(TERMS_LEASE_MS + 1000 <= TERMS_SILENCE_MS, "the lease ends before the session");
_Static_assert(TERMS_HEARTBEAT_MS + TERMS_ANSWER_MS <= TERMS_LEASE_MS, "one heartbeat may be lost");
_Static_assert(TERMS_BELIEF_MS < TERMS_GRACE_MS, "answers end before the next primary begins");

/* Who held the role before, as the database has it. */
struct terms_predecessor {
    bool exists;
    bool released; /* gave up in order: nobody believes it any more */
    bool is_us;    /* this process */
    bool was_seen; /* its heartbeats came while we had our session, so this server has ended its */
    int64_t acts_in_ms; /* until it was to begin itself; negative: it has begun */
};

/* How long the winner must not act, 0 to TERMS_LEASE_MS. */
int64_t terms_wait_ms(const struct terms_predecessor *p);
