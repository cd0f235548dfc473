#include "services/coordinator/store.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "services/coordinator/terms.h"

/*
 * Heartbeats need not survive a crash of the database, nor wait for its
 * standby.  An epoch must (see campaign_tx).
 */
const char coordinator_store_setup[] =
    "SET idle_session_timeout = 3000; SET idle_in_transaction_session_timeout = 3000;"
    " SET statement_timeout = 5000; SET lock_timeout = 1000; SET synchronous_commit = off;"
    " SET tcp_keepalives_idle = 2; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3;"
    " SET tcp_user_timeout = 3000";
_Static_assert(TERMS_SILENCE_MS == 3000, "as in the setup");

static bool join_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct coordinator_self *self = arg;

    return db_query(c,
                    "INSERT INTO coordinator.leadership (role, lock_key)"
                    " VALUES ($1, coordinator.lock_key($1)) ON CONFLICT (role) DO NOTHING",
                    DB_ARGS(db_text(self->role)), NULL, e) &&
           /* Those that have been dead for long, and whom we succeed under our name. */
           db_query(
               c,
               "DELETE FROM coordinator.member WHERE role = $1"
               "   AND (seen_at < clock_timestamp() - interval '10 minutes'"
               "        OR (name = $2 AND seen_at < clock_timestamp() - interval '2 seconds'))",
               DB_ARGS(db_text(self->role), db_text(self->name)), NULL, e);
}

/* The transactions' argument is not const, and `self` is ours for good. */
bool coordinator_store_join(struct db_session *s, const struct coordinator_self *self,
                            struct err *e)
{
    struct coordinator_self copy = *self;

    return db_session_tx(s, join_tx, &copy, e);
}

struct beat_tx {
    const struct coordinator_self *self;
    const struct coordinator_beat *beat;
    struct coordinator_sight sight;
};

static void copy_text(char *to, size_t size, const char *from)
{
    CHECK(strlen(from) < size);
    (void)snprintf(to, size, "%s", from);
}

static bool load_leadership(struct db_conn *c, struct beat_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT epoch, epoch > 0 AND NOT released,"
                  "       coalesce(holder = $2::uuid, false) AND NOT released,"
                  "       coalesce(holder_name, ''),"
                  "       coalesce((extract(epoch FROM since) * 1000)::bigint, -1)"
                  "  FROM coordinator.leadership WHERE role = $1",
                  DB_ARGS(db_text(tx->self->role), db_text(tx->self->instance)), &rows, e))
        return false;
    if (db_count(rows) != 1)
        return err_set(e, ERR_INTERNAL, "the role %s is not in the database", tx->self->role);
    tx->sight = (struct coordinator_sight){.epoch = db_get_i64(rows, 0, 0),
                                           .is_held = db_get_bool(rows, 0, 1),
                                           .is_ours = db_get_bool(rows, 0, 2),
                                           .since_ms = db_get_i64(rows, 0, 4)};
    copy_text(tx->sight.holder, NAME_SIZE, db_get_text(rows, 0, 3));
    return true;
}

static bool load_members(struct db_conn *c, struct beat_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT m.name, m.version, m.lag_ms, m.instance = $2::uuid,"
                  "       coalesce(m.instance = l.holder, false) AND NOT l.released,"
                  "       greatest(extract(epoch FROM clock_timestamp() - m.seen_at) * 1000, 0)"
                  "          ::bigint, m.competes"
                  "  FROM coordinator.member AS m JOIN coordinator.leadership AS l USING (role)"
                  " WHERE m.role = $1 ORDER BY m.seen_at DESC, m.instance LIMIT $3",
                  DB_ARGS(db_text(tx->self->role), db_text(tx->self->instance),
                          db_i64(COORDINATOR_MEMBERS_MAX)),
                  &rows, e))
        return false;
    tx->sight.count = (size_t)db_count(rows);
    for (int i = 0; i < db_count(rows); i++) {
        struct coordinator_member *m = &tx->sight.members[i];
        copy_text(m->name, sizeof(m->name), db_get_text(rows, i, 0));
        copy_text(m->version, sizeof(m->version), db_get_text(rows, i, 1));
        m->lag_ms = db_get_i64(rows, i, 2);
        m->is_us = db_get_bool(rows, i, 3);
        m->is_holder = db_get_bool(rows, i, 4);
        m->seen_ms_ago = db_get_i64(rows, i, 5);
        m->competes = db_get_bool(rows, i, 6);
    }
    return true;
}

static bool beat_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct beat_tx *tx = arg;
    const struct coordinator_self *self = tx->self;

    return db_query(c,
                    "INSERT INTO coordinator.member AS m"
                    "    (role, instance, name, version, lag_ms, competes, seen_at)"
                    " VALUES ($1, $2::uuid, $3, $4, $5, $6, clock_timestamp())"
                    " ON CONFLICT (role, instance)"
                    " DO UPDATE SET lag_ms = excluded.lag_ms, competes = excluded.competes,"
                    "               seen_at = excluded.seen_at",
                    DB_ARGS(db_text(self->role), db_text(self->instance), db_text(self->name),
                            db_text(VOLUMECAP_VERSION), db_i64(tx->beat->lag_ms),
                            db_bool(tx->beat->competes)),
                    NULL, e) &&
           load_leadership(c, tx, e) && load_members(c, tx, e);
}

bool coordinator_store_beat(struct db_session *s, const struct coordinator_self *self,
                            const struct coordinator_beat *beat, struct coordinator_sight *ret,
                            struct err *e)
{
    struct beat_tx tx = {.self = self, .beat = beat};

    if (!db_session_tx(s, beat_tx, &tx, e))
        return false;
    *ret = tx.sight;
    return true;
}

struct campaign_tx {
    const struct coordinator_self *self;
    const struct coordinator_candidacy *candidacy;
    struct coordinator_vote vote;
};

static bool take_lock(struct db_conn *c, struct campaign_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT pg_try_advisory_lock(lock_key) FROM coordinator.leadership"
                  " WHERE role = $1",
                  DB_ARGS(db_text(tx->self->role)), &rows, e))
        return false;
    tx->vote = (struct coordinator_vote){.won = db_count(rows) == 1 && db_get_bool(rows, 0, 0)};
    return true;
}

/* Also waits until no fenced transaction of the predecessor is under way. */
static bool load_predecessor(struct db_conn *c, const struct campaign_tx *tx,
                             struct terms_predecessor *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SELECT FROM coordinator.leadership WHERE role = $1 FOR UPDATE",
                  DB_ARGS(db_text(tx->self->role)), NULL, e) ||
        !db_query(c,
                  "SELECT l.epoch > 0, l.released, coalesce(l.holder = $2::uuid, false),"
                  "       coalesce(ceil(extract(epoch FROM l.acts_at - clock_timestamp()) * 1000),"
                  "                0)::bigint, l.epoch"
                  "  FROM coordinator.leadership AS l WHERE l.role = $1",
                  DB_ARGS(db_text(tx->self->role), db_text(tx->self->instance)), &rows, e))
        return false;
    *ret = (struct terms_predecessor){
        .exists = db_get_bool(rows, 0, 0),
        .released = db_get_bool(rows, 0, 1),
        .is_us = db_get_bool(rows, 0, 2),
        .was_seen = db_get_i64(rows, 0, 4) == tx->candidacy->seen_epoch,
        .acts_in_ms = db_get_i64(rows, 0, 3),
    };
    return true;
}

/* The epoch must outlive a crash, and a failover if the server has a synchronous standby. */
static bool raise_epoch(struct db_conn *c, struct campaign_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SET LOCAL synchronous_commit = on", DB_NO_ARGS, NULL, e) ||
        !db_query(c,
                  "UPDATE coordinator.leadership"
                  "   SET epoch = greatest(epoch, $5) + 1, holder = $2::uuid, holder_name = $3,"
                  "       since = clock_timestamp(), released = false,"
                  "       acts_at = clock_timestamp() + $4 * interval '1 ms'"
                  " WHERE role = $1 RETURNING epoch",
                  DB_ARGS(db_text(tx->self->role), db_text(tx->self->instance),
                          db_text(tx->self->name), db_i64(tx->vote.wait_ms),
                          db_i64(tx->candidacy->heard_epoch)),
                  &rows, e))
        return false;
    tx->vote.epoch = db_get_i64(rows, 0, 0);
    return true;
}

static bool campaign_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct campaign_tx *tx = arg;
    struct terms_predecessor predecessor = {0};

    if (!take_lock(c, tx, e))
        return false;
    if (!tx->vote.won)
        return true;
    if (!load_predecessor(c, tx, &predecessor, e))
        return false;
    tx->vote.wait_ms = terms_wait_ms(&predecessor);
    return raise_epoch(c, tx, e);
}

bool coordinator_store_campaign(struct db_session *s, const struct coordinator_self *self,
                                const struct coordinator_candidacy *candidacy,
                                struct coordinator_vote *ret, struct err *e)
{
    struct campaign_tx tx = {.self = self, .candidacy = candidacy};

    if (!db_session_tx(s, campaign_tx, &tx, e))
        return false;
    *ret = tx.vote;
    return true;
}

struct release_tx {
    const struct coordinator_self *self;
    int64_t epoch;
};

static bool release_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct release_tx *tx = arg;

    return db_query(
        c,
        "UPDATE coordinator.leadership SET released = true"
        " WHERE role = $1 AND epoch = $2 AND holder = $3::uuid",
        DB_ARGS(db_text(tx->self->role), db_i64(tx->epoch), db_text(tx->self->instance)), NULL, e);
}

static bool unlock_tx(struct db_conn *c, void *arg, struct err *e)
{
    (void)arg;
    return db_query(c, "SELECT pg_advisory_unlock_all()", DB_NO_ARGS, NULL, e);
}

bool coordinator_store_unlock(struct db_session *s, struct err *e)
{
    return db_session_tx(s, unlock_tx, NULL, e);
}

/* Two transactions: whoever gets the lock must find that it was released. */
bool coordinator_store_release(struct db_session *s, const struct coordinator_self *self,
                               int64_t epoch, struct err *e)
{
    struct release_tx tx = {.self = self, .epoch = epoch};

    return db_session_tx(s, release_tx, &tx, e) && coordinator_store_unlock(s, e);
}

static bool leave_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct coordinator_self *self = arg;

    return db_query(c, "DELETE FROM coordinator.member WHERE role = $1 AND instance = $2::uuid",
                    DB_ARGS(db_text(self->role), db_text(self->instance)), NULL, e);
}

bool coordinator_store_leave(struct db_session *s, const struct coordinator_self *self,
                             struct err *e)
{
    struct coordinator_self copy = *self;

    return db_session_tx(s, leave_tx, &copy, e);
}
