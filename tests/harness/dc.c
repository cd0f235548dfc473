#include "tests/harness/dc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/harness/dc_internal.h"

void dc_path(const struct dc *dc, const char *name, const char *suffix, char ret[DC_PATH_SIZE])
{
    CHECK(snprintf(ret, DC_PATH_SIZE, "%s/%s%s", dc->folder, name, suffix) < DC_PATH_SIZE);
}

static bool port_is_free(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
    bool is_free = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_free;
}

static int choose_port(const struct dc *dc, enum dc_kind kind, int i, bool documented)
{
    int port = dc_documented_port(dc, kind, i);

    return documented && port_is_free(port) ? port : (int)port_free();
}

struct dc_process *dc_add(struct dc *dc, enum dc_kind kind, int port)
{
    const struct dc_kind_row *row = &dc_kind_rows[kind];

    CHECK(dc->counts[kind] < DC_REPLICAS_MAX);
    struct dc_process *process = &dc->processes[dc->processes_count++];
    *process = (struct dc_process){.kind = kind, .number = dc->counts[kind]++, .port = port};
    if (kind == DC_COORDINATOR)
        snprintf(process->name, sizeof(process->name), "coordinator-%s-%d",
                 dc_kind_rows[process->number < DC_STANDBYS ? DC_INTERVAL : DC_REMOTE].name,
                 process->number % DC_STANDBYS + 1);
    else if (row->has_replicas || (dc->standby && dc_acts_once(kind)))
        snprintf(process->name, sizeof(process->name), "%s-%d", row->name, process->number + 1);
    else
        snprintf(process->name, sizeof(process->name), "%s", row->name);
    return process;
}

const struct dc_process *dc_find(const struct dc *dc, enum dc_kind kind, int i)
{
    for (int k = 0; k < dc->processes_count; k++)
        if (dc->processes[k].kind == kind && dc->processes[k].number == i)
            return &dc->processes[k];
    harness_fail("this data centre has no %s number %d", dc_service(kind), i);
}

static struct dc *dc_new(const char *folder)
{
    struct dc *dc = calloc(1, sizeof(*dc));

    CHECK(dc != NULL);
    dc->is_scratch = folder == NULL;
    dc->folder = folder ? strdup(folder) : folder_scratch();
    CHECK(dc->folder != NULL);
    return dc;
}

/* PostgreSQL, which refuses to run as root, runs as another user and keeps its data below. */
static void make_folder(const struct dc *dc)
{
    if (mkdir(dc->folder, 0755) != 0 && errno != EEXIST)
        harness_fail("cannot make %s: %s", dc->folder, strerror(errno));
}

static void start_cluster(struct dc *dc, bool fsync)
{
    char folder[DC_PATH_SIZE];

    dc_path(dc, "postgresql", "", folder);
    dc->pg =
        pg_start(&(struct pg_options){.folder = folder, .fsync = fsync, .outlives = dc->outlives});
}

/* Where it stands among several hosts is for the services to find out; here it is said. */
static void set_calendar(const struct dc *dc, const char *instant, int64_t speed)
{
    char conninfo[DC_PATH_SIZE];

    CHECK(snprintf(conninfo, sizeof(conninfo), "%s target_session_attrs=read-write", dc->conninfo) <
          (int)sizeof(conninfo));
    pg_exec(conninfo, "SELECT calendar.set(%s, %lld)", instant, (long long)speed);
}

static void start_database(struct dc *dc, const struct dc_options *o)
{
    char instant[64];

    if (!o->conninfo)
        start_cluster(dc, o->fsync);
    dc->conninfo = strdup(o->conninfo ? o->conninfo : pg_conninfo(dc->pg));
    CHECK(dc->conninfo != NULL);
    pg_migrate(dc->conninfo);
    (void)snprintf(instant, sizeof(instant), "'%s'", o->calendar ? o->calendar : "");
    if (o->calendar)
        set_calendar(dc, instant, max_i64(1, o->speed));
    else if (o->speed)
        set_calendar(dc, "now()", o->speed);
}

static void add_processes(struct dc *dc, const struct dc_options *o)
{
    int replicas = o->standby ? DC_STANDBYS : 1;
    const int wanted[DC_KINDS] = {
        [DC_LOCAL] = o->locals ? o->locals : 1,
        [DC_COORDINATOR] = o->standby ? DC_STANDBYS * (1 + o->remotes) : 0,
        [DC_INTERVAL] = replicas,
        [DC_META] = 1,
        [DC_REMOTE] = o->remotes * replicas,
        [DC_SERVER] = o->servers ? o->servers : 1,
    };

    for (enum dc_kind kind = 0; kind < DC_KINDS; kind++)
        for (int i = 0; i < wanted[kind]; i++)
            (void)dc_add(dc, kind, choose_port(dc, kind, i, o->documented_ports));
}

/*
 * Those that do not run.  Whatever signal ends us does so before or after:
 * what runs can be found in the state.
 */
static void spawn_missing(struct dc *dc)
{
    sigset_t all, before;

    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_BLOCK, &all, &before) == 0);
    for (int i = 0; i < dc->processes_count; i++)
        if (!dc_process_is_running(&dc->processes[i]))
            dc_spawn(dc, &dc->processes[i]);
    dc_state_save(dc);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

static void wait_all_ready(const struct dc *dc)
{
    for (int i = 0; i < dc->processes_count; i++)
        dc_wait_ready(dc, dc->processes[i].kind, dc->processes[i].number);
    if (dc->standby)
        dc_await_primaries(dc);
}

/* Processes are started again long after dc_start(). */
void dc_add_env(struct dc *dc, const char *setting)
{
    int i = 0;

    while (dc->env[i])
        i++;
    CHECK(i < DC_ENV_MAX);
    dc->env[i] = strdup(setting);
    CHECK(dc->env[i] != NULL);
}

struct dc *dc_start(const struct dc_options *o)
{
    struct dc *dc = dc_new(o->folder);

    dc->outlives = o->outlives;
    dc->number = o->number;
    dc->standby = o->standby;
    for (int i = 0; o->env && o->env[i]; i++)
        dc_add_env(dc, o->env[i]);
    make_folder(dc);
    dc_state_save(dc); /* from here on there is something to be found and stopped */
    start_database(dc, o);
    if (o->db_line)
        dc->db_line = line_start((int)pg_port(dc->pg));
    add_processes(dc, o);
    spawn_missing(dc);
    wait_all_ready(dc);
    dc->is_complete = true;
    dc_state_save(dc);
    return dc;
}

struct dc *dc_attach(const char *folder)
{
    struct dc *dc = dc_new(folder);

    dc->outlives = true;
    return dc_state_load(dc) ? dc : dc_forget(dc);
}

bool dc_is_complete(const struct dc *dc)
{
    return dc->is_complete;
}

static void heal_database(struct dc *dc)
{
    char folder[DC_PATH_SIZE];
    const char *port = strstr(dc->conninfo, "port=");

    dc_path(dc, "postgresql", "", folder);
    /* Without the folder the database is others'. */
    if (dc_postmaster(dc) != 0 || access(folder, F_OK) != 0)
        return;
    dc->pg = pg_free(dc->pg);
    dc->pg = pg_start(&(struct pg_options){
        .folder = folder, .port = port ? atoi(port + strlen("port=")) : 0, .outlives = true});
}

bool dc_database_is_running(const struct dc *dc)
{
    return dc_postmaster(dc) != 0;
}

void dc_crash_database(struct dc *dc)
{
    pid_stop(dc_postmaster(dc), "postgres", SIGQUIT);
}

void dc_heal(struct dc *dc)
{
    heal_database(dc);
    spawn_missing(dc);
    wait_all_ready(dc);
}

struct dc *dc_stop(struct dc *dc)
{
    if (!dc)
        return NULL;
    dc_find_restarted(dc);
    for (int i = dc->processes_count - 1; i >= 0; i--)
        (void)dc_process_stop(&dc->processes[i]);
    if (dc->pg)
        pg_stop(dc->pg);
    /* Somebody else may have started it, or started it again. */
    pid_stop(dc_postmaster(dc), "postgres", SIGINT);
    return dc_forget(dc);
}

struct dc *dc_forget(struct dc *dc)
{
    if (!dc)
        return NULL;
    for (int i = 0; i < dc->processes_count; i++)
        proc_free(dc->processes[i].proc);
    pg_free(dc->pg);
    (void)line_free(dc->db_line);
    if (dc->is_scratch)
        folder_remove(dc->folder);
    for (int i = 0; dc->env[i]; i++)
        free(dc->env[i]);
    free(dc->conninfo);
    free(dc->folder);
    free(dc);
    return NULL;
}

const char *dc_folder(const struct dc *dc)
{
    return dc->folder;
}

const char *dc_conninfo(const struct dc *dc)
{
    return dc->conninfo;
}

struct pg *dc_pg(const struct dc *dc)
{
    return dc->pg;
}

int dc_count(const struct dc *dc, enum dc_kind kind)
{
    return dc->counts[kind];
}

const char *dc_service(enum dc_kind kind)
{
    return dc_kind_rows[kind].service;
}

const char *dc_name(const struct dc *dc, enum dc_kind kind, int i)
{
    return dc_find(dc, kind, i)->name;
}

int dc_port(const struct dc *dc, enum dc_kind kind, int i)
{
    return dc_find(dc, kind, i)->port;
}

int dc_documented_port(const struct dc *dc, enum dc_kind kind, int i)
{
    return dc_kind_rows[kind].port + 100 * i + 1000 * dc->number;
}

pid_t dc_pid(const struct dc *dc, enum dc_kind kind, int i)
{
    return dc_find(dc, kind, i)->pid;
}

struct client *dc_client(const struct dc *dc, enum dc_kind kind, int i)
{
    return client_new(dc_service(kind), dc_port(dc, kind, i));
}
