#pragma once

/*
 * pg: private PostgreSQL clusters in scratch folders, and fresh databases.
 *
 * Each test of a Criterion program is a process of its own.  The cluster they
 * share is started by the runner before the first test and stopped when the
 * runner exits: write PG_SUITE() once in the test program, which includes
 * <criterion/hooks.h>; the tests find the cluster by an environment variable
 * that they inherit.  If the runner is killed, the cluster dies with it.
 *
 *   PG_SUITE();
 *
 *   Test(store, keeps_what_it_is_given)
 *   {
 *       auto_pg_db struct pg_db *fresh = pg_fresh_db();
 *       ... db_open(&(struct db_pool_settings){pg_conninfo_of(fresh), ...}, ...);
 *   }
 *
 * A test that kills or stops PostgreSQL starts its own with pg_start().
 * Programs without Criterion call pg_suite_start(), or just pg_start() and
 * pg_migrate().
 *
 * Everything here aborts with a message when it fails.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"

/* Where Debian has it. */
#ifndef PG_MAJOR
#define PG_MAJOR "15"
#endif
#define PG_BIN "/usr/lib/postgresql/" PG_MAJOR "/bin"

struct pg;

struct pg_options {
    const char *folder; /* made if missing, kept afterwards; NULL: scratch */
    int64_t port;       /* on 127.0.0.1; 0: a free one */
    bool fsync;
    bool outlives; /* the process that started it */
};

/* Makes the cluster unless the folder has one, starts it, waits until it answers. */
struct pg *pg_start(const struct pg_options *o);
const char *pg_conninfo(const struct pg *pg); /* of the database "volumecap", empty at first */
int64_t pg_port(const struct pg *pg);
const char *pg_log(const struct pg *pg); /* the path of the server's log */

void pg_stop(struct pg *pg);   /* in order: rolls back what is under way */
void pg_kill(struct pg *pg);   /* kill -9 of the postmaster and all its backends at once */
void pg_freeze(struct pg *pg); /* SIGSTOP to all of them: connected, and silent */
void pg_thaw(struct pg *pg);
void pg_restart(struct pg *pg); /* on the same port, after pg_stop() or pg_kill() */
void pg_reap(struct pg *pg);    /* as dc_reap() */

/*
 * From now on COMMIT waits for a synchronous standby of that name, for
 * "nobody" for ever; "": soon for none any more.
 */
void pg_wait_for_standby(const struct pg *pg, const char *name);

/* Stops it and removes a scratch folder; one that outlives us is only forgotten. */
struct pg *pg_free(struct pg *pg);
CLEANUP_DEFINE(pg_cluster, struct pg, pg_free)
#define auto_pg_cluster CLEANUP(pg_cluster)

/*
 * Takes a base backup of the running cluster, and puts it in the place of what has been
 * written since: the server is killed, and started on the backup.
 */
void pg_back_up(struct pg *pg);
void pg_go_back(struct pg *pg);

/*
 * A streaming standby of the running cluster, on a port of its own.  With `is_synchronous`,
 * the primary acknowledges nothing from now on that the standby does not have.  Free it after
 * the cluster, if that failed over to it.
 */
struct pg *pg_start_standby(struct pg *primary, bool is_synchronous);
void pg_await_standby(struct pg *primary, const struct pg *standby); /* it has all there is now */
void pg_cut_standby(struct pg *standby); /* it gets nothing any more, and stays as it is */

/*
 * The primary is killed, and the standby promoted in its place: on the same port, so that
 * clients find it.  From then on `primary` is what was the standby.
 */
void pg_fail_over(struct pg *primary, struct pg *standby);

/* Applies migrations/ of this source tree. */
void pg_migrate(const char *conninfo);

/* A database of the shared cluster, migrated, empty; dropped when freed, with its connections. */
struct pg_db;
struct pg_db *pg_fresh_db(void);
const char *pg_conninfo_of(const struct pg_db *d);
struct pg_db *pg_db_free(struct pg_db *d);
CLEANUP_DEFINE(pg_db, struct pg_db, pg_db_free)
#define auto_pg_db CLEANUP(pg_db)

/* On a connection of their own; SQL is a format. */
void pg_exec(const char *conninfo, const char *sql, ...) __attribute__((format(printf, 2, 3)));
int64_t pg_i64(const char *conninfo, const char *sql, ...) __attribute__((format(printf, 2, 3)));
char *pg_text(const char *conninfo, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* Is there a server, and is it the one to write to?  Within 2 s for each host. */
bool pg_takes_writes(const char *conninfo);

/* The SQLSTATE that it fails with, "00000" if it does not; free() it. */
char *pg_sqlstate(const char *conninfo, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* In the runner: starts the shared cluster; exit() stops it. */
void pg_suite_start(void);

#define PG_SUITE()                                                                                 \
    ReportHook(PRE_ALL)(struct criterion_test_set * tests)                                         \
    {                                                                                              \
        (void)tests;                                                                               \
        pg_suite_start();                                                                          \
    }                                                                                              \
    struct pg_suite_takes_a_semicolon
