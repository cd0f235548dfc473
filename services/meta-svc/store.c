#include "services/meta-svc/store.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/io/outbox.h"
#include "services/meta-svc/message.h"

#define SELECT_CAP                                                                                 \
    "SELECT id, version, deleted, calendar.to_ms(starts_at), calendar.to_ms(ends_at), interval,"   \
    "       total, coalesce(initial_total, -1), time_zone, topup_ppm, slice_max_ppm, autonomy_ms," \
    "       paused, calendar.to_ms(created_at), calendar.to_ms(updated_at)"                        \
    "  FROM meta.cap"

/* The database's constraints have checked the lengths. */
static void copy_text(char *ret, size_t size, const char *text)
{
    CHECK(strlen(text) < size);
    memcpy(ret, text, strlen(text) + 1);
}

static struct meta_cap read_cap(const struct db_rows *rows, int row)
{
    struct meta_cap m = {
        .cap = {.starts_at_ms = db_get_i64(rows, row, 3),
                .ends_at_ms = db_get_i64(rows, row, 4),
                .interval = cap_interval_of(db_get_text(rows, row, 5)),
                .total = db_get_i64(rows, row, 6),
                .initial_total = db_get_i64(rows, row, 7),
                .topup_ppm = db_get_i64(rows, row, 9),
                .slice_max_ppm = db_get_i64(rows, row, 10),
                .autonomy_ms = db_get_i64(rows, row, 11),
                .paused = db_get_bool(rows, row, 12)},
        .version = db_get_i64(rows, row, 1),
        .deleted = db_get_bool(rows, row, 2),
        .created_at_ms = db_get_i64(rows, row, 13),
        .updated_at_ms = db_get_i64(rows, row, 14),
    };

    CHECK(m.cap.interval >= 0);
    copy_text(m.cap.id, sizeof(m.cap.id), db_get_text(rows, row, 0));
    copy_text(m.cap.time_zone, sizeof(m.cap.time_zone), db_get_text(rows, row, 8));
    return m;
}

/*
 * Keeps every rival out until the transaction ends, and says what time it is.
 * A row that is not there yet cannot be locked: the advisory lock makes two
 * who create the same cap take turns.
 */
static bool lock(struct db_conn *c, const char *id, struct meta_cap *ret, int64_t *ret_now_ms,
                 struct err *e)
{
    auto_rows struct db_rows *clock = NULL;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT calendar.to_ms(calendar.now())"
                  "  FROM pg_advisory_xact_lock(hashtextextended('meta.cap ' || $1, 0))",
                  DB_ARGS(db_text(id)), &clock, e) ||
        !db_query(c, SELECT_CAP " WHERE id = $1 FOR UPDATE", DB_ARGS(db_text(id)), &rows, e))
        return false;
    *ret_now_ms = db_get_i64(clock, 0, 0);
    *ret = db_count(rows) == 1 ? read_cap(rows, 0) : (struct meta_cap){.version = 0};
    return true;
}

/* Writes the row and the message about it. */
static bool save(struct db_conn *c, const struct meta_cap *m, struct err *e)
{
    const struct cap *cap = &m->cap;
    auto_buf struct buf body = BUF_INIT(META_MESSAGE_MAX);
    char path[sizeof("/definitions/") + NAME_SIZE];

    (void)snprintf(path, sizeof(path), "/definitions/%s", cap->id);
    meta_message_write(m, &body);
    CHECK(!buf_failed(&body));
    return db_query(
               c,
               "INSERT INTO meta.cap (id, version, deleted, starts_at, ends_at, interval, total,"
               "    initial_total, time_zone, topup_ppm, slice_max_ppm, autonomy_ms, paused,"
               "    created_at, updated_at)"
               " VALUES ($1, $2, $3, calendar.from_ms($4), calendar.from_ms($5), $6, $7,"
               "    nullif($8, -1), $9, $10, $11, $12, $13,"
               "    calendar.from_ms($14), calendar.from_ms($15))"
               " ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version,"
               "    deleted = EXCLUDED.deleted, starts_at = EXCLUDED.starts_at,"
               "    ends_at = EXCLUDED.ends_at, interval = EXCLUDED.interval,"
               "    total = EXCLUDED.total, initial_total = EXCLUDED.initial_total,"
               "    time_zone = EXCLUDED.time_zone, topup_ppm = EXCLUDED.topup_ppm,"
               "    slice_max_ppm = EXCLUDED.slice_max_ppm, autonomy_ms = EXCLUDED.autonomy_ms,"
               "    paused = EXCLUDED.paused, created_at = EXCLUDED.created_at,"
               "    updated_at = EXCLUDED.updated_at",
               DB_ARGS(db_text(cap->id), db_i64(m->version), db_bool(m->deleted),
                       db_i64(cap->starts_at_ms), db_i64(cap->ends_at_ms),
                       db_text(cap_interval_names[cap->interval]), db_i64(cap->total),
                       db_i64(cap->initial_total), db_text(cap->time_zone), db_i64(cap->topup_ppm),
                       db_i64(cap->slice_max_ppm), db_i64(cap->autonomy_ms), db_bool(cap->paused),
                       db_i64(m->created_at_ms), db_i64(m->updated_at_ms)),
               NULL, e) &&
           outbox_put(c, "meta", path, buf_text(&body), e);
}

struct put_tx {
    const struct cap *cap;
    const struct condition *condition;
    struct meta_cap stored; /* the outcome's */
    enum meta_put_outcome outcome;
};

/* What putting `cap` over what is there comes to.  Pure. */
static bool decide_put(const struct meta_cap *old, const struct cap *cap,
                       const struct condition *condition, enum meta_put_outcome *ret, struct err *e)
{
    int64_t visible = meta_cap_visible_version(old);

    if (!condition_match_holds(condition, visible))
        return err_set(e, ERR_PRECONDITION, "If-Match does not name the cap's version");
    if (!condition_none_match_holds(condition, visible))
        return err_set(e, ERR_PRECONDITION, "If-None-Match names the cap's version");
    if (visible == 0) {
        *ret = META_PUT_CREATED;
        return true;
    }
    *ret = cap_equal(&old->cap, cap) ? META_PUT_SAME : META_PUT_CHANGED;
    if (*ret == META_PUT_CHANGED && condition->if_match == NULL)
        return err_set(e, ERR_PRECONDITION_REQUIRED,
                       "changing a cap needs If-Match, with its ETag or *");
    return true;
}

static bool put_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct put_tx *tx = arg;
    struct meta_cap old;
    int64_t now_ms = 0;

    if (!lock(c, tx->cap->id, &old, &now_ms, e) ||
        !decide_put(&old, tx->cap, tx->condition, &tx->outcome, e))
        return false;
    if (tx->outcome == META_PUT_SAME) {
        tx->stored = old;
        return true;
    }
    tx->stored = (struct meta_cap){
        .cap = *tx->cap,
        .version = old.version + 1,
        .created_at_ms = tx->outcome == META_PUT_CREATED ? now_ms : old.created_at_ms,
        .updated_at_ms = now_ms,
    };
    return save(c, &tx->stored, e);
}

bool meta_store_put(struct db *db, const struct cap *cap, const struct condition *cond,
                    struct meta_cap *ret, enum meta_put_outcome *ret_outcome, struct err *e)
{
    struct put_tx tx = {.cap = cap, .condition = cond};

    if (!db_tx(db, put_tx, &tx, e))
        return false;
    *ret = tx.stored;
    *ret_outcome = tx.outcome;
    return true;
}

struct delete_tx {
    const char *id;
    const struct condition *condition;
};

static bool delete_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct delete_tx *tx = arg;
    struct meta_cap m;
    int64_t now_ms = 0;

    if (!lock(c, tx->id, &m, &now_ms, e))
        return false;
    if (meta_cap_visible_version(&m) == 0)
        return err_set(e, ERR_NOT_FOUND, "there is no cap %s", tx->id);
    if (!condition_match_holds(tx->condition, m.version))
        return err_set(e, ERR_PRECONDITION, "If-Match does not name the cap's version");
    m.version++;
    m.deleted = true;
    m.updated_at_ms = now_ms;
    return save(c, &m, e);
}

bool meta_store_delete(struct db *db, const char *id, const struct condition *cond, struct err *e)
{
    struct delete_tx tx = {.id = id, .condition = cond};

    return db_tx(db, delete_tx, &tx, e);
}

struct get_tx {
    const char *id;
    struct meta_cap *ret;
};

static bool get_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct get_tx *tx = arg;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, SELECT_CAP " WHERE id = $1 AND NOT deleted", DB_ARGS(db_text(tx->id)), &rows,
                  e))
        return false;
    if (db_count(rows) == 0)
        return err_set(e, ERR_NOT_FOUND, "there is no cap %s", tx->id);
    *tx->ret = read_cap(rows, 0);
    return true;
}

bool meta_store_get(struct db *db, const char *id, struct meta_cap *ret, struct err *e)
{
    struct get_tx tx = {.id = id, .ret = ret};

    return db_tx(db, get_tx, &tx, e);
}

struct list_tx {
    const char *after;
    int64_t limit;
    struct meta_cap *ret;
    size_t count;
};

static bool list_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct list_tx *tx = arg;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, SELECT_CAP " WHERE id > $1 AND NOT deleted ORDER BY id LIMIT $2",
                  DB_ARGS(db_text(tx->after), db_i64(tx->limit)), &rows, e))
        return false;
    tx->count = (size_t)db_count(rows);
    for (int row = 0; row < db_count(rows); row++)
        tx->ret[row] = read_cap(rows, row);
    return true;
}

bool meta_store_list(struct db *db, const char *after, int64_t limit, struct meta_cap *ret,
                     size_t *ret_count, struct err *e)
{
    struct list_tx tx = {.after = after, .limit = limit, .ret = ret};

    if (!db_tx(db, list_tx, &tx, e))
        return false;
    *ret_count = tx.count;
    return true;
}
