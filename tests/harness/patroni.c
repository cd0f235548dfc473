#include "tests/harness/patroni.h"

#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/io/httpc.h"
#include "tests/harness/pg.h"
#include "tests/harness/postmaster.h"
#include "tests/harness/proc.h"

#define PATRONI_USER "postgres" /* PostgreSQL refuses to run as root */
#define MEMBERS 2
#define PATH_SIZE 256
#define START_MS 120000
#define DETACH_MS 60000
#define REPLY_MAX 65536
#define ASK_MS 1000

struct member {
    char name; /* "a", "b" */
    int64_t port, api_port;
    char data[PATH_SIZE], config[PATH_SIZE], log[PATH_SIZE];
    struct proc *patroni; /* NULL: killed */
};

struct patroni {
    char *folder;
    char etcd_log[PATH_SIZE];
    int64_t etcd_port, etcd_peer_port;
    struct proc *etcd;
    struct member members[MEMBERS];
    char conninfo[160];
};

_Noreturn static void fail_with_logs(const struct patroni *p, const char *what)
{
    auto_free char *etcd = file_tail(p->etcd_log);
    auto_free char *a = file_tail(p->members[0].log);
    auto_free char *b = file_tail(p->members[1].log);

    harness_fail("Patroni in %s: %s; the ends of its logs:\n-- etcd\n%s\n-- a\n%s\n-- b\n%s",
                 p->folder, what, etcd ? etcd : "", a ? a : "", b ? b : "");
}

static void give_to_user(const char *path)
{
    if (getuid() != 0)
        return;
    const struct passwd *user = getpwnam(PATRONI_USER);
    if (!user || chown(path, user->pw_uid, user->pw_gid) != 0)
        harness_fail("%s cannot be given to the user " PATRONI_USER, path);
}

/* ---- etcd: one, without a disk that it waits for */

static void start_etcd(struct patroni *p)
{
    char data[PATH_SIZE], client[64], peer[64], cluster[80];
    const char *const argv[] = {"etcd",
                                "--name=etcd",
                                "--unsafe-no-fsync",
                                "--log-level=warn",
                                "--data-dir",
                                data,
                                "--listen-client-urls",
                                client,
                                "--advertise-client-urls",
                                client,
                                "--listen-peer-urls",
                                peer,
                                "--initial-advertise-peer-urls",
                                peer,
                                "--initial-cluster",
                                cluster,
                                NULL};

    p->etcd_port = port_free();
    p->etcd_peer_port = port_free();
    (void)snprintf(p->etcd_log, sizeof(p->etcd_log), "%s/etcd.log", p->folder);
    (void)snprintf(data, sizeof(data), "%s/etcd", p->folder);
    (void)snprintf(client, sizeof(client), "http://127.0.0.1:%" PRId64, p->etcd_port);
    (void)snprintf(peer, sizeof(peer), "http://127.0.0.1:%" PRId64, p->etcd_peer_port);
    (void)snprintf(cluster, sizeof(cluster), "etcd=%s", peer);
    p->etcd =
        proc_start(&(struct proc_options){.argv = argv, .log = p->etcd_log, .user = PATRONI_USER});
}

/* ---- members */

/*
 * ttl is the lease of the primary, and must have room for loop_wait and two
 * tries of retry_timeout.  A primary that was killed may have written what the
 * standby never got: pg_rewind takes that back.
 */
static const char config_format[] =
    "scope: volumecap\n"
    "name: %c\n"
    "restapi: {listen: '127.0.0.1:%" PRId64 "', connect_address: '127.0.0.1:%" PRId64 "'}\n"
    "etcd3: {host: '127.0.0.1:%" PRId64 "'}\n"
    "watchdog: {mode: 'off'}\n"
    "bootstrap:\n"
    "  dcs:\n"
    "    ttl: 5\n"
    "    loop_wait: 1\n"
    "    retry_timeout: 2\n"
    "    synchronous_mode: true\n"
    "    postgresql:\n"
    "      use_pg_rewind: true\n"
    "      parameters: {max_connections: 200, shared_buffers: 64MB}\n"
    "  initdb: [{encoding: UTF8}, {locale: C.UTF-8}, {auth: trust}, {username: volumecap},\n"
    "           data-checksums, no-sync]\n"
    "postgresql:\n"
    "  listen: '127.0.0.1:%" PRId64 "'\n"
    "  connect_address: '127.0.0.1:%" PRId64 "'\n"
    "  data_dir: %s\n"
    "  bin_dir: " PG_BIN "\n"
    "  pgpass: %s.pgpass\n"
    "  authentication:\n"
    "    superuser: {username: volumecap}\n"
    "    replication: {username: volumecap}\n"
    "    rewind: {username: volumecap}\n"
    "  parameters: {unix_socket_directories: '%s', fsync: 'off',\n"
    "               client_connection_check_interval: 1s}\n"
    "  pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust',\n"
    "           'local all all trust']\n";

static void write_config(const struct patroni *p, const struct member *m)
{
    FILE *f = fopen(m->config, "we");

    if (!f)
        harness_fail("cannot write %s", m->config);
    (void)fprintf(f, config_format, m->name, m->api_port, m->api_port, p->etcd_port, m->port,
                  m->port, m->data, m->data, p->folder);
    (void)fclose(f);
}

/* If we are killed, it takes its PostgreSQL down, which is not its child. */
static void launch(struct member *m)
{
    const char *const argv[] = {"patroni", m->config, NULL};

    m->patroni = proc_start(&(struct proc_options){
        .argv = argv, .log = m->log, .user = PATRONI_USER, .death_signal = SIGTERM});
}

static void start_member(struct patroni *p, int i)
{
    struct member *m = &p->members[i];

    m->name = (char)('a' + i);
    m->port = port_free();
    m->api_port = port_free();
    (void)snprintf(m->data, sizeof(m->data), "%s/data-%c", p->folder, m->name);
    (void)snprintf(m->config, sizeof(m->config), "%s/%c.yml", p->folder, m->name);
    (void)snprintf(m->log, sizeof(m->log), "%s/%c.log", p->folder, m->name);
    write_config(p, m);
    launch(m);
}

/* ---- conditions */

static bool takes_writes(const struct member *m)
{
    char conninfo[160];

    (void)snprintf(conninfo, sizeof(conninfo),
                   "host=127.0.0.1 port=%" PRId64 " user=volumecap dbname=postgres", m->port);
    return pg_takes_writes(conninfo);
}

static struct member *primary_of(struct patroni *p)
{
    for (int i = 0; i < MEMBERS; i++)
        if (takes_writes(&p->members[i]))
            return &p->members[i];
    return NULL;
}

static bool has_primary(void *arg)
{
    return primary_of(arg) != NULL;
}

/* Only what Patroni itself knows to be synchronous may be promoted. */
static bool has_standby(void *arg)
{
    const struct patroni *p = arg;
    auto_httpc struct httpc *http = NULL;
    struct httpc_reply reply = {0};
    char url[80];
    struct err e = {0};

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%" PRId64 "/cluster",
                   p->members[0].api_port);
    const struct httpc_request req = {.method = "GET", .url = url, .timeout_ms = ASK_MS};
    bool ok = httpc_new(REPLY_MAX, &http, &e) && httpc_call(http, &req, &reply, &e) &&
              strstr(buf_text(&reply.body), "\"sync_standby\"") != NULL;
    buf_done(&reply.body);
    return ok;
}

void patroni_await_primary(struct patroni *p)
{
    if (!harness_await(has_primary, p, START_MS))
        fail_with_logs(p, "no member becomes primary");
}

static void await_standby(struct patroni *p)
{
    if (!harness_await(has_standby, p, START_MS))
        fail_with_logs(p, "no member becomes a synchronous standby");
}

/* ---- life */

static void make_database(const struct patroni *p)
{
    char conninfo[256];

    (void)snprintf(conninfo, sizeof(conninfo), "%s dbname=postgres target_session_attrs=read-write",
                   p->conninfo);
    pg_exec(conninfo, "CREATE DATABASE volumecap");
}

struct patroni *patroni_start(void)
{
    struct patroni *p = calloc(1, sizeof(*p));

    CHECK(p != NULL);
    httpc_global_init();
    p->folder = folder_scratch();
    give_to_user(p->folder);
    start_etcd(p);
    for (int i = 0; i < MEMBERS; i++)
        start_member(p, i);
    (void)snprintf(p->conninfo, sizeof(p->conninfo),
                   "host=127.0.0.1,127.0.0.1 port=%" PRId64 ",%" PRId64
                   " user=volumecap dbname=volumecap",
                   p->members[0].port, p->members[1].port);
    patroni_await_primary(p);
    await_standby(p);
    make_database(p);
    return p;
}

const char *patroni_conninfo(const struct patroni *p)
{
    return p->conninfo;
}

/* Patroni first, which would start its PostgreSQL again. */
static void kill_member(struct patroni *p, struct member *m)
{
    int segment = postmaster_segment(m->data);

    m->patroni = proc_free(m->patroni);
    pid_t postmaster = postmaster_pid(m->data);
    if (postmaster > 0)
        pid_signal_tree(postmaster, SIGKILL);
    if (!harness_await(postmaster_is_detached, &segment, DETACH_MS))
        fail_with_logs(p, "a killed member leaves backends behind");
}

bool patroni_has_primary(struct patroni *p)
{
    return primary_of(p) != NULL;
}

void patroni_kill_primary(struct patroni *p)
{
    await_standby(p);
    struct member *m = primary_of(p);

    if (!m)
        fail_with_logs(p, "there is no primary to kill");
    kill_member(p, m);
}

void patroni_revive(struct patroni *p)
{
    for (int i = 0; i < MEMBERS; i++)
        if (!p->members[i].patroni)
            launch(&p->members[i]);
    await_standby(p);
}

static void stop_member(struct member *m)
{
    m->patroni = proc_free(m->patroni);
    pid_stop(postmaster_pid(m->data), "postgres", SIGQUIT);
    postmaster_remove_segment(m->data);
}

struct patroni *patroni_free(struct patroni *p)
{
    if (!p)
        return NULL;
    for (int i = 0; i < MEMBERS; i++)
        stop_member(&p->members[i]);
    p->etcd = proc_free(p->etcd);
    folder_remove(p->folder);
    free(p->folder);
    free(p);
    return NULL;
}
