#include "services/local-svc/store_servers.h"

#include "services/local-svc/store_rows.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "services/local-svc/columns.h"

struct server_row {
    struct topup_server recorded, server; /* `server` is as it becomes */
    int64_t heard;                        /* the incarnation in which it has told all; 0: none */
};

static int compare_ledgers(const struct topup_server *a, const struct topup_server *b)
{
    int order = strcmp(a->name, b->name);

    return order != 0 ? order : strcmp(a->incarnation, b->incarnation);
}

static int compare_rows(const void *a, const void *b)
{
    const struct server_row *left = a, *right = b;

    return compare_ledgers(&left->server, &right->server);
}

/* By ledger, the newest process of each first. */
static int compare_processes(const void *a, const void *b)
{
    const struct server_row *left = a, *right = b;
    int order = compare_rows(a, b);

    return order != 0 ? order
                      : (left->server.generation < right->server.generation) -
                            (left->server.generation > right->server.generation);
}

/* The distinct (name, incarnation) of all requests that are not refused, sorted. */
static size_t collect(struct topup_request *const *requests, size_t count, struct server_row *ret)
{
    size_t admitted = 0, distinct = 0;

    for (size_t i = 0; i < count; i++)
        if (requests[i]->refusal == TOPUP_ADMITTED)
            ret[admitted++] =
                (struct server_row){.server = requests[i]->server,
                                    .heard = requests[i]->all_told ? requests[i]->heard : 0};
    qsort(ret, admitted, sizeof(*ret), compare_processes);
    for (size_t i = 0; i < admitted; i++)
        if (i == 0 || compare_rows(&ret[i], &ret[distinct - 1]) != 0)
            ret[distinct++] = ret[i];
        else
            ret[distinct - 1].heard = max_i64(ret[distinct - 1].heard, ret[i].heard);
    return distinct;
}

static void add_server(struct columns *c, const struct server_row *rows, size_t count)
{
    const char **names = columns_texts(c), **incarnations = columns_texts(c);
    int64_t *generations = columns_i64s(c);
    const char **processes = columns_texts(c);

    for (size_t i = 0; i < count; i++) {
        names[i] = rows[i].server.name;
        incarnations[i] = rows[i].server.incarnation;
        generations[i] = rows[i].server.generation;
        processes[i] = rows[i].server.process;
    }
}

/* Who is new gets a row; from here on every row is there to be locked, in key order. */
static bool insert_missing(struct db_conn *c, const struct server_row *rows, size_t count,
                           struct err *e)
{
    auto_columns struct columns values = COLUMNS_INIT(count);

    add_server(&values, rows, count);
    return db_query(c,
                    "INSERT INTO local.server (name, incarnation, generation, process, seen_at)"
                    "SELECT k.name, k.incarnation, k.generation, k.process, clock_timestamp()"
                    "  FROM unnest($1, $2::uuid[], $3, $4::uuid[])"
                    "       AS k (name, incarnation, generation, process)"
                    " ORDER BY k.name COLLATE \"C\", k.incarnation"
                    "    ON CONFLICT DO NOTHING",
                    values.params, values.count, NULL, e);
}

static bool lock(struct db_conn *c, struct server_row *rows, size_t count, struct err *e)
{
    auto_rows struct db_rows *found = NULL;
    auto_columns struct columns keys = COLUMNS_INIT(count);

    add_server(&keys, rows, count);
    if (!db_query(c,
                  "SELECT k.i, s.generation, s.process"
                  "  FROM unnest($1, $2::uuid[]) WITH ORDINALITY AS k (name, incarnation, i)"
                  " CROSS JOIN LATERAL (SELECT * FROM local.server"
                  "                      WHERE name = k.name AND incarnation = k.incarnation"
                  "                        FOR UPDATE) s",
                  keys.params, 2, &found, e))
        return false;
    /* A row of long ago may be purged between the two statements. */
    if ((size_t)db_count(found) != count)
        return err_set(e, ERR_UNAVAILABLE, "a server was just purged; say it again");
    for (int row = 0; row < db_count(found); row++) {
        struct server_row *r = &rows[db_get_i64(found, row, 0) - 1];
        struct topup_server *s = &r->server;

        s->generation = db_get_i64(found, row, 1);
        (void)strncpy(s->process, db_get_text(found, row, 2), sizeof(s->process) - 1);
        r->recorded = *s;
    }
    return true;
}

static bool is_same(const struct topup_server *a, const struct topup_server *b)
{
    return a->generation == b->generation && strcmp(a->process, b->process) == 0;
}

/*
 * One live process a ledger: opening it again raises the generation, so the
 * older one is stale; two processes of one generation hold copies of it.
 */
static void decide(struct server_row *row, struct topup_request *r)
{
    const struct topup_server *asks = &r->server;
    bool is_impostor = !is_same(asks, &row->server) && asks->generation <= row->server.generation;

    r->is_first = !is_same(asks, &row->recorded);
    r->refusal = is_impostor ? TOPUP_IMPOSTOR : TOPUP_ADMITTED;
    if (!is_impostor)
        row->server = *asks;
}

bool store_servers_admit(struct db_conn *c, struct topup_request *const *requests, size_t count,
                         struct err *e)
{
    auto_free struct server_row *rows = calloc(count, sizeof(*rows));

    CHECK(rows != NULL);
    for (size_t i = 0; i < count; i++)
        requests[i]->refusal = TOPUP_ADMITTED;
    size_t distinct = collect(requests, count, rows);
    if (!insert_missing(c, rows, distinct, e) || !lock(c, rows, distinct, e))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct server_row key = {.server = requests[i]->server};
        struct server_row *row = bsearch(&key, rows, distinct, sizeof(*rows), compare_rows);

        decide(row, requests[i]);
    }
    return true;
}

static bool save(struct db_conn *c, const struct server_row *rows, size_t count, struct err *e)
{
    auto_columns struct columns values = COLUMNS_INIT(count);

    add_server(&values, rows, count);
    int64_t *heard = columns_i64s(&values);
    for (size_t i = 0; i < count; i++)
        heard[i] = rows[i].heard;
    /* What it said in an earlier incarnation does not count any more. */
    return db_query(c,
                    "UPDATE local.server s"
                    "   SET heard_in = CASE WHEN k.heard = (SELECT incarnation FROM local.dc)"
                    "                       THEN k.heard ELSE s.heard_in END,"
                    "       generation = k.generation, process = k.process,"
                    "       seen_at = clock_timestamp(), silence = 0"
                    "  FROM unnest($1, $2::uuid[], $3, $4::uuid[], $5)"
                    "       AS k (name, incarnation, generation, process, heard)"
                    " CROSS JOIN LATERAL (SELECT ctid AS place FROM local.server"
                    "                      WHERE name = k.name AND incarnation = k.incarnation"
                    "                     OFFSET 0) found"
                    " WHERE s.ctid = found.place",
                    values.params, values.count, NULL, e);
}

bool store_servers_spoke(struct db_conn *c, struct topup_request *const *requests, size_t count,
                         struct err *e)
{
    auto_free struct server_row *rows = calloc(count, sizeof(*rows));

    CHECK(rows != NULL);
    return save(c, rows, collect(requests, count, rows), e);
}

struct active_tx {
    int64_t within_ms;
    int64_t count;
};

static bool active_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    struct active_tx *tx = arg;

    if (!db_query(c,
                  "SELECT greatest(1, count(*)) FROM local.server"
                  " WHERE seen_at > clock_timestamp() - $1 * interval '1 millisecond'",
                  DB_ARGS(db_i64(tx->within_ms)), &rows, e))
        return false;
    tx->count = db_get_i64(rows, 0, 0);
    return true;
}

bool store_servers_active(struct db *db, int64_t within_ms, int64_t *ret, struct err *e)
{
    struct active_tx tx = {.within_ms = within_ms};

    if (!store_tx(db, active_tx, &tx, e))
        return err_while(e, "counting servers");
    *ret = tx.count;
    return true;
}
