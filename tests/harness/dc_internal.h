#pragma once

/* dc_internal: what the files of dc share. */

#include "tests/harness/dc.h"
#include "tests/harness/line.h"
#include "tests/harness/proc.h"

#define DC_PATH_SIZE 256
#define DC_ENV_MAX 32
#define DC_UPSTREAMS_MAX 2
#define DC_STANDBYS 2 /* replicas of what acts once, if there is a standby */
#define DC_PROCESSES_MAX (DC_REPLICAS_MAX + DC_REPLICAS_MAX + 4 * DC_STANDBYS + 1)

struct dc_process {
    enum dc_kind kind;
    int number;        /* among those of its kind, from 0 */
    char name[32];     /* "server-2" */
    struct proc *proc; /* NULL if attached */
    pid_t pid;         /* of the latest; 0: never started */
    int port;
    bool is_alone; /* while dc_launch_alone() starts it */
};

struct dc {
    char *folder;
    int number; /* among several, from 0 */
    bool is_scratch;
    bool outlives;
    bool is_complete; /* all of it was ready once */
    bool standby;
    struct line *db_line;      /* NULL: none */
    struct pg *pg;             /* NULL if attached */
    char *conninfo;            /* NULL until PostgreSQL runs */
    char *env[DC_ENV_MAX + 1]; /* the caller's settings, NULL-terminated */
    int counts[DC_KINDS];
    struct dc_process processes[DC_PROCESSES_MAX]; /* in the order of starting */
    int processes_count;
};

/* One row for each kind of service. */
struct dc_kind_row {
    const char *service;
    const char *prefix; /* of its settings */
    const char *name;   /* of a process; replicas have a number behind it, from 1 */
    int port;           /* as documented; replicas are 100 apart, data centres 1000 */
    bool has_replicas;
    bool has_database;
    struct {
        const char *setting; /* with the URL of a service that it calls, or NULL */
        enum dc_kind kind;
    } upstreams[DC_UPSTREAMS_MAX];
};
extern const struct dc_kind_row dc_kind_rows[DC_KINDS];

/* <folder>/<name><suffix> */
void dc_path(const struct dc *dc, const char *name, const char *suffix, char ret[DC_PATH_SIZE]);

/* Does only one replica of it act? */
bool dc_acts_once(enum dc_kind kind);

/* Somebody acts, of each kind that acts once. */
void dc_await_primaries(const struct dc *dc);

/* Adds a process, not started yet. */
struct dc_process *dc_add(struct dc *dc, enum dc_kind kind, int port);

const struct dc_process *dc_find(const struct dc *dc, enum dc_kind kind, int number);

/* Starts the process on its port, with its settings and its log. */
void dc_spawn(struct dc *dc, struct dc_process *process);

/* What dc_attach() needs, in <folder>/state. */
void dc_state_save(const struct dc *dc);
bool dc_state_load(struct dc *dc);

/* Whoever attaches may start processes again: those that run now are in the state. */
void dc_find_restarted(struct dc *dc);

bool dc_process_is_running(const struct dc_process *process);

/* SIGTERM, then SIGKILL; the wait status, 0 if it is not our child. */
int dc_process_stop(struct dc_process *process);

/* PostgreSQL's, as its pid file has it; 0 if it is not running. */
pid_t dc_postmaster(const struct dc *dc);
