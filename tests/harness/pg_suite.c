/* pg_suite: one cluster for all tests of a program, a database for each; see pg.h. */

#include "tests/harness/pg.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "services/migrate/migrate.h"
#include "tests/harness/proc.h"

/* Not VOLUMECAP_...: services refuse settings of their prefix that they do not know. */
#define SUITE_ENV "HARNESS_PG"
#define DATABASE_WAIT_MS 30000

struct pg_db {
    char name[48];
    char conninfo[160];
};

/* The runner's alone: its tests know the cluster by the environment. */
static struct pg *suite;

void pg_migrate(const char *conninfo)
{
    const struct migrate_config config = {
        .conninfo = conninfo, .folder = VOLUMECAP_MIGRATIONS, .wait_ms = DATABASE_WAIT_MS};
    struct err e = {0};
    int64_t applied = 0;

    log_level_set(LOG_WARN);
    if (!migrate_run(&config, &applied, &e))
        harness_fail("migrations: %s", e.msg);
    log_level_set(LOG_INFO);
}

static void stop(void)
{
    suite = pg_free(suite);
}

/* "volumecap" becomes the template: migrated once, copied for each test. */
void pg_suite_start(void)
{
    char conninfo[128];

    suite = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(suite));
    /* It is never away, only slow at times: the 2 s that services have for an attempt are not its
     * tests' concern. */
    snprintf(conninfo, sizeof(conninfo),
             "host=127.0.0.1 port=%lld user=volumecap connect_timeout=60",
             (long long)pg_port(suite));
    if (setenv(SUITE_ENV, conninfo, 1) != 0)
        harness_fail("setenv");
    atexit(stop);
}

static void admin(char ret[160])
{
    const char *cluster = getenv(SUITE_ENV);

    if (!cluster)
        harness_fail("no shared cluster: the test program lacks PG_SUITE()");
    snprintf(ret, 160, "%s dbname=postgres", cluster);
}

struct pg_db *pg_fresh_db(void)
{
    static int count;
    char conninfo[160];
    struct pg_db *d = calloc(1, sizeof(*d));

    if (!d)
        harness_fail("out of memory");
    admin(conninfo);
    snprintf(d->name, sizeof(d->name), "test_%d_%d", getpid(), ++count);
    pg_exec(conninfo, "CREATE DATABASE %s TEMPLATE volumecap", d->name);
    snprintf(d->conninfo, sizeof(d->conninfo), "%s dbname=%s", getenv(SUITE_ENV), d->name);
    return d;
}

const char *pg_conninfo_of(const struct pg_db *d)
{
    return d->conninfo;
}

struct pg_db *pg_db_free(struct pg_db *d)
{
    char conninfo[160];

    if (!d)
        return NULL;
    admin(conninfo);
    pg_exec(conninfo, "DROP DATABASE %s WITH (FORCE)", d->name);
    free(d);
    return NULL;
}
