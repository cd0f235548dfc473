#include "common/io/db_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/num.h"

struct db_session {
    struct db_settings *settings;
    struct db_conn *conn; /* NULL: not open */
    int64_t answer_ms;
    int wake; /* an eventfd: the only member that other threads touch */
};

bool db_session_new(const char *conninfo, int64_t answer_ms, struct db_session **ret, struct err *e)
{
    CHECK(answer_ms >= 1);

    struct db_session *new = calloc(1, sizeof(*new));
    if (!new)
        return err_set(e, ERR_INTERNAL, "out of memory");
    new->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    new->answer_ms = answer_ms;
    auto_db_session struct db_session *s = new;
    if (s->wake < 0)
        return err_set(e, ERR_INTERNAL, "eventfd: %s", strerror(errno));
    if (!db_settings_new(conninfo, &s->settings, e))
        return false;
    *ret = TAKE(s);
    return true;
}

struct db_session *db_session_free(struct db_session *s)
{
    if (!s)
        return NULL;
    db_session_close(s);
    db_settings_free(s->settings);
    if (s->wake >= 0)
        close(s->wake);
    free(s);
    return NULL;
}

/*
 * The process that answers must be the one that the connection was opened to.
 * Nothing is prepared or set before that is known: it would stay with others.
 */
static bool is_direct(struct db_conn *c, struct err *e)
{
    auto_result PGresult *result = NULL;

    if (!db_conn_script(c, "SELECT pg_backend_pid()", DB_ANSWER_MS, &result, e))
        return false;
    if (strtoll(PQgetvalue(result, 0, 0), NULL, 10) != PQbackendPID(c->pg))
        return err_set(e, ERR_INTERNAL, "a connection pooler is in between, which has no sessions");
    return true;
}

bool db_session_open(struct db_session *s, const char *setup, struct err *e)
{
    auto_db_conn struct db_conn *c = NULL;

    CHECK(!s->conn);
    if (!db_conn_new(s->settings, &c, e))
        return false;
    c->until_ms = clk_now_ms() + s->answer_ms;
    if (!is_direct(c, e) || !db_conn_script(c, setup, DB_ANSWER_MS, NULL, e))
        return false;
    s->conn = TAKE(c);
    return true;
}

void db_session_close(struct db_session *s)
{
    s->conn = db_conn_free(s->conn);
}

bool db_session_is_open(const struct db_session *s)
{
    return s->conn != NULL;
}

bool db_session_tx(struct db_session *s, db_tx_fn *fn, void *arg, struct err *e)
{
    if (!s->conn)
        return err_set(e, ERR_UNAVAILABLE, "database: not connected");
    s->conn->trouble = DB_TROUBLE_NONE;
    s->conn->until_ms = clk_now_ms() + s->answer_ms;
    enum db_outcome outcome = db_run(s->conn, fn, arg, e);
    if (!db_conn_is_of_use(s->conn))
        db_session_close(s);
    return outcome == DB_COMMITTED;
}

void db_session_wake(struct db_session *s)
{
    const uint64_t one = 1;

    /* It fails only when the counter is full, and then the session is awake anyway. */
    if (write(s->wake, &one, sizeof(one)) < 0)
        CHECK(errno == EAGAIN);
}

/* Nothing is asked, so whatever arrives is a notice, or the end. */
static void take_news(struct db_session *s)
{
    if (!PQconsumeInput(s->conn->pg) || PQstatus(s->conn->pg) != CONNECTION_OK)
        db_session_close(s);
}

void db_session_wait(struct db_session *s, int64_t timeout_ms)
{
    struct pollfd fds[] = {
        {.fd = s->wake, .events = POLLIN},
        {.fd = s->conn ? PQsocket(s->conn->pg) : -1, .events = POLLIN},
    };
    uint64_t count = 0;

    (void)poll(fds, 2, (int)min_i64(max_i64(timeout_ms, 0), INT32_MAX));
    if (read(s->wake, &count, sizeof(count)) < 0)
        CHECK(errno == EAGAIN);
    if (s->conn && fds[1].revents != 0)
        take_news(s);
}
