#include "services/meta-svc/store_peers.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "services/meta-svc/store_rows.h"

struct news_tx {
    const struct meta_home *here;
    int64_t since, limit;
    struct meta_news *news;
};

/* The counter is read in the same snapshot: rows of a later one cannot be missed. */
static bool news_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct news_tx *tx = arg;
    struct meta_news *n = tx->news;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT r.revision, " META_COLUMNS " FROM meta.revision AS r"
                  "  LEFT JOIN (SELECT * FROM meta.cap WHERE home = $1 AND revision > $2"
                  "              ORDER BY revision LIMIT $3) AS c ON true"
                  " ORDER BY c.revision",
                  DB_ARGS(db_text(tx->here->dc), db_i64(tx->since), db_i64(tx->limit + 1)), &rows,
                  e))
        return false;
    if (db_count(rows) == 0)
        return err_set(e, ERR_INTERNAL, "meta.revision has no row");
    int64_t found = db_is_null(rows, 0, 1) ? 0 : db_count(rows);
    n->more = found > tx->limit;
    n->count = (size_t)(n->more ? tx->limit : found);
    for (size_t i = 0; i < n->count; i++)
        n->list[i] = meta_row(rows, (int)i, /* first= */ 1);
    n->revision = n->more ? n->list[n->count - 1].revision : db_get_i64(rows, 0, 0);
    return true;
}

bool meta_store_news(const struct meta_home *here, int64_t since, int64_t limit,
                     struct meta_news **ret, struct err *e)
{
    auto_meta_news struct meta_news *news = calloc(1, sizeof(*news));

    CHECK(limit >= 1 && limit <= META_BATCH_MAX);
    if (news == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    if (!db_tx(here->db, news_tx,
               &(struct news_tx){.here = here, .since = since, .limit = limit, .news = news}, e))
        return err_while(e, "loading definitions");
    *ret = TAKE(news);
    return true;
}

struct apply_tx {
    const struct meta_home *here;
    const struct meta_batch *batch;
    struct meta_applied applied;
    const char *ids[META_BATCH_MAX];
    /* Of caps of ours, another home's definition whose windows ours could be taken for. */
    const struct meta_cap *rivals[META_BATCH_MAX];
    size_t rivals_count;
    /* One that its home says in an older version than it did before; NULL: none. */
    const struct meta_cap *older;
    int64_t older_than;
};

/* Two batches of one peer take turns. */
static bool lock_peer(struct db_conn *c, const char *dc, int64_t *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "INSERT INTO meta.peer AS p (dc, applied_revision) VALUES ($1, 0)"
                  " ON CONFLICT (dc) DO UPDATE SET applied_revision = p.applied_revision"
                  " RETURNING applied_revision",
                  DB_ARGS(db_text(dc)), &rows, e))
        return false;
    *ret = db_get_i64(rows, 0, 0);
    return true;
}

/* The version of a peer's own definition that is here; 0: none. */
static bool known_version(struct db_conn *c, const struct meta_cap *m, int64_t *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SELECT version FROM meta.cap WHERE id = $1 AND home = $2",
                  DB_ARGS(db_text(m->cap.id), db_text(m->origin.home)), &rows, e))
        return false;
    *ret = db_count(rows) == 1 ? db_get_i64(rows, 0, 0) : 0;
    return true;
}

/*
 * A first definition elsewhere may have cut windows on our present grid; and
 * so may one that changed its grid before its home had heard of ours.
 */
static bool is_rival(const struct meta_cap *ours, const struct meta_cap *theirs,
                     int64_t known_version)
{
    return known_version == 0 ||
           cap_phase_ms(ours->origin.grid_since_ms) == cap_phase_ms(theirs->origin.grid_since_ms);
}

static bool apply_one(struct db_conn *c, struct apply_tx *tx, const struct meta_cap *m,
                      struct err *e)
{
    int64_t known = 0;
    struct meta_cap cap;

    if (!known_version(c, m, &known, e))
        return false;
    if (m->version < known) {
        tx->older = m;
        tx->older_than = known;
    }
    if (m->version <= known)
        return true;
    if (!meta_rows_cap(c, m->cap.id, &cap, e))
        return false;

    bool is_winner = cap.version == 0 || strcmp(m->origin.home, cap.origin.home) <= 0;
    bool is_ours = cap.version > 0 && strcmp(cap.origin.home, tx->here->dc) == 0;
    if (!is_winner && is_ours && !cap.deleted && is_rival(&cap, m, known))
        tx->rivals[tx->rivals_count++] = m;
    tx->applied.changed++;
    return meta_rows_save(c, tx->here->dc, m, is_winner ? META_TOLD : META_SILENT, e);
}

/* Neither our last grid's nor theirs. */
static int64_t grid_after(const struct meta_cap *ours, const struct meta_cap *theirs,
                          int64_t now_ms)
{
    int64_t since_ms = cap_next_grid_since(ours->origin.grid_since_ms, now_ms);

    if (cap_phase_ms(since_ms) == cap_phase_ms(theirs->origin.grid_since_ms))
        since_ms = cap_next_grid_since(since_ms, now_ms);
    return since_ms;
}

/* After all else: the counter of revisions is locked by it. */
static bool begin_new_grids(struct db_conn *c, const struct apply_tx *tx, struct err *e)
{
    struct meta_cap m;
    int64_t now_ms = 0;

    if (tx->rivals_count > 0 && !meta_rows_now(c, &now_ms, e))
        return false;
    for (size_t i = 0; i < tx->rivals_count; i++) {
        if (!meta_rows_cap(c, tx->rivals[i]->cap.id, &m, e))
            return false;
        m.version++;
        m.origin.changed_at_ms = now_ms;
        m.origin.grid_since_ms = grid_after(&m, tx->rivals[i], now_ms);
        if (!meta_rows_save(c, tx->here->dc, &m, META_TOLD, e))
            return false;
    }
    return true;
}

static bool apply_all(struct db_conn *c, struct apply_tx *tx, struct err *e)
{
    const struct meta_batch *batch = tx->batch;

    for (size_t i = 0; i < batch->count; i++)
        tx->ids[i] = batch->list[i].cap.id;
    if (!meta_rows_lock(c, tx->ids, batch->count, e))
        return false;
    for (size_t i = 0; i < batch->count; i++)
        if (!apply_one(c, tx, &batch->list[i], e))
            return false;
    return begin_new_grids(c, tx, e);
}

static bool apply_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct apply_tx *tx = arg;
    const struct meta_batch *batch = tx->batch;

    tx->applied = (struct meta_applied){.changed = 0};
    tx->rivals_count = 0;
    tx->older = NULL;
    if (!meta_rows_check_dc(c, tx->here->dc, e) ||
        !lock_peer(c, batch->dc, &tx->applied.revision, e))
        return false;
    if (batch->from_revision > tx->applied.revision)
        return true;
    if (!apply_all(c, tx, e))
        return false;
    if (batch->to_revision <= tx->applied.revision)
        return true;
    tx->applied.revision = batch->to_revision;
    return db_query(c, "UPDATE meta.peer SET applied_revision = $2 WHERE dc = $1",
                    DB_ARGS(db_text(batch->dc), db_i64(batch->to_revision)), NULL, e);
}

/* A message that was late; or, if it comes again and again, the home's database went back. */
static void report_older(const struct apply_tx *tx)
{
    if (tx->older)
        log_event(LOG_WARN, "definition.older", log_str("home", tx->batch->dc),
                  log_str("cap", tx->older->cap.id), log_i64("version", tx->older->version),
                  log_i64("known", tx->older_than));
}

bool meta_store_apply(const struct meta_home *here, const struct meta_batch *batch,
                      struct meta_applied *ret, struct err *e)
{
    struct apply_tx tx = {.here = here, .batch = batch};

    CHECK(batch->count <= META_BATCH_MAX);
    if (!db_tx(here->db, apply_tx, &tx, e))
        return err_while(e, "applying definitions of %s", batch->dc);
    report_older(&tx);
    *ret = tx.applied;
    return true;
}

struct applied_tx {
    const char *dc;
    int64_t revision;
};

static bool applied_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct applied_tx *tx = arg;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SELECT coalesce(max(applied_revision), 0) FROM meta.peer WHERE dc = $1",
                  DB_ARGS(db_text(tx->dc)), &rows, e))
        return false;
    tx->revision = db_get_i64(rows, 0, 0);
    return true;
}

bool meta_store_applied(const struct meta_home *here, const char *dc, int64_t *ret, struct err *e)
{
    struct applied_tx tx = {.dc = dc};

    if (!db_tx(here->db, applied_tx, &tx, e))
        return false;
    *ret = tx.revision;
    return true;
}
