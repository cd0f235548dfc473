/* migrate: forward only, once, and never on a database that the files do not explain. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "services/migrate/migrate.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"

PG_SUITE();

#define WAIT_MS 60000

/* A folder of migrations of the test's own, and a database without any. */
struct world {
    struct pg_db *fresh;
    char *folder;
    struct migrate_config config;
    int64_t applied;
    struct err e;
};

static void write_file(const struct world *w, const char *name, const char *text)
{
    char path[5000];

    snprintf(path, sizeof(path), "%s/%s", w->folder, name);
    FILE *f = fopen(path, "we");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
}

static void remove_file(const struct world *w, const char *name)
{
    char path[5000];

    snprintf(path, sizeof(path), "%s/%s", w->folder, name);
    cr_assert_eq(remove(path), 0);
}

/* Two files: 0010 makes the table a, 0020 the table b. */
static struct world world_new(void)
{
    struct world w = {.fresh = pg_fresh_db(), .folder = folder_scratch()};

    log_level_set(LOG_ERROR);
    pg_exec(pg_conninfo_of(w.fresh), "DROP TABLE public.schema_migrations");
    w.config = (struct migrate_config){
        .conninfo = pg_conninfo_of(w.fresh), .folder = w.folder, .wait_ms = WAIT_MS};
    write_file(&w, "0010_a.sql", "-- migrate:up\nCREATE TABLE a (n int);\n");
    write_file(&w, "0020_b.sql", "-- migrate:up\nCREATE TABLE b (n int);\n");
    return w;
}

static void world_done(struct world *w)
{
    pg_db_free(w->fresh);
    free(w->folder);
}

static bool run(struct world *w)
{
    w->applied = 0;
    w->e = (struct err){0};
    return migrate_run(&w->config, &w->applied, &w->e);
}

static bool has_table(const struct world *w, const char *name)
{
    return pg_i64(w->config.conninfo, "SELECT count(to_regclass('%s'))", name) == 1;
}

static void expect_refusal(struct world *w, const char *why)
{
    cr_assert_not(run(w));
    cr_assert_not_null(strstr(w->e.msg, why), "%s", w->e.msg);
}

Test(migrate, applies_each_file_once_and_in_order)
{
    struct world w = world_new();

    write_file(&w, "0030_c.sql", "-- migrate:up\nALTER TABLE b ADD m int;\n");
    cr_assert(run(&w), "%s", w.e.msg);
    cr_assert_eq(w.applied, 3);
    cr_assert(run(&w), "%s", w.e.msg);
    cr_assert_eq(w.applied, 0);
    auto_free char *versions =
        pg_text(w.config.conninfo,
                "SELECT string_agg(version, ' ' ORDER BY version) FROM schema_migrations");
    cr_assert_str_eq(versions, "0010 0020 0030");
    world_done(&w);
}

Test(migrate, applies_only_what_is_new)
{
    struct world w = world_new();

    cr_assert(run(&w), "%s", w.e.msg);
    write_file(&w, "0021_c.sql", "-- a comment\n-- migrate:up\nCREATE TABLE c (n int);\n");
    cr_assert(run(&w), "%s", w.e.msg);
    cr_assert_eq(w.applied, 1);
    cr_assert(has_table(&w, "c"));
    world_done(&w);
}

Test(migrate, a_file_that_fails_leaves_nothing_and_the_ones_before_it_stay)
{
    struct world w = world_new();

    write_file(&w, "0020_b.sql", "-- migrate:up\nCREATE TABLE b (n int);\nSELECT 1 / 0;\n");
    expect_refusal(&w, "0020_b.sql: division by zero");
    cr_assert(has_table(&w, "a"));
    cr_assert_not(has_table(&w, "b"));
    cr_assert_eq(pg_i64(w.config.conninfo, "SELECT count(*) FROM schema_migrations"), 1);
    world_done(&w);
}

Test(migrate, refuses_a_file_that_changed_after_it_was_applied)
{
    struct world w = world_new();

    cr_assert(run(&w), "%s", w.e.msg);
    write_file(&w, "0010_a.sql", "-- migrate:up\nCREATE TABLE a (n bigint);\n");
    write_file(&w, "0030_c.sql", "-- migrate:up\nCREATE TABLE c (n int);\n");
    expect_refusal(&w, "0010_a.sql has changed");
    cr_assert_not(has_table(&w, "c"));
    world_done(&w);
}

Test(migrate, refuses_when_an_applied_file_is_gone)
{
    struct world w = world_new();

    cr_assert(run(&w), "%s", w.e.msg);
    remove_file(&w, "0010_a.sql");
    expect_refusal(&w, "0010 was applied, but its file is missing");
    world_done(&w);
}

Test(migrate, refuses_a_database_that_is_newer_than_the_files)
{
    struct world w = world_new();

    cr_assert(run(&w), "%s", w.e.msg);
    remove_file(&w, "0020_b.sql");
    expect_refusal(&w, "0020 was applied, but its file is missing");
    world_done(&w);
}

Test(migrate, refuses_a_new_file_before_an_applied_one)
{
    struct world w = world_new();

    cr_assert(run(&w), "%s", w.e.msg);
    write_file(&w, "0015_c.sql", "-- migrate:up\nCREATE TABLE c (n int);\n");
    expect_refusal(&w, "0015_c.sql is new, but comes before 0020");
    cr_assert_not(has_table(&w, "c"));
    world_done(&w);
}

struct bad_file {
    const char *name;
    const char *text;
    const char *why;
};

Test(migrate, refuses_files_it_does_not_understand_before_touching_anything)
{
    static const struct bad_file files[] = {
        {"30_c.sql", "-- migrate:up\n", "is not named NNNN_what.sql"},
        {"0030_c.sql", "CREATE TABLE c (n int);\n", "has no line \"-- migrate:up\""},
        {"0030_c.sql", "-- migrate:up transaction:false\n", "has no line \"-- migrate:up\""},
        {"0030_c.sql", "-- migrate:up\n-- migrate:down\nDROP TABLE c;\n", "forward only"},
        {"0030_c.sql", "", "empty"},
        {"0020_c.sql", "-- migrate:up\n", "have one version"},
    };
    struct world w = world_new();

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        write_file(&w, files[i].name, files[i].text);
        expect_refusal(&w, files[i].why);
        remove_file(&w, files[i].name);
    }
    cr_assert_not(has_table(&w, "a"));
    world_done(&w);
}

Test(migrate, refuses_a_folder_that_is_missing_or_empty)
{
    struct world w = world_new();

    w.config.folder = "/nonexistent";
    expect_refusal(&w, "/nonexistent: No such file");
    remove_file(&w, "0010_a.sql");
    remove_file(&w, "0020_b.sql");
    w.config.folder = w.folder;
    expect_refusal(&w, "has no migrations");
    world_done(&w);
}

static void *run_thread(void *arg)
{
    return run(arg) ? arg : NULL;
}

Test(migrate, four_at_once_apply_each_file_once)
{
    struct world w = world_new();
    struct world rivals[4] = {w, w, w, w};
    pthread_t threads[4];
    int64_t applied = 0;

    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_thread, &rivals[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        void *ok = NULL;
        pthread_join(threads[i], &ok);
        cr_assert_not_null(ok, "%s", rivals[i].e.msg);
        applied += rivals[i].applied;
    }
    cr_assert_eq(applied, 2);
    world_done(&w);
}

Test(migrate, gives_up_waiting_for_a_database_that_is_not_there)
{
    struct world w = world_new();
    char conninfo[100];

    snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%lld", (long long)port_free());
    w.config.conninfo = conninfo;
    w.config.wait_ms = 200;
    cr_assert_not(run(&w));
    cr_assert_eq(w.e.kind, ERR_UNAVAILABLE, "%s", w.e.msg);
    world_done(&w);
}

Test(migrate, everything_of_ours_has_a_comment)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_free char *bare = pg_text(
        pg_conninfo_of(d),
        "SELECT coalesce(string_agg(what, ', '), '') FROM ("
        " SELECT n.nspname AS what FROM pg_namespace n"
        "  WHERE n.nspname !~ '^(pg_|information_schema|public)'"
        "    AND obj_description(n.oid, 'pg_namespace') IS NULL"
        " UNION ALL SELECT c.oid::regclass::text FROM pg_class c"
        "  WHERE c.relkind IN ('r', 'p', 'v') AND c.relnamespace::regnamespace::text"
        "        !~ '^(pg_|information_schema)'"
        "    AND obj_description(c.oid, 'pg_class') IS NULL"
        " UNION ALL SELECT c.oid::regclass || '.' || a.attname FROM pg_class c"
        "   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        "  WHERE c.relkind IN ('r', 'p') AND c.relnamespace::regnamespace::text"
        "        !~ '^(pg_|information_schema)'"
        "    AND col_description(c.oid, a.attnum) IS NULL"
        " UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p"
        "  WHERE p.pronamespace::regnamespace::text !~ '^(pg_|information_schema)'"
        "    AND obj_description(p.oid, 'pg_proc') IS NULL) AS bare");

    cr_assert_str_empty(bare, "no COMMENT ON %s", bare);
}
