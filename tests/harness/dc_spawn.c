#include "tests/harness/dc_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

#define ENV_MAX 8
#define LINE_SIZE 512
#define URLS_SIZE 256
#define URLS_MAX 8 /* as many as a service takes */

/* clang-format off */
const struct dc_kind_row dc_kind_rows[DC_KINDS] = {
    [DC_LOCAL]    = {"local-svc",        "LOCAL",    "local",    8083, true,  true,  {{0}}},
    [DC_COORDINATOR] = {"coordinator",   "COORDINATOR", "coordinator", 8086, true, true, {{0}}},
    [DC_INTERVAL] = {"interval-svc",     "INTERVAL", "interval", 8082, false, true,
                     {{"INTERVAL_LOCAL_URL", DC_LOCAL}}},
    [DC_META]     = {"meta-svc",         "META",     "meta",     8081, false, true,
                     {{"META_INTERVAL_URL", DC_INTERVAL}}},
    [DC_REMOTE]   = {"remote-svc",       "REMOTE",   "remote",   8084, false, false,
                     {{"REMOTE_LOCAL_URL", DC_LOCAL}, {"REMOTE_META_URL", DC_META}}},
    [DC_SERVER]   = {"volumecap-server", "SERVER",   "server",   8085, true,  false,
                     {{"SERVER_LOCAL_URL", DC_LOCAL}}},
};
/* clang-format on */

/* Settings for one process. */
struct env {
    char lines[ENV_MAX][LINE_SIZE];
    const char *list[ENV_MAX + DC_ENV_MAX + 1]; /* NULL-terminated */
    int count;
};

static void set(struct env *env, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void set(struct env *env, const char *fmt, ...)
{
    va_list args;

    CHECK(env->count < ENV_MAX);
    va_start(args, fmt);
    CHECK(vsnprintf(env->lines[env->count], LINE_SIZE, fmt, args) < LINE_SIZE);
    va_end(args);
    env->list[env->count] = env->lines[env->count];
    env->count++;
}

bool dc_acts_once(enum dc_kind kind)
{
    return kind == DC_INTERVAL || kind == DC_REMOTE;
}

/* All replicas, each caller beginning with another. */
static void set_upstream(struct env *env, const struct dc *dc, const char *setting,
                         enum dc_kind kind, int from)
{
    char urls[URLS_SIZE] = "";
    int count = dc->counts[kind];

    for (int i = 0, len = 0; i < count && i < URLS_MAX; i++)
        len += snprintf(urls + len, sizeof(urls) - (size_t)len, "%shttp://127.0.0.1:%d",
                        i > 0 ? "," : "", dc_port(dc, kind, (from + i) % count));
    set(env, "%s=%s", setting, urls);
}

/* Of the two, the first is on the line. */
static void set_database(struct env *env, const struct dc *dc, const struct dc_process *process)
{
    const char *prefix = dc_kind_rows[process->kind].prefix;
    bool is_paired = process->kind == DC_COORDINATOR || dc_acts_once(process->kind);

    if (dc->db_line && is_paired && process->number % DC_STANDBYS == 0)
        set(env, "%s_DB=%s port=%d", prefix, dc->conninfo, line_port(dc->db_line));
    else
        set(env, "%s_DB=%s", prefix, dc->conninfo);
}

static void set_leadership(struct env *env, const struct dc *dc, const struct dc_process *process)
{
    const char *prefix = dc_kind_rows[process->kind].prefix;
    int coordinator = dc_coordinator_of(dc, process->kind, process->number);

    if (coordinator < 0 || process->is_alone)
        set(env, "%s_ALONE=1", prefix);
    else
        set(env, "%s_COORDINATOR_URL=http://127.0.0.1:%d", prefix,
            dc_port(dc, DC_COORDINATOR, coordinator));
}

/* Whom it is beside: those of one service come one after the other. */
static void set_role(struct env *env, const struct dc *dc, const struct dc_process *process)
{
    enum dc_kind kind = process->number < dc->counts[DC_INTERVAL] ? DC_INTERVAL : DC_REMOTE;

    set(env, "COORDINATOR_ROLE=%s", dc_service(kind));
    set(env, "COORDINATOR_NAME=%s", process->name);
}

static void fill(struct env *env, const struct dc *dc, const struct dc_process *process)
{
    const struct dc_kind_row *row = &dc_kind_rows[process->kind];
    char ledger[DC_PATH_SIZE];

    set(env, "%s_PORT=%d", row->prefix, process->port);
    if (row->has_database)
        set_database(env, dc, process);
    for (int i = 0; i < DC_UPSTREAMS_MAX && row->upstreams[i].setting; i++)
        set_upstream(env, dc, row->upstreams[i].setting, row->upstreams[i].kind, process->number);
    if (dc_acts_once(process->kind))
        set_leadership(env, dc, process);
    if (process->kind == DC_COORDINATOR)
        set_role(env, dc, process);
    if (process->kind == DC_SERVER) {
        dc_path(dc, process->name, ".ledger", ledger);
        set(env, "SERVER_NAME=%s", process->name);
        set(env, "SERVER_LEDGER=%s", ledger);
    }
    /* The caller's come last and win. */
    for (int i = 0; dc->env[i]; i++)
        env->list[env->count + i] = dc->env[i];
}

void dc_spawn(struct dc *dc, struct dc_process *process)
{
    struct env env = {0};
    char program[DC_PATH_SIZE], log[DC_PATH_SIZE];
    const char *const argv[] = {program, NULL};

    snprintf(program, sizeof(program), "%s/%s", VOLUMECAP_BIN, dc_service(process->kind));
    dc_path(dc, process->name, ".log", log);
    fill(&env, dc, process);
    proc_free(process->proc);
    process->proc = proc_start(&(struct proc_options){
        .argv = argv, .env = env.list, .log = log, .outlives = dc->outlives});
    process->pid = proc_pid(process->proc);
}
