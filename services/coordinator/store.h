#pragma once

/* store: leadership and members in PostgreSQL; all of it in the session that holds the lock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/num.h"
#include "common/base/prng.h"
#include "common/io/db.h"

#define COORDINATOR_MEMBERS_MAX 32
#define COORDINATOR_VERSION_SIZE 65

/* Limits of the session that win over the conninfo's, since the terms depend on them. */
extern const char coordinator_store_setup[];

/* This process. */
struct coordinator_self {
    const char *role; /* borrowed, as is the name */
    const char *name;
    char instance[UUID_SIZE];
};

struct coordinator_member {
    char name[NAME_SIZE];
    char version[COORDINATOR_VERSION_SIZE];
    int64_t seen_ms_ago;
    int64_t lag_ms; /* how long a heartbeat of it takes */
    bool is_us;
    bool is_holder; /* won last, and has not given up */
    bool competes;  /* takes the lock when it is free: it does not rest, and its service asks it */
};

/* What a heartbeat finds in the database. */
struct coordinator_sight {
    int64_t epoch; /* 0: nobody has ever won */
    bool is_ours;  /* we won that epoch, and have not given it up */
    bool is_held;  /* whoever won it has not given it up in order */
    char holder[NAME_SIZE];
    int64_t since_ms; /* when it won, since 1970, by the database's clock */
    size_t count;
    struct coordinator_member members[COORDINATOR_MEMBERS_MAX]; /* the latest heard of first */
};

/* ERR_CONFLICT: the role's lock is another role's already. */
MUST_CHECK bool coordinator_store_join(struct db_session *s, const struct coordinator_self *self,
                                       struct err *e);

/* What the others are told with a heartbeat. */
struct coordinator_beat {
    int64_t lag_ms; /* how long the one before took */
    bool competes;
};

MUST_CHECK bool coordinator_store_beat(struct db_session *s, const struct coordinator_self *self,
                                       const struct coordinator_beat *beat,
                                       struct coordinator_sight *ret, struct err *e);

struct coordinator_candidacy {
    int64_t heard_epoch; /* ours must be higher: some service takes nothing of a lower one */
    int64_t seen_epoch;  /* of which heartbeats came in this session, as was_seen of terms.h */
};

struct coordinator_vote {
    bool won;
    int64_t epoch;   /* ours, if won */
    int64_t wait_ms; /* before we may act */
};

/*
 * Takes the lock if it is free, and raises the epoch, which waits for fenced
 * transactions that are under way.  It may fail with the lock taken; then
 * coordinator_store_unlock() it.
 */
MUST_CHECK bool coordinator_store_campaign(struct db_session *s,
                                           const struct coordinator_self *self,
                                           const struct coordinator_candidacy *candidacy,
                                           struct coordinator_vote *ret, struct err *e);

MUST_CHECK bool coordinator_store_unlock(struct db_session *s, struct err *e);

/* Gives up the epoch, then the lock. */
MUST_CHECK bool coordinator_store_release(struct db_session *s, const struct coordinator_self *self,
                                          int64_t epoch, struct err *e);

/* No member any more. */
MUST_CHECK bool coordinator_store_leave(struct db_session *s, const struct coordinator_self *self,
                                        struct err *e);
