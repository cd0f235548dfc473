#include "services/meta-svc/store_rows.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/io/outbox.h"
#include "services/meta-svc/message.h"

/* The database's constraints have checked the lengths. */
static void copy_text(char *ret, size_t size, const char *text)
{
    CHECK(strlen(text) < size);
    memcpy(ret, text, strlen(text) + 1);
}

struct meta_cap meta_row(const struct db_rows *rows, int row, int first)
{
    struct meta_cap m = {
        .cap = {.starts_at_ms = db_get_i64(rows, row, first + 3),
                .ends_at_ms = db_get_i64(rows, row, first + 4),
                .interval = cap_interval_of(db_get_text(rows, row, first + 5)),
                .total = db_get_i64(rows, row, first + 6),
                .initial_total = db_get_i64(rows, row, first + 7),
                .topup_ppm = db_get_i64(rows, row, first + 9),
                .slice_max_ppm = db_get_i64(rows, row, first + 10),
                .autonomy_ms = db_get_i64(rows, row, first + 11),
                .paused = db_get_bool(rows, row, first + 12)},
        .origin = {.changed_at_ms = db_get_i64(rows, row, first + 14),
                   .grid_since_ms = db_get_i64(rows, row, first + 16)},
        .version = db_get_i64(rows, row, first + 1),
        .deleted = db_get_bool(rows, row, first + 2),
        .created_at_ms = db_get_i64(rows, row, first + 13),
        .revision = db_get_i64(rows, row, first + 17),
    };

    CHECK(m.cap.interval >= 0);
    copy_text(m.cap.id, sizeof(m.cap.id), db_get_text(rows, row, first));
    copy_text(m.cap.time_zone, sizeof(m.cap.time_zone), db_get_text(rows, row, first + 8));
    copy_text(m.origin.home, sizeof(m.origin.home), db_get_text(rows, row, first + 15));
    return m;
}

bool meta_rows_cap(struct db_conn *c, const char *id, struct meta_cap *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT " META_COLUMNS " FROM meta.cap AS c WHERE c.id = $1"
                  " ORDER BY c.home LIMIT 1",
                  DB_ARGS(db_text(id)), &rows, e))
        return false;
    *ret = db_count(rows) == 1 ? meta_row(rows, 0, 0) : (struct meta_cap){.version = 0};
    return true;
}

/* Only what was defined here has a revision; each end of the index is one look. */
bool meta_rows_check_dc(struct db_conn *c, const char *dc, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT CASE WHEN min(home) <> $1 THEN min(home) ELSE max(home) END"
                  "  FROM meta.cap WHERE revision > 0",
                  DB_ARGS(db_text(dc)), &rows, e))
        return false;
    if (db_is_null(rows, 0, 0) || strcmp(db_get_text(rows, 0, 0), dc) == 0)
        return true;
    return err_set(e, ERR_CONFLICT,
                   "caps were defined here as data centre %.32s, not %.32s: keep that name "
                   "(META_DC, LOCAL_DC, REMOTE_DC)",
                   db_get_text(rows, 0, 0), dc);
}

bool meta_rows_now(struct db_conn *c, int64_t *ret_now_ms, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SELECT calendar.to_ms(calendar.now())", DB_NO_ARGS, &rows, e))
        return false;
    *ret_now_ms = db_get_i64(rows, 0, 0);
    return true;
}

/* In the order of their hashes, so that two who lock the same ids do not lock each other out. */
bool meta_rows_lock(struct db_conn *c, const char *const *ids, size_t count, struct err *e)
{
    return db_query(c,
                    "SELECT pg_advisory_xact_lock(k.key)"
                    "  FROM (SELECT hashtextextended('meta.cap ' || id, 0) AS key"
                    "          FROM unnest($1) AS id ORDER BY 1) AS k",
                    DB_ARGS(db_texts(ids, count)), NULL, e);
}

/* 0 for what comes from elsewhere: its revision is its home's to count. */
static bool next_revision(struct db_conn *c, bool is_ours, int64_t *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    *ret = 0;
    if (!is_ours)
        return true;
    if (!db_query(c, "UPDATE meta.revision SET revision = revision + 1 RETURNING revision",
                  DB_NO_ARGS, &rows, e))
        return false;
    if (db_count(rows) != 1)
        return err_set(e, ERR_INTERNAL, "meta.revision has no row");
    *ret = db_get_i64(rows, 0, 0);
    return db_query(c, "SELECT pg_notify($1, '')", DB_ARGS(db_text(META_CHANNEL)), NULL, e);
}

static bool upsert(struct db_conn *c, const struct meta_cap *m, int64_t revision,
                   struct db_rows **ret, struct err *e)
{
    const struct cap *cap = &m->cap;

    return db_query(
        c,
        "INSERT INTO meta.cap (id, version, deleted, starts_at, ends_at, interval, total,"
        "    initial_total, time_zone, topup_ppm, slice_max_ppm, autonomy_ms, paused,"
        "    created_at, updated_at, home, grid_since, revision)"
        " VALUES ($1, $2, $3, calendar.from_ms($4), calendar.from_ms($5), $6, $7,"
        "    nullif($8, -1), $9, $10, $11, $12, $13,"
        "    calendar.from_ms($14), calendar.from_ms($15), $16,"
        "    calendar.from_ms(nullif($17, -1)), $18)"
        " ON CONFLICT (id, home) DO UPDATE SET version = EXCLUDED.version,"
        "    deleted = EXCLUDED.deleted, starts_at = EXCLUDED.starts_at,"
        "    ends_at = EXCLUDED.ends_at, interval = EXCLUDED.interval,"
        "    total = EXCLUDED.total, initial_total = EXCLUDED.initial_total,"
        "    time_zone = EXCLUDED.time_zone, topup_ppm = EXCLUDED.topup_ppm,"
        "    slice_max_ppm = EXCLUDED.slice_max_ppm, autonomy_ms = EXCLUDED.autonomy_ms,"
        "    paused = EXCLUDED.paused, created_at = EXCLUDED.created_at,"
        "    updated_at = EXCLUDED.updated_at, grid_since = EXCLUDED.grid_since,"
        "    revision = EXCLUDED.revision"
        " RETURNING version + (SELECT coalesce(sum(o.version), 0)::bigint FROM meta.cap AS o"
        "                       WHERE o.id = $1 AND o.home <> $16)",
        DB_ARGS(db_text(cap->id), db_i64(m->version), db_bool(m->deleted),
                db_i64(cap->starts_at_ms), db_i64(cap->ends_at_ms),
                db_text(cap_interval_names[cap->interval]), db_i64(cap->total),
                db_i64(cap->initial_total), db_text(cap->time_zone), db_i64(cap->topup_ppm),
                db_i64(cap->slice_max_ppm), db_i64(cap->autonomy_ms), db_bool(cap->paused),
                db_i64(m->created_at_ms), db_i64(m->origin.changed_at_ms), db_text(m->origin.home),
                db_i64(m->origin.grid_since_ms), db_i64(revision)),
        ret, e);
}

bool meta_rows_save(struct db_conn *c, const char *here, const struct meta_cap *m,
                    enum meta_told told, struct err *e)
{
    auto_buf struct buf body = BUF_INIT(META_MESSAGE_MAX);
    auto_rows struct db_rows *rows = NULL;
    char path[sizeof("/definitions/") + NAME_SIZE];
    int64_t revision = 0;

    if (!next_revision(c, strcmp(m->origin.home, here) == 0, &revision, e) ||
        !upsert(c, m, revision, &rows, e))
        return false;
    if (told == META_SILENT)
        return true;
    (void)snprintf(path, sizeof(path), "/definitions/%s", m->cap.id);
    meta_message_write(m, db_get_i64(rows, 0, 0), &body);
    CHECK(!buf_failed(&body));
    return outbox_put(c, "meta", path, buf_text(&body), e);
}
