#pragma once

/*
 * store_learn: transactions that first make sure that the database has not gone
 * back to an earlier state; and, when it has, how it learns what it forgot
 * (docs/PROTOCOL.md, "What a database forgets").
 *
 * Of the order of locks: local.dc comes before everything else where it is
 * locked, local.writer after everything else.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/num.h"
#include "common/domain/pool.h"
#include "common/domain/window_key.h"
#include "common/io/db.h"
#include "services/local-svc/peers.h"
#include "services/local-svc/witness.h"

/* What a guarded transaction knows, and what it may find out. */
struct learn_guard {
    int64_t incarnation; /* of this data centre */
    bool in_doubt;       /* some pools are */
    /* Set by the transaction, which then fails: somebody knows more than the database. */
    bool has_evidence;
    int64_t heard;   /* an incarnation that somebody has heard of; 0: none */
    char reason[96]; /* what was found */
};

/* Notes evidence, in words that somebody will look at.  Returns false. */
bool learn_found(struct learn_guard *g, int64_t heard, const char *who, const char *what,
                 struct err *e);

/* Why it is in doubt when nobody can tell whether anything was forgotten. */
#define LEARN_OTHER_LIFE "another server, timeline or start of the database"

/*
 * store_tx() for whatever grants, sends or mints units.  A database that may have
 * forgotten something is put in doubt first, and so it is when `fn` finds evidence;
 * then `fn` runs again.  `guard` is set before each run.
 */
MUST_CHECK bool store_guarded(struct db *db, struct witness *witness, struct learn_guard *guard,
                              db_tx_fn *fn, void *arg, struct err *e);

/*
 * A guarded transaction that shows that this process is there, and strikes off those that are
 * no longer.  `others` is kept from one look to the next; `now_ms` is of this process's clock.
 */
MUST_CHECK bool store_learn_look(struct db *db, struct witness *witness,
                                 struct learn_others *others, int64_t now_ms, struct err *e);

/* An orderly end: this process is no witness any more. */
MUST_CHECK bool store_learn_leave(struct db *db, struct witness *witness, struct err *e);

#define LEARN_POOLS_MAX 500

/* What is kept from one step to the next. */
struct learn_round {
    struct window_key at; /* the pools after this one are next */
    int64_t not_trusted;  /* of those before, though all have spoken */
    struct window_key first_key;
    struct pool first;
    int64_t reported_ms; /* when that was last logged; 0: never */
};

/*
 * In doubt: looks who has spoken, and trusts the next pools of which all has been heard.
 * `ret_more`: call again soon.
 */
MUST_CHECK bool store_learn_step(struct db *db, const struct peers *peers, int64_t learn_ms,
                                 struct learn_round *round, bool *ret_more, struct err *e);

/*
 * An operator knows better: what the database says now is taken for the truth with the
 * next step.  ERR_CONFLICT: nothing is in doubt in this incarnation.
 */
MUST_CHECK bool store_learn_end(struct db *db, int64_t incarnation, struct err *e);

struct learn_status {
    bool is_learning; /* in doubt, or another life at which nobody has looked yet */
    bool in_doubt, is_lost, has_heard, is_overruled;
    int64_t incarnation;
    int64_t for_ms;       /* in doubt: since it was raised last */
    char reason[256];     /* of the doubt, or of the last one */
    int64_t pools, units; /* in doubt, and what seems free there */
    int64_t silent;       /* servers that have not told what they hold */
    int64_t ends_in_ms;   /* the last of those windows; 0 if there is none */
};

MUST_CHECK bool store_learn_status(struct db *db, struct learn_status *ret, struct err *e);
