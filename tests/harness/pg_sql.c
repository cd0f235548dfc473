/* pg_sql: small statements of tests; see pg.h. */

#include "tests/harness/pg.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "tests/harness/proc.h"

static void finish(PGconn **p)
{
    PQfinish(*p);
}

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static PGresult *run(const char *conninfo, const char *fmt, va_list args)
{
    __attribute__((cleanup(finish))) PGconn *pg = PQconnectdb(conninfo);
    char *sql = NULL;

    if (PQstatus(pg) != CONNECTION_OK)
        harness_fail("%s: %s", conninfo, PQerrorMessage(pg));
    (void)PQsetNoticeProcessor(pg, ignore_notice, NULL);
    if (vasprintf(&sql, fmt, args) < 0)
        harness_fail("out of memory");
    PGresult *result = PQexec(pg, sql);
    free(sql);
    return result;
}

static PGresult *run_well(const char *conninfo, const char *fmt, va_list args)
{
    PGresult *result = run(conninfo, fmt, args);
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        harness_fail("%s: %s", fmt, PQresultErrorMessage(result));
    return result;
}

/* The only value of the result, as text; "" for NULL. */
static char *only_value(PGresult *result)
{
    if (PQntuples(result) != 1 || PQnfields(result) != 1)
        harness_fail("one value expected, not %d rows of %d columns", PQntuples(result),
                     PQnfields(result));
    char *text = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return text;
}

void pg_exec(const char *conninfo, const char *sql, ...)
{
    va_list args;

    va_start(args, sql);
    PQclear(run_well(conninfo, sql, args));
    va_end(args);
}

char *pg_sqlstate(const char *conninfo, const char *sql, ...)
{
    va_list args;

    va_start(args, sql);
    PGresult *result = run(conninfo, sql, args);
    va_end(args);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    char *copy = strdup(state ? state : "00000");
    PQclear(result);
    return copy;
}

char *pg_text(const char *conninfo, const char *sql, ...)
{
    va_list args;

    va_start(args, sql);
    char *text = only_value(run_well(conninfo, sql, args));
    va_end(args);
    return text;
}

int64_t pg_i64(const char *conninfo, const char *sql, ...)
{
    va_list args;
    int64_t number = 0;
    struct err e = {0};

    va_start(args, sql);
    auto_free char *text = only_value(run_well(conninfo, sql, args));
    va_end(args);
    if (!num_parse_i64(text, INT64_MIN, INT64_MAX, &number, &e))
        harness_fail("\"%s\" is not an integer: %s", text, sql);
    return number;
}
