#include "common/io/db_internal.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

/* Longer than libpq's own list of keywords, which has 41 in version 15. */
#define KEYWORDS_MAX 64

struct db_settings {
    PQconninfoOption *given;
    struct buf options;
    const char *keywords[KEYWORDS_MAX + 1];
    const char *values[KEYWORDS_MAX + 1];
    size_t count;
};

/* clang-format off */
/*
 * Without these a host that is cut off is waited for without limit, and a
 * statement of a client that is gone keeps its locks.
 */
static const struct {
    const char *keyword;
    const char *value;
} defaults[] = {
    {"connect_timeout",      "2"},
    {"keepalives",           "1"},
    {"keepalives_idle",      "2"},
    {"keepalives_interval",  "1"},
    {"keepalives_count",     "3"},
    {"tcp_user_timeout",     "3000"},
    {"target_session_attrs", "read-write"},
    {"client_encoding",      "UTF8"},
};

/*
 * The conninfo's own options follow these, so that they win.  Without jit=off a
 * join of tables that were never analyzed looks dear enough to be compiled,
 * each time, for 100 to 300 ms: measured on the watch.
 */
static const char default_options[] =
    "-c statement_timeout=5000 -c lock_timeout=3000"
    " -c idle_in_transaction_session_timeout=10000 -c TimeZone=UTC -c jit=off";
/* clang-format on */

static void add(struct db_settings *s, const char *keyword, const char *value)
{
    CHECK(s->count < KEYWORDS_MAX);
    s->keywords[s->count] = keyword;
    s->values[s->count] = value;
    s->count++;
}

static const char *given(const struct db_settings *s, const char *keyword)
{
    for (const PQconninfoOption *o = s->given; o->keyword; o++) {
        if (strcmp(o->keyword, keyword) == 0)
            return o->val;
    }
    return NULL;
}

static void add_default(struct db_settings *s, const char *keyword, const char *value)
{
    if (!given(s, keyword))
        add(s, keyword, value);
}

static void add_options(struct db_settings *s)
{
    const char *own = given(s, "options");

    buf_printf(&s->options, "%s %s", default_options, own ? own : "");
    add(s, "options", buf_text(&s->options));
}

static void fill(struct db_settings *s)
{
    for (const PQconninfoOption *o = s->given; o->keyword; o++) {
        if (o->val && strcmp(o->keyword, "options") != 0)
            add(s, o->keyword, o->val);
    }
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        add_default(s, defaults[i].keyword, defaults[i].value);
    add_default(s, "application_name", program_invocation_short_name);
    add_options(s);
}

bool db_settings_new(const char *conninfo, struct db_settings **ret, struct err *e)
{
    auto_db_settings struct db_settings *s = calloc(1, sizeof(*s));
    char *why = NULL;

    if (!s)
        return err_set(e, ERR_INTERNAL, "out of memory");
    s->given = PQconninfoParse(conninfo, &why);
    if (!s->given) {
        err_set_(e, ERR_INVALID, "conninfo: %s", why ? why : "out of memory");
        PQfreemem(why);
        return false;
    }
    fill(s);
    if (buf_failed(&s->options))
        return err_set(e, ERR_INTERNAL, "out of memory");
    *ret = TAKE(s);
    return true;
}

struct db_settings *db_settings_free(struct db_settings *s)
{
    if (!s)
        return NULL;
    PQconninfoFree(s->given);
    buf_done(&s->options);
    free(s);
    return NULL;
}

bool db_unavailable(PGconn *pg, struct err *e)
{
    const char *why = PQerrorMessage(pg);

    err_set_(e, ERR_UNAVAILABLE, "database: %s", *why ? why : "no answer in time");
    for (char *p = strchr(e->msg, '\n'); p; p = strchr(p, '\n'))
        *p = p[1] ? ' ' : '\0';
    return false;
}

/* libpq would write notices to stderr by itself, in its own format. */
void db_notice(void *arg, const char *message)
{
    (void)arg;
    log_event(LOG_DEBUG, "db.notice", log_str("message", message));
}

bool db_settings_connect(const struct db_settings *s, PGconn **ret, struct err *e)
{
    auto_pg PGconn *pg = PQconnectdbParams(s->keywords, s->values, 0);

    if (!pg)
        return err_set(e, ERR_INTERNAL, "out of memory");
    if (PQstatus(pg) != CONNECTION_OK)
        return db_unavailable(pg, e);
    if (PQsetnonblocking(pg, 1) != 0)
        return db_unavailable(pg, e);
    (void)PQsetNoticeProcessor(pg, db_notice, NULL);
    *ret = TAKE(pg);
    return true;
}
