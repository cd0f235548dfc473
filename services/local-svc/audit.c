#include "services/local-svc/audit.h"

#include <stdio.h>

#include "services/local-svc/store_rows.h"

/* Each finds what violates its statement: the number of all rows, and a text for each. */
struct check {
    const char *id;
    const char *statement;
    const char *sql;
};

#define FOUND "SELECT count(*) OVER (), "
#define POOL_NAME "p.cap || ' ' || to_char(p.starts_at, 'YYYY-MM-DD\"T\"HH24:MI:SSOF')"
#define SLICE_NAME                                                                                 \
    "s.cap || ' ' || to_char(s.starts_at, 'YYYY-MM-DD\"T\"HH24:MI:SSOF') || ' ' || s.server"
#define SHOWN " LIMIT 5"

/* All that came to this data centre and did not leave it. */
#define HOLDING "(p.minted - p.burned + p.received - p.sent)"

/* clang-format off */
static const struct check checks[] = {
    {"I1", "No pool has less than nothing free: granted - returned <= minted - burned + "
           "received - sent.",
     FOUND POOL_NAME " || ': free ' || " HOLDING " - granted + returned"
     "  FROM local.pool p WHERE " HOLDING " - granted + returned < 0" SHOWN},

    {"I2", "No slice has spent or returned more than it was granted: "
           "returned + consumed - refunded <= granted.",
     FOUND SLICE_NAME " || ': rest ' || granted - returned - consumed + refunded"
     "  FROM local.slice s"
     " WHERE granted - returned - consumed + refunded < 0 OR refunded > consumed" SHOWN},

    {"I3", "Every pool's granted, returned, consumed, refunded, presumed and wanted are the sums "
           "of its slices'.",
     FOUND POOL_NAME " || ': pool ' || (p.granted, p.returned, p.consumed, p.refunded,"
     "                                  p.presumed, p.wanted)::text ||"
     "      ', slices ' || (s.granted, s.returned, s.consumed, s.refunded, s.presumed,"
     "                      s.wanted)::text"
     "  FROM local.pool p,"
     "       LATERAL (SELECT coalesce(sum(granted), 0) AS granted,"
     "                       coalesce(sum(returned), 0) AS returned,"
     "                       coalesce(sum(consumed), 0) AS consumed,"
     "                       coalesce(sum(refunded), 0) AS refunded,"
     "                       coalesce(sum(presumed), 0) AS presumed,"
     "                       coalesce(sum(wanted), 0) AS wanted"
     "                  FROM local.slice s WHERE s.cap = p.cap AND s.starts_at = p.starts_at) s"
     " WHERE (p.granted, p.returned, p.consumed, p.refunded, p.presumed, p.wanted)"
     "       IS DISTINCT FROM"
     "       (s.granted, s.returned, s.consumed, s.refunded, s.presumed, s.wanted)" SHOWN},

    {"I4", "Every pool's received and sent, and what others lack and spent, are the sums of its "
           "rows for other data centres.",
     FOUND POOL_NAME " || ': pool ' || (p.received, p.sent, p.wanted_elsewhere,"
     "                                  p.spent_elsewhere)::text ||"
     "      ', rows ' || (r.received, r.sent, r.lack, r.spent)::text"
     "  FROM local.pool p,"
     "       LATERAL (SELECT coalesce(sum(received), 0) AS received,"
     "                       coalesce(sum(sent), 0) AS sent,"
     "                       coalesce(sum(lack), 0) AS lack,"
     "                       coalesce(sum(spent), 0) AS spent"
     "                  FROM local.peer_row r WHERE r.cap = p.cap AND r.starts_at = p.starts_at) r"
     " WHERE (p.received, p.sent, p.wanted_elsewhere, p.spent_elsewhere)"
     "       IS DISTINCT FROM (r.received, r.sent, r.lack, r.spent)" SHOWN},

    {"I5", "No window is overspent: the slices' consumed - refunded <= minted - burned + "
           "received - sent.",
     FOUND POOL_NAME " || ': spent ' || s.spent || ' of ' || " HOLDING
     "  FROM local.pool p,"
     "       LATERAL (SELECT coalesce(sum(consumed - refunded), 0) AS spent"
     "                  FROM local.slice s WHERE s.cap = p.cap AND s.starts_at = p.starts_at) s"
     " WHERE s.spent > " HOLDING SHOWN},

    {"I6", "No unit is missing: what is free, held and spent is minted - burned + received "
           "- sent.",
     FOUND POOL_NAME " || ': free ' || f.free || ', held ' || s.held || ', spent ' || s.spent ||"
     "      ' of ' || " HOLDING
     "  FROM local.pool p,"
     "       LATERAL (SELECT " HOLDING " - p.granted + p.returned AS free) f,"
     "       LATERAL (SELECT coalesce(sum(granted - returned - consumed + refunded), 0) AS held,"
     "                       coalesce(sum(consumed - refunded), 0) AS spent"
     "                  FROM local.slice s WHERE s.cap = p.cap AND s.starts_at = p.starts_at) s"
     " WHERE f.free + s.held + s.spent <> " HOLDING SHOWN},

    {"I7", "Nothing is minted beyond what was asked for, and nothing away from home: above the "
           "requested total no unit is free, because it would have been burned.",
     FOUND POOL_NAME " || ': effective ' || minted - burned || ', requested ' || requested"
     "  FROM local.pool p"
     " WHERE (minted - burned > requested AND " HOLDING " - granted + returned > 0)"
     "    OR (home IS NOT NULL AND (minted > 0 OR burned > 0))" SHOWN},

    {"I8", "Nothing goes back: the triggers that refuse it are in force, no revision is ahead of "
           "the counter, and no window that has yet to begin is past its end.",
     "SELECT count(*) OVER (), what FROM ("
     "    SELECT 'trigger ' || t.name || ' is not in force' AS what"
     "      FROM unnest(ARRAY['pool_only_grows', 'pool_purged_when_closed', 'slice_only_grows',"
     "                        'server_only_grows', 'revision_only_grows', 'revision_stays',"
     "                        'pool_trades_only_grow', 'peer_row_only_grows',"
     "                        'trade_revision_only_grows', 'trade_revision_stays'])"
     "           AS t (name)"
     "     WHERE NOT EXISTS (SELECT FROM pg_trigger g JOIN pg_class r ON r.oid = g.tgrelid"
     "                        WHERE g.tgname = t.name AND g.tgenabled IN ('O', 'A')"
     "                          AND r.relnamespace = 'local'::regnamespace)"
     "    UNION ALL"
     "    SELECT " POOL_NAME " || ': revision ' || p.revision || ' of ' || r.revision"
     "      FROM local.pool p, local.revision r WHERE p.revision > r.revision"
     "    UNION ALL"
     "    SELECT p.cap || ' and ' || p.peer || ': revision ' || p.revision || ' of ' || r.revision"
     "      FROM local.peer_row p, local.trade_revision r WHERE p.revision > r.revision"
     "    UNION ALL"
     "    SELECT " POOL_NAME " || ': ends before it starts' FROM local.pool p"
     "     WHERE ends_at <= starts_at) found" SHOWN},

    {"I10", "All that long-silent servers hold is counted as presumed spent: the accounts show "
            "everything that may be stranded.",
     FOUND SLICE_NAME " || ': holds ' || s.granted - s.returned - s.consumed + s.refunded ||"
     "      ', presumed ' || s.presumed"
     "  FROM local.server v"
     "  JOIN local.slice s ON s.server = v.name AND s.incarnation = v.incarnation"
     " WHERE v.silence = 2"
     "   AND s.presumed <> s.granted - s.returned - s.consumed + s.refunded" SHOWN},
};
/* clang-format on */

_Static_assert(sizeof(checks) / sizeof(checks[0]) == AUDIT_CHECKS, "one result a check");

static bool run_check(struct db_conn *c, const struct check *check, struct audit_result *ret,
                      struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    *ret = (struct audit_result){.id = check->id, .statement = check->statement};
    if (!db_query(c, check->sql, DB_NO_ARGS, &rows, e))
        return err_while(e, "%s", check->id);
    ret->examples_count = (size_t)db_count(rows);
    for (size_t i = 0; i < ret->examples_count; i++)
        (void)snprintf(ret->examples[i], sizeof(ret->examples[i]), "%s",
                       db_get_text(rows, (int)i, 1));
    ret->violations = ret->examples_count > 0 ? db_get_i64(rows, 0, 0) : 0;
    return true;
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

    a->violations = 0;
    if (!store_snapshot(c, e) || !load_time(c, &a->checked_at_ms, e))
        return false;
    for (size_t i = 0; i < AUDIT_CHECKS; i++) {
        if (!run_check(c, &checks[i], &a->results[i], e))
            return false;
        a->violations += a->results[i].violations;
    }
    return true;
}

bool audit_run(struct db *db, struct audit *ret, struct err *e)
{
    return store_tx(db, audit_tx, ret, e) || err_while(e, "audit");
}
