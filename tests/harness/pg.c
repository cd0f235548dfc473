#include "tests/harness/pg.h"

#include <errno.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "tests/harness/postmaster.h"
#include "tests/harness/proc.h"

#define PG_USER "postgres" /* PostgreSQL refuses to run as root */
#define START_MS 120000
#define STOP_MS 60000
#define INITDB_MS 300000

/* What make_data() leaves, for all to copy.  If it changes: another last number. */
#define TEMPLATE VOLUMECAP_BIN "/../pg-template-" PG_MAJOR "-1"

struct pg {
    struct proc *server; /* NULL: stopped */
    char *folder;
    bool scratch;
    struct pg_options options;
    int64_t port;
    char data[4096];
    char log[4096];
    char conninfo[128];
};

static void give_to_user(const char *path)
{
    if (getuid() != 0)
        return;
    const struct passwd *user = getpwnam(PG_USER);
    if (!user || chown(path, user->pw_uid, user->pw_gid) != 0)
        harness_fail("%s cannot be given to the user " PG_USER, path);
}

_Noreturn static void fail_with_log(const struct pg *pg, const char *what)
{
    auto_free char *tail = file_tail(pg->log);

    harness_fail("PostgreSQL in %s: %s; the end of its log:\n%s", pg->folder, what,
                 tail ? tail : "");
}

static void run_or_fail(const struct pg *pg, struct proc_options o)
{
    int status = 0;

    o.log = pg->log;
    auto_proc struct proc *p = proc_start(&o);
    if (!proc_wait(p, INITDB_MS, &status) || status != 0)
        fail_with_log(pg, o.argv[0]);
}

static void run_initdb(const struct pg *pg)
{
    const char *const argv[] = {PG_BIN "/initdb",
                                "-D",
                                pg->data,
                                "-U",
                                "volumecap",
                                "-A",
                                "trust",
                                "--data-checksums",
                                "--locale=C.UTF-8",
                                "-E",
                                "UTF8",
                                "--no-sync",
                                NULL};

    /* SIGTERM: it waits for the process that it has started, and clears up. */
    run_or_fail(pg, (struct proc_options){.argv = argv, .user = PG_USER, .death_signal = SIGTERM});
}

/*
 * Ctrl-C waits for its end: a process whose files are removed while it works
 * on them leaves its shared memory behind.
 */
static void initdb(const struct pg *pg)
{
    sigset_t late, before;

    sigemptyset(&late);
    sigaddset(&late, SIGINT);
    sigaddset(&late, SIGTERM);
    sigaddset(&late, SIGHUP);
    if (pthread_sigmask(SIG_BLOCK, &late, &before) != 0)
        harness_fail("signals cannot be blocked");
    run_initdb(pg);
    if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
        harness_fail("signals cannot be let through");
}

static bool answers(void *arg)
{
    const struct pg *pg = arg;

    return !proc_is_running(pg->server) || PQping(pg->conninfo) == PQPING_OK;
}

static void launch(struct pg *pg)
{
    char port[32], sockets[4200];
    const char *const argv[] = {PG_BIN "/postgres",
                                "-D",
                                pg->data,
                                "-c",
                                port,
                                "-c",
                                sockets,
                                "-c",
                                "listen_addresses=127.0.0.1",
                                "-c",
                                "max_connections=200",
                                "-c",
                                "shared_buffers=64MB",
                                "-c",
                                pg->options.fsync ? "fsync=on" : "fsync=off",
                                "-c",
                                "log_line_prefix=%m [%p] %a ",
                                "-c",
                                "client_connection_check_interval=1s",
                                NULL};

    snprintf(port, sizeof(port), "port=%lld", (long long)pg->port);
    snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", pg->folder);
    /* SIGQUIT: the postmaster takes its backends with it, which SIGKILL would not let it do. */
    pg->server = proc_start(&(struct proc_options){.argv = argv,
                                                   .log = pg->log,
                                                   .user = PG_USER,
                                                   .outlives = pg->options.outlives,
                                                   .death_signal = SIGQUIT});
    if (!harness_await(answers, pg, START_MS) || !proc_is_running(pg->server))
        fail_with_log(pg, "does not start");
}

static void make_database(const struct pg *pg)
{
    char conninfo[160];

    snprintf(conninfo, sizeof(conninfo), "%s dbname=postgres", pg->conninfo);
    pg_exec(conninfo, "CREATE DATABASE volumecap");
}

/* As we are: neither folder need be open to PG_USER, and what is its own stays so. */
static void copy_data(const struct pg *pg, const char *from, const char *to)
{
    const char *const argv[] = {"cp", "-a", from, to, NULL};

    run_or_fail(pg, (struct proc_options){.argv = argv});
}

/* Somebody else may have been quicker. */
static void publish_template(const struct pg *pg)
{
    char mine[4200];

    (void)snprintf(mine, sizeof(mine), "%s.%d", TEMPLATE, (int)getpid());
    copy_data(pg, pg->data, mine);
    if (rename(mine, TEMPLATE) != 0)
        folder_remove(mine);
}

static void make_data(struct pg *pg)
{
    initdb(pg);
    launch(pg);
    make_database(pg);
    pg_stop(pg);
}

/*
 * initdb is most of what a cluster costs, and the tests start a hundred.  One
 * that outlives us is made anew: no two that are kept have the same identifier.
 */
static void get_data(struct pg *pg)
{
    const bool is_for_us = !pg->options.outlives;

    if (is_for_us && access(TEMPLATE "/PG_VERSION", R_OK) == 0) {
        copy_data(pg, TEMPLATE, pg->data);
        return;
    }
    make_data(pg);
    if (is_for_us)
        publish_template(pg);
}

static void set_paths(struct pg *pg)
{
    if (pg->options.folder) {
        pg->folder = strdup(pg->options.folder);
        if (mkdir(pg->folder, 0755) != 0 && errno != EEXIST)
            harness_fail("%s: %s", pg->folder, strerror(errno));
    } else {
        pg->folder = folder_scratch();
        pg->scratch = true;
    }
    snprintf(pg->data, sizeof(pg->data), "%s/data", pg->folder);
    snprintf(pg->log, sizeof(pg->log), "%s/postgresql.log", pg->folder);
    give_to_user(pg->folder);
}

struct pg *pg_start(const struct pg_options *o)
{
    struct pg *pg = calloc(1, sizeof(*pg));

    if (!pg)
        harness_fail("out of memory");
    pg->options = *o;
    set_paths(pg);
    pg->port = o->port ? o->port : port_free();
    snprintf(pg->conninfo, sizeof(pg->conninfo),
             "host=127.0.0.1 port=%lld user=volumecap dbname=volumecap", (long long)pg->port);
    if (access(pg->data, F_OK) != 0)
        get_data(pg);
    launch(pg);
    return pg;
}

const char *pg_conninfo(const struct pg *pg)
{
    return pg->conninfo;
}

int64_t pg_port(const struct pg *pg)
{
    return pg->port;
}

const char *pg_log(const struct pg *pg)
{
    return pg->log;
}

void pg_stop(struct pg *pg)
{
    if (!pg->server)
        return;
    /* "Fast": SIGTERM would wait until every client has gone by itself. */
    proc_signal(pg->server, SIGINT);
    if (!proc_wait(pg->server, STOP_MS, NULL))
        fail_with_log(pg, "does not stop");
    pg->server = proc_free(pg->server);
}

/* The next start on the same data is refused while a backend has not quite died yet. */
void pg_kill(struct pg *pg)
{
    int segment = postmaster_segment(pg->data);

    if (pg->server)
        proc_kill(pg->server);
    pg->server = proc_free(pg->server);
    if (!harness_await(postmaster_is_detached, &segment, STOP_MS))
        fail_with_log(pg, "leaves backends behind");
}

void pg_freeze(struct pg *pg)
{
    proc_signal_tree(pg->server, SIGSTOP);
}

void pg_thaw(struct pg *pg)
{
    proc_signal_tree(pg->server, SIGCONT);
}

void pg_restart(struct pg *pg)
{
    pg_stop(pg);
    launch(pg);
}

void pg_reap(struct pg *pg)
{
    if (pg->server)
        (void)proc_is_running(pg->server);
}

/* `mode`: NULL, or -R for a standby of the one that it is taken from. */
static void base_backup(const struct pg *from, const char *to, const char *mode)
{
    char port[16];
    const char *const argv[] = {PG_BIN "/pg_basebackup",
                                "-D",
                                to,
                                "-h",
                                "127.0.0.1",
                                "-p",
                                port,
                                "-U",
                                "volumecap",
                                "-X",
                                "stream",
                                "-c",
                                "fast",
                                "--no-sync",
                                mode,
                                NULL};

    (void)snprintf(port, sizeof(port), "%lld", (long long)from->port);
    run_or_fail(from, (struct proc_options){.argv = argv, .user = PG_USER});
}

static void backup_of(const struct pg *pg, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s/backup", pg->folder);
}

void pg_back_up(struct pg *pg)
{
    char backup[4200];

    backup_of(pg, backup, sizeof(backup));
    folder_remove(backup);
    base_backup(pg, backup, NULL);
}

/* The backup stays where it is: it may be needed again. */
void pg_go_back(struct pg *pg)
{
    char backup[4200];

    backup_of(pg, backup, sizeof(backup));
    pg_kill(pg);
    postmaster_remove_segment(pg->data);
    folder_remove(pg->data);
    copy_data(pg, backup, pg->data);
    launch(pg);
}

struct pg *pg_start_standby(struct pg *primary, bool is_synchronous)
{
    struct pg *pg = calloc(1, sizeof(*pg));

    if (!pg)
        harness_fail("out of memory");
    pg->options = (struct pg_options){.fsync = primary->options.fsync};
    set_paths(pg);
    pg->port = port_free();
    (void)snprintf(pg->conninfo, sizeof(pg->conninfo),
                   "host=127.0.0.1 port=%lld user=volumecap dbname=volumecap", (long long)pg->port);
    base_backup(primary, pg->data, "-R");
    launch(pg);
    pg_await_standby(primary, pg);
    if (is_synchronous) {
        pg_exec(primary->conninfo, "ALTER SYSTEM SET synchronous_standby_names = '*'");
        pg_exec(primary->conninfo, "ALTER SYSTEM SET synchronous_commit = 'remote_apply'");
        pg_exec(primary->conninfo, "SELECT pg_reload_conf()");
    }
    return pg;
}

struct standing {
    const char *conninfo, *lsn;
};

static bool has_replayed(void *arg)
{
    const struct standing *s = arg;

    return pg_i64(s->conninfo, "SELECT (pg_last_wal_replay_lsn() >= '%s')::int::bigint", s->lsn) ==
           1;
}

void pg_await_standby(struct pg *primary, const struct pg *standby)
{
    auto_free char *lsn = pg_text(primary->conninfo, "SELECT pg_current_wal_lsn()::text");
    struct standing standing = {.conninfo = standby->conninfo, .lsn = lsn};

    if (!harness_await(has_replayed, &standing, START_MS))
        fail_with_log(standby, "does not follow its primary");
}

static bool is_cut(void *arg)
{
    const struct pg *pg = arg;

    return pg_i64(pg->conninfo, "SELECT count(*) FROM pg_stat_wal_receiver") == 0;
}

void pg_cut_standby(struct pg *standby)
{
    pg_exec(standby->conninfo, "ALTER SYSTEM SET primary_conninfo = ''");
    pg_exec(standby->conninfo, "SELECT pg_reload_conf()");
    if (!harness_await(is_cut, standby, START_MS))
        fail_with_log(standby, "goes on following its primary");
}

void pg_fail_over(struct pg *primary, struct pg *standby)
{
    pg_kill(primary);
    postmaster_remove_segment(primary->data);
    pg_stop(standby);
    memcpy(primary->data, standby->data, sizeof(primary->data));
    launch(primary);
    pg_exec(primary->conninfo, "SELECT pg_promote()");
    /* Or it would wait for a standby of its own. */
    pg_exec(primary->conninfo, "ALTER SYSTEM RESET synchronous_standby_names");
    pg_exec(primary->conninfo, "SELECT pg_reload_conf()");
}

/* At once, without a checkpoint, but tidily. */
static void quit(struct pg *pg)
{
    if (pg->server)
        proc_signal(pg->server, SIGQUIT);
    if (pg->server && !proc_wait(pg->server, STOP_MS, NULL))
        pg_kill(pg);
    if (pg->scratch)
        postmaster_remove_segment(pg->data);
}

struct pg *pg_free(struct pg *pg)
{
    if (!pg)
        return NULL;
    if (!pg->options.outlives)
        quit(pg);
    pg->server = proc_free(pg->server);
    if (pg->scratch && !pg->options.outlives)
        folder_remove(pg->folder);
    free(pg->folder);
    free(pg);
    return NULL;
}
