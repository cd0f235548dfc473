#pragma once

/*
 * dc: one data centre of real processes on this machine: PostgreSQL, meta-svc,
 * interval-svc, local-svc (any number on one database) and volumecap-servers,
 * each on a port of its own, with logs and ledgers in one folder.  Several
 * that trade, each with a remote-svc and a broker besides, are started by dcs.h.
 *
 * Everything aborts with a message when it fails, as in proc.h.  Processes die
 * with the thread that called dc_start(), unless the data centre outlives it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cleanup.h"
#include "tests/harness/client.h"
#include "tests/harness/pg.h"

#define DC_REPLICAS_MAX 16

/* In the order in which they start; `migrate` has run before. */
enum dc_kind {
    DC_LOCAL,
    DC_COORDINATOR,
    DC_INTERVAL,
    DC_META,
    DC_REMOTE,
    DC_SERVER,
    DC_KINDS,
};

struct dc_options {
    const char *folder; /* made if missing, kept afterwards; NULL: scratch */
    int locals;         /* replicas of local-svc; 0: 1 */
    int servers;        /* 0: 1 */
    int remotes;        /* remote-svc; 0: none, it is the only data centre; at most 1 */
    bool standby;       /* two of what acts once, each with a coordinator beside it */
    /* The first of each two reach PostgreSQL over a line (line.h), which ends with us. */
    bool db_line;
    const char
        *conninfo; /* a database that others start and stop, empty; NULL: a cluster of its own */
    const char *calendar;   /* where calendar time starts, "2015-05-17T10:00:00Z"; NULL: now */
    int64_t speed;          /* calendar seconds in a real one; 0: 1 */
    const char *const *env; /* "LOCAL_SUSPECT_MS=500", for all services; NULL-terminated */
    bool fsync;             /* what is committed survives a power cut */
    bool documented_ports;  /* 8081 and so on where they are free, instead of any free ones */
    int number;             /* among several, from 0: documented ports are so many thousands on */
    bool outlives;          /* goes on when we end, to be found again with dc_attach() */
};

struct dc;

/* Starts everything and waits until all of it is ready. */
struct dc *dc_start(const struct dc_options *o);

/* The data centre that dc_start() has, or left, in `folder`; NULL if there is none. */
struct dc *dc_attach(const char *folder);

/* False if its dc_start() was broken off, or is still under way: it can only be stopped. */
bool dc_is_complete(const struct dc *dc);

/* Starts again, on the same ports, whatever is not running, and waits until all is ready. */
void dc_heal(struct dc *dc);

/*
 * Stops the services that run, in reverse order; how many of them did not exit
 * with 0 (a sanitizer found something, say), with the ends of their logs on stderr.
 */
int dc_stop_services(struct dc *dc);

/* Stops everything in reverse order, servers returning what they hold; removes a scratch folder. */
struct dc *dc_stop(struct dc *dc);
CLEANUP_DEFINE(dc, struct dc, dc_stop)
#define auto_dc CLEANUP(dc)

/* Forgets one that outlives us: it goes on. */
struct dc *dc_forget(struct dc *dc);

const char *dc_folder(const struct dc *dc);
const char *dc_conninfo(const struct dc *dc);
struct pg *dc_pg(const struct dc *dc); /* NULL if attached, or others' */
int dc_count(const struct dc *dc, enum dc_kind kind);
const char *dc_service(enum dc_kind kind);                          /* "local-svc" */
const char *dc_name(const struct dc *dc, enum dc_kind kind, int i); /* "server-2" */
int dc_port(const struct dc *dc, enum dc_kind kind, int i);
int dc_documented_port(const struct dc *dc, enum dc_kind kind, int i);
pid_t dc_pid(const struct dc *dc, enum dc_kind kind, int i);

/* A new client of that service; the caller frees it. */
struct client *dc_client(const struct dc *dc, enum dc_kind kind, int i);

/* Faults.  A server that is started again finds its ledger. */
void dc_kill(struct dc *dc, enum dc_kind kind, int i);   /* kill -9 */
void dc_freeze(struct dc *dc, enum dc_kind kind, int i); /* SIGSTOP */
void dc_thaw(struct dc *dc, enum dc_kind kind, int i);
int dc_terminate(struct dc *dc, enum dc_kind kind, int i); /* SIGTERM; the wait status */
void dc_launch(struct dc *dc, enum dc_kind kind, int i);   /* starts it, does not wait */
void dc_restart(struct dc *dc, enum dc_kind kind, int i);  /* starts it, waits until ready */

/* Its own PostgreSQL is there, as its pid file says. */
bool dc_database_is_running(const struct dc *dc);

/* "LOCAL_PEERS=dc2", copied, for services that are started from now on. */
void dc_add_env(struct dc *dc, const char *setting);

/* PostgreSQL ends at once, without a checkpoint; dc_heal() starts it again. */
void dc_crash_database(struct dc *dc);

/* Notices which of our children have been ended by somebody else: they are zombies until then. */
void dc_reap(struct dc *dc);

/*
 * Starts a replica that believes to be the only one, whatever others do: two
 * primaries, which no coordinator would allow.
 */
void dc_launch_alone(struct dc *dc, enum dc_kind kind, int i);

/* With `db_line`: the first replicas and their coordinators are cut off from the database. */
void dc_db_cut(struct dc *dc);
void dc_db_mend(struct dc *dc);

/* The number of the coordinator beside that replica; -1: it is alone. */
int dc_coordinator_of(const struct dc *dc, enum dc_kind kind, int i);

/* Which replica of what acts once is primary, by its coordinator's word; -1: none, it seems. */
int dc_primary(const struct dc *dc, enum dc_kind kind);

/* Does that replica do what only one may do, by its own word?  Both are false if it has none. */
bool dc_is_acting(const struct dc *dc, enum dc_kind kind, int i);
bool dc_is_resting(const struct dc *dc, enum dc_kind kind, int i);

/* Hands over until that replica is primary, and the other stands by. */
void dc_make_primary(const struct dc *dc, enum dc_kind kind, int i);

/* A standby is ready, too. */
bool dc_is_running(const struct dc *dc, enum dc_kind kind, int i);
bool dc_is_ready(const struct dc *dc, enum dc_kind kind, int i);   /* says /readyz */
void dc_wait_ready(const struct dc *dc, enum dc_kind kind, int i); /* with a limit */
