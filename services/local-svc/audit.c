#include "services/local-svc/audit.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "services/local-svc/store_rows.h"

/* What holds, in the order of the answer. */
static const struct check {
    const char *id;
    const char *statement;
} checks[] = {
    {"I1", "No pool has less than nothing free: granted - returned <= minted - burned + "
           "received - sent."},
    {"I2", "No slice has spent or returned more than it was granted: "
           "returned + consumed - refunded <= granted."},
    {"I3", "Every pool's granted, returned, consumed, refunded, presumed and wanted are the sums "
           "of its slices'."},
    {"I4", "Every pool's received and sent, and what others lack and spent, are the sums of its "
           "rows for other data centres."},
    {"I5", "No window is overspent: the slices' consumed - refunded <= minted - burned + "
           "received - sent."},
    {"I6", "No unit is missing: what is free, held and spent is minted - burned + received "
           "- sent."},
    {"I7", "Nothing is minted beyond what was asked for, and nothing away from home: above the "
           "requested total no unit is free, because it would have been burned."},
    {"I8", "Nothing goes back: the triggers that refuse it are in force, no revision is ahead of "
           "the counter, and no window that has yet to begin is past its end."},
    {"I10", "All that long-silent servers hold is counted as presumed spent: the accounts show "
            "everything that may be stranded."},
};

#define POOL_NAME "p.cap || ' ' || to_char(p.starts_at, 'YYYY-MM-DD\"T\"HH24:MI:SSOF')"
#define SLICE_NAME                                                                                 \
    "s.cap || ' ' || to_char(s.starts_at, 'YYYY-MM-DD\"T\"HH24:MI:SSOF') || ' ' || s.server"

/*
 * The accounts of a closed window are final, and there may be very many.  Three
 * states, and not all but one: so that the small indexes can be used.
 */
#define POOLS_IN_USE                                                                               \
    "(SELECT * FROM local.pool"                                                                    \
    "  WHERE state = 'planned' OR state = 'open' OR state = 'closing') p"

/* The (id, what) of all violations become (id, how many, what), with some of each. */
#define FIND(violations)                                                                           \
    "SELECT id, violations, what"                                                                  \
    "  FROM (SELECT id, what, count(*) OVER (PARTITION BY id) AS violations,"                      \
    "               row_number() OVER (PARTITION BY id) AS place"                                  \
    "          FROM (" violations ") found (id, what)) numbered"                                   \
    " WHERE place <= 5"

/* All that came to this data centre and did not leave it. */
#define HOLDING "(p.minted - p.burned + p.received - p.sent)"

/* clang-format off */
static const char *const queries[] = {
    /* Each pool beside the sums of its slices. */
    "WITH account AS MATERIALIZED ("
    "    SELECT p.*, " POOL_NAME " AS name, minted - burned AS effective,"
    "           " HOLDING " AS holding, " HOLDING " - p.granted + p.returned AS free,"
    "           (p.granted, p.returned, p.consumed, p.refunded, p.presumed, p.wanted)::text"
    "           AS own,"
    "           (s.granted, s.returned, s.consumed, s.refunded, s.presumed, s.wanted)::text"
    "           AS sums,"
    "           s.granted - s.returned - s.consumed + s.refunded AS held,"
    "           s.consumed - s.refunded AS spent"
    "      FROM " POOLS_IN_USE ","
    "           LATERAL (SELECT coalesce(sum(x.granted), 0) AS granted,"
    "                           coalesce(sum(x.returned), 0) AS returned,"
    "                           coalesce(sum(x.consumed), 0) AS consumed,"
    "                           coalesce(sum(x.refunded), 0) AS refunded,"
    "                           coalesce(sum(x.presumed), 0) AS presumed,"
    "                           coalesce(sum(x.wanted), 0) AS wanted"
    "                      FROM local.slice x"
    "                     WHERE x.cap = p.cap AND x.starts_at = p.starts_at) s) "
    FIND(
    "    SELECT 'I1', name || ': free ' || free FROM account WHERE free < 0 AND NOT in_doubt"
    "    UNION ALL"
    "    SELECT 'I3', name || ': pool ' || own || ', slices ' || sums FROM account"
    "     WHERE own <> sums"
    "    UNION ALL"
    "    SELECT 'I5', name || ': spent ' || spent || ' of ' || holding FROM account"
    "     WHERE spent > holding AND NOT in_doubt"
    "    UNION ALL"
    "    SELECT 'I6', name || ': free ' || free || ', held ' || held || ', spent ' || spent ||"
    "                 ' of ' || holding FROM account"
    "     WHERE free + held + spent <> holding"
    "    UNION ALL"
    "    SELECT 'I7', name || ': effective ' || effective || ', requested ' || requested"
    "      FROM account"
    "     WHERE (effective > requested AND free > 0 AND NOT in_doubt)"
    "        OR (home IS NOT NULL AND (minted > 0 OR burned > 0))"),

    FIND(
    "    SELECT 'I4', " POOL_NAME " || ': pool ' || (p.received, p.sent, p.wanted_elsewhere,"
    "                                  p.spent_elsewhere)::text ||"
    "                 ', rows ' || (r.received, r.sent, r.lack, r.spent)::text"
    "      FROM " POOLS_IN_USE ","
    "           LATERAL (SELECT coalesce(sum(received), 0) AS received,"
    "                           coalesce(sum(sent), 0) AS sent,"
    "                           coalesce(sum(lack), 0) AS lack,"
    "                           coalesce(sum(spent), 0) AS spent"
    "                      FROM local.peer_row r"
    "                     WHERE r.cap = p.cap AND r.starts_at = p.starts_at) r"
    "     WHERE (p.received, p.sent, p.wanted_elsewhere, p.spent_elsewhere)"
    "           IS DISTINCT FROM (r.received, r.sent, r.lack, r.spent)"),

    FIND(
    "    SELECT 'I2', " SLICE_NAME " || ': rest ' ||"
    "                 s.granted - s.returned - s.consumed + s.refunded"
    "      FROM " POOLS_IN_USE " JOIN local.slice s ON s.cap = p.cap AND s.starts_at = p.starts_at"
    "     WHERE s.granted - s.returned - s.consumed + s.refunded < 0 OR s.refunded > s.consumed"),

    FIND(
    "    SELECT 'I8', 'trigger ' || t.name || ' is not in force'"
    "      FROM unnest(ARRAY['pool_only_grows', 'pool_purged_when_closed', 'slice_only_grows',"
    "                        'server_only_grows', 'revision_only_grows', 'revision_stays',"
    "                        'pool_trades_only_grow', 'pool_definitions_only_grow',"
    "                        'peer_row_only_grows',"
    "                        'trade_revision_only_grows', 'trade_revision_stays'])"
    "           AS t (name)"
    "     WHERE NOT EXISTS (SELECT FROM pg_trigger g JOIN pg_class r ON r.oid = g.tgrelid"
    "                        WHERE g.tgname = t.name AND g.tgenabled IN ('O', 'A')"
    "                          AND r.relnamespace = 'local'::regnamespace)"
    "    UNION ALL"
    "    SELECT 'I8', " POOL_NAME " || ': revision ' || p.revision || ' of ' || r.revision"
    "      FROM local.pool p, local.revision r WHERE p.revision > r.revision"
    "    UNION ALL"
    "    SELECT 'I8', p.cap || ' and ' || p.peer || ': revision ' || p.revision || ' of ' || r.revision"
    "      FROM local.peer_row p, local.trade_revision r WHERE p.revision > r.revision"
    "    UNION ALL"
    "    SELECT 'I8', " POOL_NAME " || ': ends before it starts' FROM " POOLS_IN_USE
    "     WHERE ends_at <= starts_at"),

    FIND(
    "    SELECT 'I10', " SLICE_NAME " || ': holds ' ||"
    "                  s.granted - s.returned - s.consumed + s.refunded ||"
    "                  ', presumed ' || s.presumed"
    "      FROM " POOLS_IN_USE " JOIN local.slice s ON s.cap = p.cap AND s.starts_at = p.starts_at"
    "      JOIN local.server v ON v.name = s.server AND v.incarnation = s.incarnation"
    "     WHERE v.silence = 2"
    "       AND s.presumed <> s.granted - s.returned - s.consumed + s.refunded"),
};
/* clang-format on */

_Static_assert(sizeof(checks) / sizeof(checks[0]) == AUDIT_CHECKS, "one result a check");

static struct audit_result *result_of(struct audit *a, const char *id)
{
    size_t i = 0;

    while (strcmp(checks[i].id, id) != 0)
        CHECK(++i < AUDIT_CHECKS);
    return &a->results[i];
}

static void add_rows(const struct db_rows *rows, struct audit *a)
{
    for (int row = 0; row < db_count(rows); row++) {
        struct audit_result *r = result_of(a, db_get_text(rows, row, 0));

        CHECK(r->examples_count < AUDIT_EXAMPLES);
        r->violations = db_get_i64(rows, row, 1);
        (void)snprintf(r->examples[r->examples_count++], sizeof(r->examples[0]), "%s",
                       db_get_text(rows, row, 2));
    }
}

static bool run_query(struct db_conn *c, const char *sql, struct audit *a, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, sql, DB_NO_ARGS, &rows, e))
        return false;
    add_rows(rows, a);
    return true;
}

static void clear(struct audit *a)
{
    *a = (struct audit){0};
    for (size_t i = 0; i < AUDIT_CHECKS; i++)
        a->results[i] = (struct audit_result){.id = checks[i].id, .statement = checks[i].statement};
}

static bool load_time(struct db_conn *c, int64_t *ret_ms, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SELECT calendar.to_ms(calendar.now())", DB_NO_ARGS, &rows, e))
        return false;
    *ret_ms = db_get_i64(rows, 0, 0);
    return true;
}

static bool audit_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct audit *a = arg;

    clear(a);
    if (!store_snapshot(c, e) || !load_time(c, &a->checked_at_ms, e))
        return false;
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        if (!run_query(c, queries[i], a, e))
            return false;
    for (size_t i = 0; i < AUDIT_CHECKS; i++)
        a->violations += a->results[i].violations;
    return true;
}

bool audit_run(struct db *db, struct audit *ret, struct err *e)
{
    return store_tx(db, audit_tx, ret, e) || err_while(e, "audit");
}
