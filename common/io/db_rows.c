#include "common/io/db_internal.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

/* A result is its rows: the struct only keeps libpq's type out of db.h. */
struct db_rows {
    PGresult *result;
};

struct db_rows *db_rows_new(PGresult *result)
{
    struct db_rows *rows = malloc(sizeof(*rows));

    if (rows)
        rows->result = result;
    else
        PQclear(result);
    return rows;
}

struct db_rows *db_rows_free(struct db_rows *rows)
{
    if (!rows)
        return NULL;
    PQclear(rows->result);
    free(rows);
    return NULL;
}

static int64_t number(const char *text)
{
    char *end = NULL;

    errno = 0;
    long long n = strtoll(text, &end, 10);
    CHECK(errno == 0 && end != text && *end == '\0');
    return n;
}

int db_count(const struct db_rows *rows)
{
    return PQntuples(rows->result);
}

int64_t db_affected(const struct db_rows *rows)
{
    const char *text = PQcmdTuples(rows->result);

    return *text ? number(text) : 0;
}

bool db_is_null(const struct db_rows *rows, int row, int column)
{
    CHECK(row >= 0 && row < PQntuples(rows->result));
    CHECK(column >= 0 && column < PQnfields(rows->result));
    return PQgetisnull(rows->result, row, column);
}

const char *db_get_text(const struct db_rows *rows, int row, int column)
{
    CHECK(!db_is_null(rows, row, column));
    return PQgetvalue(rows->result, row, column);
}

int64_t db_get_i64(const struct db_rows *rows, int row, int column)
{
    return number(db_get_text(rows, row, column));
}

bool db_get_bool(const struct db_rows *rows, int row, int column)
{
    const char *text = db_get_text(rows, row, column);

    CHECK(strcmp(text, "t") == 0 || strcmp(text, "f") == 0);
    return text[0] == 't';
}
