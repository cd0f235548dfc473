#pragma once

/*
 * learn: what to do when the database may have gone back to an earlier state
 * (docs/PROTOCOL.md, "What a database forgets").
 *
 * A DC has an incarnation, a number that only grows.  It is raised when the
 * database may have forgotten something; from then on its pools are in doubt,
 * until every server and every other DC has said, in that incarnation, what it
 * knows.  Whoever has heard an incarnation takes nothing of an earlier one any
 * more, so that what he says about it is final.
 *
 * Pure: no clock, no I/O.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/prng.h"

/* What a process knows of what it has itself committed. */
struct learn_memory {
    bool is_known;   /* it has registered */
    bool was_away;   /* for so long that others may have struck it off since */
    int64_t commits; /* its own, acknowledged ones */
    int64_t writers; /* the number of processes that ever registered, as it saw last */
};

/* What the database says, in the transaction that is to change something. */
struct learn_database {
    bool is_same_life;  /* the server process, timeline and system are those that were recorded */
    bool is_registered; /* this process is known to it */
    int64_t commits;    /* of this process */
    int64_t writers;    /* that ever registered */
    int64_t present;    /* processes that are registered now, this one included */
};

/* clang-format off */
#define LEARN_VERDICTS(X)                                                                       \
    X(LEARN_NOTHING,   "nothing")   /* all is as it was */                                       \
    X(LEARN_PROVEN,    "proven")    /* another life, and nothing committed was forgotten: go on */ \
    X(LEARN_UNPROVEN,  "unproven")  /* another life, and nobody can say yet: doubt */             \
    X(LEARN_FORGOTTEN, "forgotten") /* what this process committed is not there: doubt */
/* clang-format on */

enum learn_verdict {
#define X(verdict, name) verdict,
    LEARN_VERDICTS(X)
#undef X
};

extern const char *const learn_verdict_names[]; /* NULL-terminated */

enum learn_verdict learn_judge(const struct learn_memory *m, const struct learn_database *d);

/*
 * The incarnation after `known` and `heard` (what others have heard of; 0: nothing
 * higher).  A database that goes back twice to the same state must not get the same
 * one twice, hence `random`.
 */
int64_t learn_next_incarnation(int64_t known, int64_t heard, uint64_t random);

/* Can it be one that came at most so many times after `known`? */
bool learn_is_in_reach(int64_t incarnation, int64_t known, int64_t lives);

/* Another process that is registered. */
struct learn_other {
    char process[UUID_SIZE];
    int64_t commits;
    int64_t since_ms; /* it has committed nothing since then, by the clock of who looks */
};

#define LEARN_OTHERS_MAX 64

struct learn_others {
    size_t count;
    struct learn_other all[LEARN_OTHERS_MAX];
};

/*
 * `seen` are those that there are now; `known`, those that were seen before, become these.
 * Every process commits now and then, and one whose commits stand still is gone.  Not by the
 * database's clock, which may be set forward.
 */
void learn_see_others(struct learn_others *known, const struct learn_others *seen, int64_t now_ms);

/* Who has spoken in this incarnation, of those that could know more than the database. */
struct learn_roll {
    int64_t witnesses;   /* processes that had registered before it */
    int64_t agreeing;    /* of those, the ones that found all that they had committed */
    int64_t silent;      /* servers that have not told all they hold */
    int64_t waited_ms;   /* since it began: who is alive and unknown has spoken by then ... */
    int64_t learn_ms;    /* ... if it took so long */
    bool is_proven_lost; /* it is known that something was forgotten */
};

/* Nothing was forgotten: all witnesses agree. */
bool learn_is_intact(const struct learn_roll *r);

/* All servers have spoken. */
bool learn_has_heard(const struct learn_roll *r);
