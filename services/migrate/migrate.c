#include "services/migrate/migrate.h"

#include <string.h>
#include <time.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/db.h"
#include "services/migrate/files.h"

#define RETRY_MS 100

/*
 * A migration may take as long as it takes once it has its locks, but must not
 * queue for a lock for long: everyone else would queue behind it.
 */
static const char begin[] = "SET LOCAL statement_timeout = 0;"
                            "SET LOCAL idle_in_transaction_session_timeout = 0;"
                            "SET LOCAL lock_timeout = '60s';"
                            /* The number is only ours: the first eight bytes of "volumecap". */
                            "SELECT pg_advisory_xact_lock(x'766f6c756d656361'::bigint);"
                            "SET LOCAL lock_timeout = '5s';";

static const char create_history[] =
    "CREATE TABLE IF NOT EXISTS public.schema_migrations ("
    "    version    text        PRIMARY KEY,"
    "    checksum   text        NOT NULL,"
    "    applied_at timestamptz NOT NULL DEFAULT clock_timestamp());"
    "COMMENT ON TABLE public.schema_migrations IS 'The migrations applied to this database.';"
    "COMMENT ON COLUMN public.schema_migrations.version IS 'The number its file begins with.';"
    "COMMENT ON COLUMN public.schema_migrations.checksum IS 'SHA-256 of the file, hexadecimal.';"
    "COMMENT ON COLUMN public.schema_migrations.applied_at IS 'When it was applied, in real "
    "time.';";

static bool lock(struct db_conn *c, void *arg, struct err *e)
{
    (void)arg;
    return db_script(c, begin, e);
}

static bool prepare_tx(struct db_conn *c, void *arg, struct err *e)
{
    return lock(c, arg, e) && db_script(c, create_history, e);
}

/* What was applied must be the first of the files, unchanged. */
static bool check_row(struct db_conn *c, const struct migrations *files, size_t i,
                      const struct db_rows *history, struct err *e)
{
    const struct migration *file = i < files->count ? &files->rows[i] : NULL;
    const char *version = db_get_text(history, (int)i, 0);
    auto_rows struct db_rows *rows = NULL;
    int order = file ? strcmp(version, file->version) : -1;

    if (order < 0)
        return err_set(e, ERR_CONFLICT, "%s was applied, but its file is missing", version);
    if (order > 0)
        return err_set(e, ERR_CONFLICT, "%s is new, but comes before %s, which was applied",
                       file->name, version);
    if (!db_query(c, "SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex') = $2",
                  DB_ARGS(db_text(file->text), db_text(db_get_text(history, (int)i, 1))), &rows, e))
        return false;
    return db_get_bool(rows, 0, 0) ||
           err_set(e, ERR_CONFLICT, "%s has changed since it was applied", file->name);
}

static bool check_history(struct db_conn *c, const struct migrations *files, size_t *ret_applied,
                          struct err *e)
{
    auto_rows struct db_rows *history = NULL;

    if (!db_query(c, "SELECT version, checksum FROM public.schema_migrations ORDER BY version",
                  DB_NO_ARGS, &history, e))
        return false;
    for (size_t i = 0; i < (size_t)db_count(history); i++) {
        if (!check_row(c, files, i, history, e))
            return false;
    }
    *ret_applied = (size_t)db_count(history);
    return true;
}

static bool apply(struct db_conn *c, const struct migration *m, struct err *e)
{
    if (!db_script(c, m->up, e))
        return err_while(e, "%s", m->name);
    return db_query(c,
                    "INSERT INTO public.schema_migrations (version, checksum)"
                    " VALUES ($1, encode(sha256(convert_to($2, 'UTF8')), 'hex'))",
                    DB_ARGS(db_text(m->version), db_text(m->text)), NULL, e);
}

struct step {
    const struct migrations *files;
    const struct migration *applied; /* by this step; NULL: none was left */
};

static bool step_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct step *step = arg;
    size_t applied = 0;

    if (!lock(c, NULL, e) || !check_history(c, step->files, &applied, e))
        return false;
    step->applied = applied < step->files->count ? &step->files->rows[applied] : NULL;
    return !step->applied || apply(c, step->applied, e);
}

static bool wait_for_database(struct db *db, int64_t wait_ms, struct err *e)
{
    const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
    int64_t deadline_ms = clk_now_ms() + wait_ms;

    while (!db_ping(db, e)) {
        if (clk_now_ms() >= deadline_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

bool migrate_run(const struct migrate_config *config, int64_t *ret_applied, struct err *e)
{
    const struct db_pool_settings pool = {
        .conninfo = config->conninfo, .conns_max = 1, .acquire_timeout_ms = config->wait_ms + 1};
    auto_migrations struct migrations *files = NULL;
    auto_db struct db *db = NULL;
    struct step step = {0};
    int64_t applied = 0;

    if (!migrations_read(config->folder, &files, e) || !db_open(&pool, NULL, &db, e) ||
        !wait_for_database(db, config->wait_ms, e) || !db_tx(db, prepare_tx, NULL, e))
        return false;
    step.files = files;
    do {
        if (!db_tx(db, step_tx, &step, e))
            return false;
        if (step.applied) {
            log_event(LOG_INFO, "migrate.applied", log_str("file", step.applied->name));
            applied++;
        }
    } while (step.applied);
    *ret_applied = applied;
    return true;
}
