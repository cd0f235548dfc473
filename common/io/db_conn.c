#include "common/io/db_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/num.h"

/* clang-format off */
/* What SQLSTATEs mean to us; the first whose letters begin the state counts. */
static const struct fault {
    const char *states;
    enum err_kind kind;
    enum db_trouble trouble;
} faults[] = {
    {"23",    ERR_CONFLICT,    DB_TROUBLE_NONE},  /* a constraint */
    {"40001", ERR_UNAVAILABLE, DB_TROUBLE_AGAIN}, /* serialization failure */
    {"40P01", ERR_UNAVAILABLE, DB_TROUBLE_AGAIN}, /* deadlock */
    {"55P03", ERR_UNAVAILABLE, DB_TROUBLE_NONE},  /* lock_timeout: the patience is used up */
    {"57014", ERR_UNAVAILABLE, DB_TROUBLE_NONE},  /* statement_timeout: likewise */
    {"57P",   ERR_UNAVAILABLE, DB_TROUBLE_LOST},  /* shutting down, crashed, starting */
    {"08",    ERR_UNAVAILABLE, DB_TROUBLE_LOST},
    {"25006", ERR_UNAVAILABLE, DB_TROUBLE_LOST},  /* became a standby: find the new primary */
    {"55000", ERR_UNAVAILABLE, DB_TROUBLE_LOST},  /* asked what only a primary can say: likewise */
    {"25P03", ERR_UNAVAILABLE, DB_TROUBLE_LOST},  /* idle in transaction for too long */
    {"0A000", ERR_INTERNAL,    DB_TROUBLE_LOST},  /* a table changed under a prepared statement */
    {"26000", ERR_INTERNAL,    DB_TROUBLE_LOST},  /* the server forgot a prepared statement */
    {"53",    ERR_UNAVAILABLE, DB_TROUBLE_NONE},  /* out of memory, disk, connections */
    {"",      ERR_INTERNAL,    DB_TROUBLE_NONE},
};
/* clang-format on */

static const struct fault *fault_of(const char *state)
{
    const struct fault *f = faults;

    while (strncmp(state, f->states, strlen(f->states)) != 0)
        f++;
    return f;
}

static const char *field(const PGresult *result, int code)
{
    const char *text = PQresultErrorField(result, code);

    return text ? text : "";
}

static bool lost(struct db_conn *c, struct err *e)
{
    c->trouble = DB_TROUBLE_LOST;
    return db_unavailable(c->pg, e);
}

static bool failed(struct db_conn *c, const PGresult *result, struct err *e)
{
    const char *state = field(result, PG_DIAG_SQLSTATE);
    const char *constraint = field(result, PG_DIAG_CONSTRAINT_NAME);

    if (!*state)
        return lost(c, e);
    const struct fault *f = fault_of(state);
    /* Later statements fail because of the first: what it meant is what counts. */
    if (f->trouble > c->trouble)
        c->trouble = f->trouble;
    return err_set(e, f->kind, "%s%s%s (%s)", constraint, *constraint ? ": " : "",
                   field(result, PG_DIAG_MESSAGE_PRIMARY), state);
}

/* False when the deadline has passed. */
static bool wait_socket(PGconn *pg, short events, int64_t deadline_ms)
{
    struct pollfd fd = {.fd = PQsocket(pg), .events = events};
    int ready = 0;

    do {
        int64_t left_ms = deadline_ms - clk_now_ms();
        if (left_ms <= 0)
            return false;
        ready = poll(&fd, 1, (int)left_ms);
    } while (ready == 0 || (ready < 0 && errno == EINTR));
    return ready > 0;
}

/* False when the connection is of no more use: broken, or the server is silent. */
static bool await_result(PGconn *pg, int64_t deadline_ms)
{
    for (;;) {
        int unsent = PQflush(pg);

        if (unsent < 0)
            return false;
        if (unsent == 0 && !PQisBusy(pg))
            return true;
        if (!wait_socket(pg, unsent ? POLLIN | POLLOUT : POLLIN, deadline_ms) ||
            !PQconsumeInput(pg))
            return false;
    }
}

static bool is_error(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);

    return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY;
}

/* Of several statements the last result counts, or the first error. */
static PGresult *pick(PGresult *kept, PGresult *next)
{
    PGresult *dropped = kept && is_error(kept) ? next : kept;

    PQclear(dropped);
    return dropped == next ? kept : next;
}

/* COPY has a protocol of its own, which this module does not speak. */
static bool is_copy(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);

    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* Collects the answer to what was sent; NULL if it did not come. */
static PGresult *collect(struct db_conn *c, int64_t timeout_ms)
{
    int64_t deadline_ms = min_i64(clk_now_ms() + timeout_ms, c->until_ms);
    auto_result PGresult *kept = NULL;

    while (await_result(c->pg, deadline_ms)) {
        PGresult *next = PQgetResult(c->pg);
        if (!next)
            return TAKE(kept);
        CHECK(!is_copy(next));
        kept = pick(kept, next);
    }
    return NULL;
}

static bool finish(struct db_conn *c, int sent, int64_t timeout_ms, PGresult **ret, struct err *e)
{
    auto_result PGresult *result = sent ? collect(c, timeout_ms) : NULL;

    if (!result)
        return lost(c, e);
    if (is_error(result))
        return failed(c, result, e);
    if (ret)
        *ret = TAKE(result);
    return true;
}

static struct db_statement *find(struct db_conn *c, const char *sql, uint64_t types)
{
    uint64_t hash = ((uintptr_t)sql ^ types) * UINT64_C(0x9e3779b97f4a7c15);

    for (size_t i = hash >> 32;; i++) {
        struct db_statement *s = &c->statements[i % DB_STATEMENTS_MAX];
        if (!s->sql || (s->sql == sql && s->types == types))
            return s;
    }
}

static void statement_name(const struct db_conn *c, const struct db_statement *s, char ret[24])
{
    snprintf(ret, 24, "s%td", s - c->statements);
}

/* A statement that fails to prepare is not remembered: it fails again in the same way. */
static bool prepare(struct db_conn *c, struct db_statement *s, const char *sql, size_t count,
                    const struct db_params *params, struct err *e)
{
    char name[24];
    auto_free char *text = strdup(sql);

    if (!text)
        return err_set(e, ERR_INTERNAL, "out of memory");
    /* SQL is literals, so there are only so many; half empty, the search stays short. */
    CHECK(c->statements_count < DB_STATEMENTS_MAX / 2);
    statement_name(c, s, name);
    int sent = PQsendPrepare(c->pg, name, sql, (int)count, params->oids);
    if (!finish(c, sent, DB_ANSWER_MS, NULL, e))
        return false;
    *s = (struct db_statement){.sql = sql, .text = TAKE(text), .types = params->types};
    c->statements_count++;
    return true;
}

static bool execute(struct db_conn *c, const char *sql, size_t count,
                    const struct db_params *params, PGresult **ret, struct err *e)
{
    struct db_statement *s = find(c, sql, params->types);
    char name[24];

    if (!s->sql && !prepare(c, s, sql, count, params, e))
        return false;
    CHECK(strcmp(s->text, sql) == 0);
    statement_name(c, s, name);
    int sent = PQsendQueryPrepared(c->pg, name, (int)count, params->values, NULL, NULL, 0);
    return finish(c, sent, DB_ANSWER_MS, ret, e);
}

bool db_conn_query(struct db_conn *c, const char *sql, const struct db_param *params, size_t count,
                   PGresult **ret, struct err *e)
{
    struct db_params encoded;
    bool ok =
        db_params_init(&encoded, params, count, e) && execute(c, sql, count, &encoded, ret, e);

    db_params_done(&encoded);
    return ok;
}

bool db_conn_script(struct db_conn *c, const char *sql, int64_t timeout_ms, PGresult **ret,
                    struct err *e)
{
    return finish(c, PQsendQuery(c->pg, sql), timeout_ms, ret, e);
}

/* As the server said with its last answer; no question is asked. */
static bool is_on(const struct db_conn *c, const char *parameter)
{
    const char *value = PQparameterStatus(c->pg, parameter);

    return value && strcmp(value, "on") == 0;
}

/* Whoever reads at a server that is no longer the primary reads what was. */
static bool is_read_only(const struct db_conn *c)
{
    return is_on(c, "in_hot_standby") || is_on(c, "default_transaction_read_only");
}

bool db_conn_is_of_use(const struct db_conn *c)
{
    return c->trouble != DB_TROUBLE_LOST && PQstatus(c->pg) == CONNECTION_OK &&
           PQtransactionStatus(c->pg) == PQTRANS_IDLE && !is_read_only(c);
}

static void take_notice(void *arg, const PGresult *notice)
{
    struct db_conn *c = arg;

    if (strcmp(field(notice, PG_DIAG_SEVERITY_NONLOCALIZED), "WARNING") == 0)
        c->was_warned = true;
    db_notice(NULL, PQresultErrorMessage(notice));
}

bool db_conn_new(const struct db_settings *s, struct db_conn **ret, struct err *e)
{
    auto_db_conn struct db_conn *c = calloc(1, sizeof(*c));

    if (!c)
        return err_set(e, ERR_INTERNAL, "out of memory");
    c->until_ms = INT64_MAX;
    if (!db_settings_connect(s, &c->pg, e))
        return false;
    (void)PQsetNoticeReceiver(c->pg, take_notice, c);
    *ret = TAKE(c);
    return true;
}

struct db_conn *db_conn_free(struct db_conn *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < DB_STATEMENTS_MAX; i++)
        free(c->statements[i].text);
    PQfinish(c->pg);
    free(c);
    return NULL;
}
