/* pg_sync: standbys, and the one that takes writes; see pg.h. */

#include <libpq-fe.h>
#include <stdio.h>

#include "tests/harness/pg.h"
#include "tests/harness/proc.h"

#define FORCE_MS 60000

struct probe {
    const char *conninfo;
    PGconn *pg;
};

static bool waits_for_standby(const struct probe *p)
{
    return pg_i64(p->conninfo,
                  "SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'SyncRep'",
                  PQbackendPID(p->pg)) > 0;
}

/* Some process of the server puts it in force, in its own time: a COMMIT that waits has met it. */
static bool is_in_force(void *arg)
{
    const struct probe *p = arg;

    if (PQtransactionStatus(p->pg) == PQTRANS_ACTIVE && waits_for_standby(p))
        return true;
    if (!PQconsumeInput(p->pg))
        harness_fail("%s: %s", p->conninfo, PQerrorMessage(p->pg));
    if (PQisBusy(p->pg))
        return false;
    while (PQtransactionStatus(p->pg) == PQTRANS_ACTIVE)
        PQclear(PQgetResult(p->pg));
    if (!PQsendQuery(p->pg, "SELECT pg_logical_emit_message(true, 'probe', '')"))
        harness_fail("%s: %s", p->conninfo, PQerrorMessage(p->pg));
    return false;
}

static void await_force(const char *conninfo)
{
    struct probe p = {.conninfo = conninfo, .pg = PQconnectdb(conninfo)};

    if (!harness_await(is_in_force, &p, FORCE_MS))
        harness_fail("%s: no COMMIT waits for a standby", conninfo);
    PQfinish(p.pg);
}

void pg_wait_for_standby(const struct pg *pg, const char *name)
{
    pg_exec(pg_conninfo(pg), "ALTER SYSTEM SET synchronous_standby_names = '%s'", name);
    pg_exec(pg_conninfo(pg), "SELECT pg_reload_conf()");
    if (*name)
        await_force(pg_conninfo(pg));
}

bool pg_takes_writes(const char *conninfo)
{
    char full[320];

    (void)snprintf(full, sizeof(full), "%s connect_timeout=2 target_session_attrs=read-write",
                   conninfo);
    PGconn *pg = PQconnectdb(full);
    bool ok = PQstatus(pg) == CONNECTION_OK;
    PQfinish(pg);
    return ok;
}
