#include "services/meta-svc/store.h"

#include <string.h>

#include "services/meta-svc/store_rows.h"

/* The cap as it is, with every rival kept out until the transaction ends, and the time. */
static bool lock(struct db_conn *c, const struct meta_home *here, const char *id,
                 struct meta_cap *ret, int64_t *ret_now_ms, struct err *e)
{
    return meta_rows_check_dc(c, here->dc, e) && meta_rows_lock(c, &id, 1, e) &&
           meta_rows_now(c, ret_now_ms, e) && meta_rows_cap(c, id, ret, e);
}

static bool is_away(const struct meta_home *here, const struct meta_cap *m)
{
    return m->version > 0 && strcmp(m->origin.home, here->dc) != 0;
}

struct put_tx {
    const struct meta_home *here;
    const struct cap *cap;
    const struct condition *condition;
    struct meta_cap stored; /* the outcome's */
    enum meta_put_outcome outcome;
};

/* `version` is the visible one. */
static bool require_match(const char *id, const struct condition *condition, int64_t version,
                          struct err *e)
{
    if (condition_match_holds(condition, version))
        return true;
    if (version == 0)
        return err_set(e, ERR_PRECONDITION, "there is no cap %s: create it without If-Match", id);
    return err_set(e, ERR_PRECONDITION,
                   "the ETag of cap %s is \"%lld\", which If-Match does not name: read it again",
                   id, (long long)version);
}

/* What putting `cap` over what is there comes to.  Pure. */
static bool decide_put(const struct meta_cap *old, const struct cap *cap,
                       const struct condition *condition, enum meta_put_outcome *ret, struct err *e)
{
    int64_t visible = meta_cap_visible_version(old);

    if (!require_match(cap->id, condition, visible, e))
        return false;
    if (!condition_none_match_holds(condition, visible))
        return err_set(e, ERR_PRECONDITION,
                       "there is a cap %s, with the ETag \"%lld\": change it with If-Match",
                       cap->id, (long long)visible);
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

/* A cap that comes back after a deletion must not meet the windows of its former life. */
static int64_t grid_since(const struct meta_cap *old, const struct cap *cap, int64_t now_ms)
{
    if (old->version == 0)
        return CAP_GRID_ALWAYS;
    if (old->deleted || cap_moves_windows(&old->cap, cap, now_ms))
        return cap_next_grid_since(old->origin.grid_since_ms, now_ms);
    return old->origin.grid_since_ms;
}

static struct meta_cap next_version(const struct put_tx *tx, const struct meta_cap *old,
                                    int64_t now_ms)
{
    struct meta_cap m = {
        .cap = *tx->cap,
        .origin = {.changed_at_ms = now_ms, .grid_since_ms = grid_since(old, tx->cap, now_ms)},
        .version = old->version + 1,
        .created_at_ms = tx->outcome == META_PUT_CREATED ? now_ms : old->created_at_ms,
    };

    memcpy(m.origin.home, tx->here->dc, strlen(tx->here->dc) + 1);
    return m;
}

static bool put_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct put_tx *tx = arg;
    struct meta_cap old;
    int64_t now_ms = 0;

    if (!lock(c, tx->here, tx->cap->id, &old, &now_ms, e))
        return false;
    if (is_away(tx->here, &old)) {
        tx->outcome = META_PUT_AWAY;
        tx->stored = old;
        return true;
    }
    if (!decide_put(&old, tx->cap, tx->condition, &tx->outcome, e))
        return false;
    if (tx->outcome == META_PUT_SAME) {
        tx->stored = old;
        return true;
    }
    tx->stored = next_version(tx, &old, now_ms);
    return meta_rows_save(c, tx->here->dc, &tx->stored, META_TOLD, e);
}

static bool check_dc_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct meta_home *here = arg;

    return meta_rows_check_dc(c, here->dc, e);
}

bool meta_store_check_dc(const struct meta_home *here, struct err *e)
{
    struct meta_home home = *here;

    return db_tx(here->db, check_dc_tx, &home, e);
}

bool meta_store_put(const struct meta_home *here, const struct cap *cap,
                    const struct condition *cond, struct meta_cap *ret,
                    enum meta_put_outcome *ret_outcome, struct err *e)
{
    struct put_tx tx = {.here = here, .cap = cap, .condition = cond};

    if (!db_tx(here->db, put_tx, &tx, e))
        return false;
    *ret = tx.stored;
    *ret_outcome = tx.outcome;
    return true;
}

struct delete_tx {
    const struct meta_home *here;
    const char *id;
    const struct condition *condition;
    char away[NAME_SIZE];
};

static bool delete_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct delete_tx *tx = arg;
    struct meta_cap m;
    int64_t now_ms = 0;

    if (!lock(c, tx->here, tx->id, &m, &now_ms, e))
        return false;
    if (meta_cap_visible_version(&m) == 0)
        return err_set(e, ERR_NOT_FOUND, "there is no cap %s", tx->id);
    tx->away[0] = '\0';
    if (is_away(tx->here, &m)) {
        memcpy(tx->away, m.origin.home, NAME_SIZE);
        return true;
    }
    if (!require_match(tx->id, tx->condition, m.version, e))
        return false;
    m.version++;
    m.deleted = true;
    m.origin.changed_at_ms = now_ms;
    return meta_rows_save(c, tx->here->dc, &m, META_TOLD, e);
}

bool meta_store_delete(const struct meta_home *here, const char *id, const struct condition *cond,
                       char ret_away[NAME_SIZE], struct err *e)
{
    struct delete_tx tx = {.here = here, .id = id, .condition = cond};

    if (!db_tx(here->db, delete_tx, &tx, e))
        return false;
    memcpy(ret_away, tx.away, NAME_SIZE);
    return true;
}

/* After META_COLUMNS, with the name of this data centre as the parameter. */
#define LOST_HERE(parameter)                                                                       \
    ", EXISTS (SELECT FROM meta.cap AS o WHERE o.id = c.id AND o.home = " parameter                \
    "           AND o.home > c.home)"
#define LOST_HERE_COLUMN 18

static struct meta_cap read_shown(const struct db_rows *rows, int row)
{
    struct meta_cap m = meta_row(rows, row, 0);

    m.lost_here = db_get_bool(rows, row, LOST_HERE_COLUMN);
    return m;
}

struct get_tx {
    const struct meta_home *here;
    const char *id;
    struct meta_cap *ret;
};

static bool get_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct get_tx *tx = arg;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT " META_COLUMNS LOST_HERE(
                      "$2") " FROM meta.cap AS c"
                            " WHERE c.id = $1 AND NOT c.deleted AND " META_IS_THE_CAP,
                  DB_ARGS(db_text(tx->id), db_text(tx->here->dc)), &rows, e))
        return false;
    if (db_count(rows) == 0)
        return err_set(e, ERR_NOT_FOUND, "there is no cap %s", tx->id);
    *tx->ret = read_shown(rows, 0);
    return true;
}

bool meta_store_get(const struct meta_home *here, const char *id, struct meta_cap *ret,
                    struct err *e)
{
    struct get_tx tx = {.here = here, .id = id, .ret = ret};

    return db_tx(here->db, get_tx, &tx, e);
}

struct list_tx {
    const struct meta_home *here;
    const char *after;
    int64_t limit;
    struct meta_cap *ret;
    size_t count;
};

static bool list_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct list_tx *tx = arg;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT " META_COLUMNS LOST_HERE(
                      "$3") " FROM meta.cap AS c"
                            " WHERE c.id > $1 AND NOT c.deleted AND " META_IS_THE_CAP
                            " ORDER BY c.id LIMIT $2",
                  DB_ARGS(db_text(tx->after), db_i64(tx->limit), db_text(tx->here->dc)), &rows, e))
        return false;
    tx->count = (size_t)db_count(rows);
    for (int row = 0; row < db_count(rows); row++)
        tx->ret[row] = read_shown(rows, row);
    return true;
}

bool meta_store_list(const struct meta_home *here, const char *after, int64_t limit,
                     struct meta_cap *ret, size_t *ret_count, struct err *e)
{
    struct list_tx tx = {.here = here, .after = after, .limit = limit, .ret = ret};

    if (!db_tx(here->db, list_tx, &tx, e))
        return false;
    *ret_count = tx.count;
    return true;
}
