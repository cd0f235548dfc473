#include "services/local-svc/store_learn.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "services/local-svc/store_rows.h"

/* How often one transaction begins anew because somebody else found something, too. */
#define TRIES_MAX 5

enum step { STEP_DONE, STEP_REGISTER, STEP_BEGIN, STEP_AGAIN };

struct guarded_tx {
    struct witness *witness;
    struct learn_guard *guard;
    db_tx_fn *fn;
    void *arg;
    enum step step;
    int64_t commits, writers;
};

bool learn_found(struct learn_guard *g, int64_t heard, const char *who, const char *what,
                 struct err *e)
{
    g->has_evidence = true;
    g->heard = heard;
    (void)snprintf(g->reason, sizeof(g->reason), "%s %s", who, what);
    return err_set(e, ERR_UNAVAILABLE, "the database has forgotten something; say it again");
}

/* ---- the look */

#define LOOK                                                                                       \
    "SELECT d.incarnation, d.in_doubt, d.life IS NULL OR d.life = local.current_life(),"           \
    "       d.writers, w.process IS NOT NULL, coalesce(w.commits, 0),"                             \
    "       (SELECT count(*) FROM local.writer)"                                                   \
    "  FROM local.dc d LEFT JOIN local.writer w ON w.process = $1::uuid"

struct look {
    int64_t incarnation;
    bool in_doubt;
    struct learn_database database;
};

/* The mark comes before the row goes, so whoever misses the row sees the mark. */
static bool load_look(struct witness *w, const struct db_rows *rows, struct look *ret,
                      struct err *e)
{
    if (witness_has_left(w))
        return err_set(e, ERR_UNAVAILABLE, "this process is about to end; ask another one");
    if (db_count(rows) != 1)
        return err_set(e, ERR_INTERNAL, "local.dc has not one row");
    *ret = (struct look){
        .incarnation = db_get_i64(rows, 0, 0),
        .in_doubt = db_get_bool(rows, 0, 1),
        .database = {.is_same_life = db_get_bool(rows, 0, 2),
                     .writers = db_get_i64(rows, 0, 3),
                     .is_registered = db_get_bool(rows, 0, 4),
                     .commits = db_get_i64(rows, 0, 5),
                     .present = db_get_i64(rows, 0, 6)},
    };
    return true;
}

static bool look(struct db_conn *c, struct witness *w, struct look *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    return db_query(c, LOOK, DB_ARGS(db_text(witness_process(w))), &rows, e) &&
           load_look(w, rows, ret, e);
}

/* So that nobody else begins at the same time. */
static bool look_locked(struct db_conn *c, struct witness *w, struct look *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    return db_query(c, "SELECT FROM local.dc FOR UPDATE", DB_NO_ARGS, NULL, e) &&
           db_query(c, LOOK, DB_ARGS(db_text(witness_process(w))), &rows, e) &&
           load_look(w, rows, ret, e);
}

/* ---- a guarded transaction */

/*
 * This process has found all that it ever committed.  And no doubt began between the look and
 * the locks: pools that are not in doubt cannot come into it while they are locked.
 *
 * Those in doubt already are not locked when it begins anew, so a transaction of such pools may
 * still commit with the incarnation before.  It grants and sends nothing, and what it notes of who
 * has spoken (heard_in, agreed_in and the peers' heard) is of that one, and counts for nothing.
 */
static bool count_commit(struct db_conn *c, struct guarded_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "UPDATE local.writer SET commits = commits + 1, agreed_in = $2,"
                  "       seen_at = clock_timestamp()"
                  " WHERE process = $1::uuid AND (SELECT incarnation FROM local.dc) = $2"
                  " RETURNING commits",
                  DB_ARGS(db_text(witness_process(tx->witness)), db_i64(tx->guard->incarnation)),
                  &rows, e))
        return false;
    if (db_count(rows) != 1) {
        tx->step = STEP_AGAIN;
        return err_set(e, ERR_UNAVAILABLE, "doubt has just begun; say it again");
    }
    tx->commits = db_get_i64(rows, 0, 0);
    return true;
}

static bool guarded_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct guarded_tx *tx = arg;
    const struct learn_memory memory = witness_memory(tx->witness);
    struct look found = {0};

    tx->step = STEP_DONE;
    if (!look(c, tx->witness, &found, e))
        return false;
    *tx->guard = (struct learn_guard){.incarnation = found.incarnation, .in_doubt = found.in_doubt};
    tx->writers = found.database.writers;
    if (learn_judge(&memory, &found.database) != LEARN_NOTHING)
        tx->step = STEP_BEGIN;
    else if (!found.database.is_registered)
        tx->step = STEP_REGISTER;
    if (tx->step != STEP_DONE)
        return err_set(e, ERR_UNAVAILABLE, "the database is looked at; say it again");
    if (tx->fn(c, tx->arg, e))
        return count_commit(c, tx, e);
    if (tx->guard->has_evidence)
        tx->step = STEP_BEGIN;
    return false;
}

/* ---- a process comes */

struct register_tx {
    struct witness *witness;
    int64_t writers;
};

/* A database that nobody has used before has no life yet. */
static bool register_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    struct register_tx *tx = arg;

    if (!db_query(c,
                  "UPDATE local.dc SET writers = writers + 1,"
                  "       life = coalesce(life, local.current_life())"
                  " RETURNING writers, incarnation",
                  DB_NO_ARGS, &rows, e))
        return false;
    tx->writers = db_get_i64(rows, 0, 0);
    return db_query(c,
                    "INSERT INTO local.writer (process, registered_in, seen_at)"
                    "VALUES ($1::uuid, $2, clock_timestamp()) ON CONFLICT DO NOTHING",
                    DB_ARGS(db_text(witness_process(tx->witness)), db_i64(db_get_i64(rows, 0, 1))),
                    NULL, e);
}

static bool enlist(struct db *db, struct witness *w, struct err *e)
{
    struct register_tx tx = {.witness = w};

    witness_forget(w);
    if (!store_tx(db, register_tx, &tx, e))
        return err_while(e, "registering");
    witness_saw(w, 0, tx.writers);
    return true;
}

/* ---- doubt begins */

struct begin_tx {
    struct witness *witness;
    const struct learn_guard *guard;
    enum learn_verdict verdict;
    bool is_raised, is_lost;
    int64_t incarnation, writers, commits;
    char reason[128];
};

/* Somebody else may have begun for the same reason. */
static void decide(struct begin_tx *tx, const struct learn_memory *m, const struct look *l)
{
    const struct learn_guard *g = tx->guard;
    bool has_evidence = g->has_evidence && g->incarnation == l->incarnation;

    tx->verdict = learn_judge(m, &l->database);
    tx->is_lost = has_evidence || tx->verdict == LEARN_FORGOTTEN;
    tx->is_raised = tx->is_lost || tx->verdict == LEARN_UNPROVEN;
    tx->incarnation = l->incarnation;
    tx->writers = max_i64(m->writers, l->database.writers);
    tx->commits = max_i64(m->commits, l->database.commits);
    if (has_evidence)
        (void)snprintf(tx->reason, sizeof(tx->reason), "%s", g->reason);
    else
        (void)snprintf(tx->reason, sizeof(tx->reason), "%s",
                       tx->verdict == LEARN_FORGOTTEN
                           ? "transactions that were acknowledged are not there"
                           : LEARN_OTHER_LIFE);
}

static bool raise_incarnation(struct db_conn *c, struct begin_tx *tx, struct err *e)
{
    tx->incarnation = learn_next_incarnation(tx->incarnation, tx->guard->heard, prng_entropy());
    return db_query(
        c,
        "UPDATE local.dc"
        "   SET incarnation = $1, life = local.current_life(), writers = $2,"
        "       is_lost = $3 OR (is_lost AND in_doubt), in_doubt = true,"
        "       has_heard = false, is_overruled = false, reason = $4, since = clock_timestamp(),"
        "       since_calendar = calendar.now()",
        DB_ARGS(db_i64(tx->incarnation), db_i64(tx->writers), db_bool(tx->is_lost),
                db_text(tx->reason)),
        NULL, e);
}

/* In key order, like everywhere.  A window that is over grants nothing anyway. */
static bool doubt_pools(struct db_conn *c, struct err *e)
{
    return db_query(c,
                    "WITH open AS MATERIALIZED ("
                    "     SELECT cap, starts_at FROM local.pool"
                    "      WHERE (state = 'planned' OR state = 'open') AND NOT in_doubt"
                    "      ORDER BY cap, starts_at FOR UPDATE)"
                    "UPDATE local.pool p SET in_doubt = true FROM open"
                    " WHERE p.cap = open.cap AND p.starts_at = open.starts_at",
                    DB_NO_ARGS, NULL, e);
}

/* What this process knows of itself is as good as ever; of the rest it is no witness. */
static bool remember_writer(struct db_conn *c, const struct begin_tx *tx, struct err *e)
{
    return tx->verdict != LEARN_FORGOTTEN ||
           db_query(c,
                    "INSERT INTO local.writer AS w (process, commits, registered_in, seen_at)"
                    "VALUES ($1::uuid, $2, $3, clock_timestamp())"
                    "    ON CONFLICT (process) DO UPDATE"
                    "   SET commits = greatest(w.commits, excluded.commits),"
                    "       registered_in = excluded.registered_in",
                    DB_ARGS(db_text(witness_process(tx->witness)), db_i64(tx->commits),
                            db_i64(tx->incarnation)),
                    NULL, e);
}

static bool begin_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct begin_tx *tx = arg;
    const struct learn_memory memory = witness_memory(tx->witness);
    struct look found = {0};

    if (!look_locked(c, tx->witness, &found, e))
        return false;
    decide(tx, &memory, &found);
    if (tx->is_raised)
        return raise_incarnation(c, tx, e) && doubt_pools(c, e) && remember_writer(c, tx, e);
    return tx->verdict != LEARN_PROVEN ||
           db_query(c, "UPDATE local.dc SET life = local.current_life()", DB_NO_ARGS, NULL, e);
}

static bool begin(struct db *db, struct witness *w, const struct learn_guard *guard, struct err *e)
{
    struct begin_tx tx = {.witness = w, .guard = guard};

    if (!store_tx(db, begin_tx, &tx, e))
        return err_while(e, "putting the pools in doubt");
    if (tx.is_raised)
        log_event(LOG_ERROR, "learning.began", log_str("reason", tx.reason),
                  log_i64("incarnation", tx.incarnation), log_i64("is_lost", tx.is_lost));
    else if (tx.verdict == LEARN_PROVEN)
        log_event(LOG_WARN, "database.new_life", log_str("verdict", "nothing was forgotten"));
    return true;
}

bool store_guarded(struct db *db, struct witness *witness, struct learn_guard *guard, db_tx_fn *fn,
                   void *arg, struct err *e)
{
    struct guarded_tx tx = {.witness = witness, .guard = guard, .fn = fn, .arg = arg};

    for (int i = 0; i < TRIES_MAX; i++) {
        if (store_tx(db, guarded_tx, &tx, e)) {
            witness_saw(witness, tx.commits, tx.writers);
            return true;
        }
        if (tx.step == STEP_DONE)
            return false;
        if (tx.step == STEP_REGISTER && !enlist(db, witness, e))
            return false;
        if (tx.step == STEP_BEGIN && !begin(db, witness, guard, e))
            return false;
    }
    return false; /* with the last error, which says: again */
}

/* ---- now and then */

struct look_tx {
    const struct witness *witness;
    struct learn_others *others;
    int64_t now_ms;
};

static bool see_others(struct db_conn *c, const struct look_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    struct learn_others seen = {0};

    if (!db_query(c,
                  "SELECT process, commits FROM local.writer WHERE process <> $1::uuid"
                  " ORDER BY process LIMIT $2",
                  DB_ARGS(db_text(witness_process(tx->witness)), db_i64(LEARN_OTHERS_MAX)), &rows,
                  e))
        return false;
    seen.count = (size_t)db_count(rows);
    for (size_t i = 0; i < seen.count; i++) {
        (void)snprintf(seen.all[i].process, UUID_SIZE, "%s", db_get_text(rows, (int)i, 0));
        seen.all[i].commits = db_get_i64(rows, (int)i, 1);
    }
    learn_see_others(tx->others, &seen, tx->now_ms);
    return true;
}

/* Unless it has committed meanwhile after all. */
static bool strike_off(struct db_conn *c, const struct learn_other *o, struct err *e)
{
    return db_query(c,
                    "DELETE FROM local.writer"
                    " WHERE process = $1::uuid AND commits = $2"
                    "   AND NOT (SELECT in_doubt FROM local.dc)",
                    DB_ARGS(db_text(o->process), db_i64(o->commits)), NULL, e);
}

static bool look_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct look_tx *tx = arg;

    if (!see_others(c, tx, e))
        return false;
    for (size_t i = 0; i < tx->others->count; i++) {
        const struct learn_other *o = &tx->others->all[i];

        if (tx->now_ms - o->since_ms >= WITNESS_STRUCK_MS && !strike_off(c, o, e))
            return false;
    }
    return true;
}

bool store_learn_look(struct db *db, struct witness *witness, struct learn_others *others,
                      int64_t now_ms, struct err *e)
{
    struct learn_guard guard;
    struct look_tx tx = {.witness = witness, .others = others, .now_ms = now_ms};

    return store_guarded(db, witness, &guard, look_tx, &tx, e);
}

static bool leave_tx(struct db_conn *c, void *arg, struct err *e)
{
    return db_query(c, "DELETE FROM local.writer WHERE process = $1::uuid", DB_ARGS(db_text(arg)),
                    NULL, e);
}

bool store_learn_leave(struct db *db, struct witness *witness, struct err *e)
{
    char process[UUID_SIZE];

    witness_leave(witness);
    (void)snprintf(process, sizeof(process), "%s", witness_process(witness));
    return store_tx(db, leave_tx, process, e) || err_while(e, "leaving");
}
