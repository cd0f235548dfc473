#include "services/interval-svc/store.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/io/leader.h"
#include "services/interval-svc/message.h"
#include "services/interval-svc/store_rows.h"

/*
 * One look at the definitions that are due: lock them, load what the calendar
 * says of each and the windows it has, decide, and save all of it with a few
 * statements however many there are.
 */

/* A definition that is due. */
struct due {
    struct interval_definition definition;
    struct interval_plan plan;
};

#define WRITES_MAX ((size_t)INTERVAL_BATCH_MAX * INTERVAL_STEPS_MAX)

/* Windows to write, column by column as unnest() takes them. */
struct writes {
    size_t count;
    const char *caps[WRITES_MAX]; /* borrowed from the definitions */
    int64_t starts_ms[WRITES_MAX];
    int64_t ends_ms[WRITES_MAX];
    int64_t grid_starts_ms[WRITES_MAX];
    int64_t versions[WRITES_MAX];
    const char *states[WRITES_MAX];
    int64_t totals[WRITES_MAX];
    bool pauses[WRITES_MAX];
    const char *homes[WRITES_MAX]; /* borrowed from `home_texts` */
    char home_texts[WRITES_MAX][NAME_SIZE];
    int64_t totals_max[WRITES_MAX];
};

struct plan_tx {
    int64_t epoch;
    size_t limit;
    struct interval_batch batch;
    int64_t now_ms;
    size_t count;
    struct due due[INTERVAL_BATCH_MAX];
    const char *ids[INTERVAL_BATCH_MAX]; /* in the order of `due`: by bytes */
    char id_texts[INTERVAL_BATCH_MAX][NAME_SIZE];
    struct writes changed, opened;
};

/* Nobody else plans these until the transaction ends, nor can a new version arrive. */
static bool lock_due(struct db_conn *c, struct plan_tx *tx, struct err *e)
{
    auto_rows struct db_rows *clock = NULL;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SELECT calendar.to_ms(calendar.now())", DB_NO_ARGS, &clock, e))
        return false;
    tx->now_ms = db_get_i64(clock, 0, 0);
    if (!db_query(c,
                  "SELECT id, -calendar.until_ms(next_look_at) FROM interval.definition"
                  " WHERE next_look_at <= calendar.from_ms($1)"
                  " ORDER BY next_look_at LIMIT $2 FOR UPDATE SKIP LOCKED",
                  DB_ARGS(db_i64(tx->now_ms), db_i64((int64_t)tx->limit)), &rows, e))
        return false;

    tx->batch = (struct interval_batch){.due = (size_t)db_count(rows)};
    for (size_t i = 0; i < tx->batch.due; i++) {
        const char *id = db_get_text(rows, (int)i, 0);
        CHECK(strlen(id) < NAME_SIZE);
        memcpy(tx->id_texts[i], id, strlen(id) + 1);
        tx->ids[i] = tx->id_texts[i];
        tx->batch.late_ms[i] = db_get_i64(rows, (int)i, 1);
    }
    memcpy(tx->batch.first, tx->id_texts[0], NAME_SIZE);
    return true;
}

static struct interval_plan plan_of(const struct interval_definition *d,
                                    const struct interval_grid *grid, int64_t now_ms,
                                    bool is_new_version)
{
    if (d->deleted)
        return interval_plan_none(now_ms);
    return interval_plan(&d->cap, &d->origin, grid, now_ms, is_new_version);
}

static bool load_due(struct db_conn *c, struct plan_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(
            c,
            "SELECT " DEFINITION_COLUMNS ", d.applied_version < d.version,"
            "       calendar.to_ms(coalesce(g.starts_at, d.starts_at)),"
            "       calendar.to_ms(coalesce(g.ends_at, d.ends_at)),"
            "       calendar.to_ms(coalesce(g.next_ends_at, d.ends_at))"
            "  FROM interval.definition AS d"
            " CROSS JOIN interval.grid(d.interval, d.time_zone, greatest(d.starts_at,"
            "    calendar.from_ms($2 - coalesce(calendar.to_ms(d.grid_since) % 1000, 0)))) AS g"
            " WHERE d.id = ANY ($1) ORDER BY d.id",
            DB_ARGS(db_texts(tx->ids, tx->batch.due), db_i64(tx->now_ms)), &rows, e))
        return false;

    tx->count = (size_t)db_count(rows);
    for (size_t i = 0; i < tx->count; i++) {
        struct due *due = &tx->due[i];
        int row = (int)i;
        const struct interval_grid grid = {
            .starts_ms = db_get_i64(rows, row, DEFINITION_COLUMNS_COUNT + 1),
            .ends_ms = db_get_i64(rows, row, DEFINITION_COLUMNS_COUNT + 2),
            .next_ends_ms = db_get_i64(rows, row, DEFINITION_COLUMNS_COUNT + 3),
        };
        due->definition = interval_definition_row(rows, row);
        due->plan = plan_of(&due->definition, &grid, tx->now_ms,
                            db_get_bool(rows, row, DEFINITION_COLUMNS_COUNT));
        tx->ids[i] = due->definition.cap.id;
    }
    return true;
}

/* The live windows of each cap, and the newest ended ones that start on the plan's grid or later:
 * in the order of `due`. */
static bool load_windows(struct db_conn *c, const struct plan_tx *tx, struct db_rows **ret,
                         struct err *e)
{
    int64_t from_ms[INTERVAL_BATCH_MAX];

    for (size_t i = 0; i < tx->count; i++) {
        const struct interval_plan *plan = &tx->due[i].plan;
        from_ms[i] = plan->count > 0 ? plan->want[0].grid_starts_ms : plan->now_ms;
    }
    return db_query(
        c,
        "SELECT w.* FROM unnest($1, $2) AS a (id, from_ms) CROSS JOIN LATERAL ("
        "  (SELECT cap, " INTERVAL_COLUMNS " FROM interval.interval"
        "    WHERE cap = a.id AND state IN ('planned', 'open') ORDER BY starts_at LIMIT $3)"
        "  UNION ALL"
        "  (SELECT cap, " INTERVAL_COLUMNS " FROM interval.interval"
        "    WHERE cap = a.id AND state IN ('closing', 'closed')"
        "      AND starts_at >= calendar.from_ms(a.from_ms)"
        "    ORDER BY starts_at DESC LIMIT $4)"
        ") AS w ORDER BY w.cap",
        DB_ARGS(db_texts(tx->ids, tx->count), db_i64s(from_ms, tx->count),
                db_i64(INTERVAL_LIVE_MAX), db_i64(INTERVAL_ENDED_MAX)),
        ret, e);
}

static void add_write(struct writes *w, const struct cap *cap, const struct interval *window)
{
    size_t i = w->count++;

    CHECK(i < WRITES_MAX);
    w->caps[i] = cap->id;
    w->starts_ms[i] = window->starts_at_ms;
    w->ends_ms[i] = window->ends_at_ms;
    w->grid_starts_ms[i] = window->grid_starts_ms;
    w->versions[i] = window->version;
    w->states[i] = interval_state_names[window->state];
    w->totals[i] = window->total;
    w->pauses[i] = window->paused;
    memcpy(w->home_texts[i], window->home, NAME_SIZE);
    w->homes[i] = w->home_texts[i];
    w->totals_max[i] = window->total_max;
}

/* Notes what a cap's windows need, and writes the messages. */
static bool take_steps(struct db_conn *c, struct plan_tx *tx, const struct interval_definition *d,
                       const struct interval_steps *steps, struct err *e)
{
    for (size_t i = 0; i < steps->count; i++) {
        const struct interval_step *step = &steps->list[i];
        add_write(step->is_new ? &tx->opened : &tx->changed, &d->cap, &step->window);
        if (!step->is_told)
            continue;
        if (!interval_message_put(c, d, &step->window, e))
            return false;
        tx->batch.told++;
    }
    return true;
}

/* The windows of one cap, of which *row is the first; leaves it at the next cap's. */
static size_t read_known(const struct db_rows *rows, int *row, const char *cap,
                         struct interval ret[INTERVAL_KNOWN_MAX])
{
    size_t count = 0;

    for (; *row < db_count(rows) && strcmp(db_get_text(rows, *row, 0), cap) == 0; (*row)++) {
        CHECK(count < INTERVAL_KNOWN_MAX);
        ret[count++] = interval_row(rows, *row, /* first= */ 1);
    }
    return count;
}

static bool decide(struct db_conn *c, struct plan_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    int row = 0;

    if (!load_windows(c, tx, &rows, e))
        return false;
    for (size_t i = 0; i < tx->count; i++) {
        const struct interval_definition *d = &tx->due[i].definition;
        struct interval known[INTERVAL_KNOWN_MAX];
        size_t count = read_known(rows, &row, d->cap.id, known);
        const struct interval_steps steps = interval_reconcile(&tx->due[i].plan, known, count);

        if (!take_steps(c, tx, d, &steps, e))
            return false;
    }
    CHECK(row == db_count(rows));
    tx->batch.opened = tx->opened.count;
    return true;
}

/* First what ends, then what opens: the index of live windows holds after each row. */
static bool save_windows(struct db_conn *c, const struct plan_tx *tx, struct err *e)
{
    const struct writes *w = &tx->changed;
    const struct writes *o = &tx->opened;

    return db_query(c,
                    "UPDATE interval.interval AS w"
                    "   SET version = a.version, state = a.state, total = a.total,"
                    "       paused = a.paused, total_max = a.total_max,"
                    "       ends_at = calendar.from_ms(a.ends_ms)"
                    "  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
                    "       AS a (cap, starts_ms, version, state, total, paused, total_max,"
                    "             ends_ms)"
                    " WHERE w.cap = a.cap AND w.starts_at = calendar.from_ms(a.starts_ms)",
                    DB_ARGS(db_texts(w->caps, w->count), db_i64s(w->starts_ms, w->count),
                            db_i64s(w->versions, w->count), db_texts(w->states, w->count),
                            db_i64s(w->totals, w->count), db_bools(w->pauses, w->count),
                            db_i64s(w->totals_max, w->count), db_i64s(w->ends_ms, w->count)),
                    NULL, e) &&
           db_query(c,
                    "INSERT INTO interval.interval (cap, starts_at, ends_at, grid_starts_at,"
                    "    version, state, total, paused, home, total_max)"
                    " SELECT a.cap, calendar.from_ms(a.starts_ms), calendar.from_ms(a.ends_ms),"
                    "        calendar.from_ms(a.grid_starts_ms), a.version, a.state, a.total,"
                    "        a.paused, a.home, a.total_max"
                    "   FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                    "        AS a (cap, starts_ms, ends_ms, grid_starts_ms, version, state, total,"
                    "              paused, home, total_max)",
                    DB_ARGS(db_texts(o->caps, o->count), db_i64s(o->starts_ms, o->count),
                            db_i64s(o->ends_ms, o->count), db_i64s(o->grid_starts_ms, o->count),
                            db_i64s(o->versions, o->count), db_texts(o->states, o->count),
                            db_i64s(o->totals, o->count), db_bools(o->pauses, o->count),
                            db_texts(o->homes, o->count), db_i64s(o->totals_max, o->count)),
                    NULL, e);
}

static bool save_definitions(struct db_conn *c, const struct plan_tx *tx, struct err *e)
{
    int64_t next_look_ms[INTERVAL_BATCH_MAX];

    for (size_t i = 0; i < tx->count; i++)
        next_look_ms[i] = tx->due[i].plan.next_look_ms;
    return db_query(c,
                    "UPDATE interval.definition AS d"
                    "   SET applied_version = d.version,"
                    "       next_look_at = CASE WHEN a.next_look_ms <> $3"
                    "                           THEN calendar.from_ms(a.next_look_ms) END"
                    "  FROM unnest($1, $2) AS a (id, next_look_ms) WHERE d.id = a.id",
                    DB_ARGS(db_texts(tx->ids, tx->count), db_i64s(next_look_ms, tx->count),
                            db_i64(INTERVAL_NEVER_MS)),
                    NULL, e);
}

static bool plan_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct plan_tx *tx = arg;

    tx->changed.count = tx->opened.count = 0;
    if (!leader_fence(c, INTERVAL_ROLE, tx->epoch, e) || !lock_due(c, tx, e))
        return false;
    if (tx->batch.due == 0)
        return true;
    return load_due(c, tx, e) && decide(c, tx, e) && save_windows(c, tx, e) &&
           save_definitions(c, tx, e);
}

bool interval_store_plan(struct db *db, int64_t epoch, size_t limit, struct interval_batch *ret,
                         struct err *e)
{
    auto_free struct plan_tx *tx = calloc(1, sizeof(*tx));

    CHECK(limit >= 1 && limit <= INTERVAL_BATCH_MAX);
    if (tx == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    tx->epoch = epoch;
    tx->limit = limit;
    bool ok = db_tx(db, plan_tx, tx, e);
    *ret = tx->batch;
    return ok || err_while(e, "planning windows");
}
