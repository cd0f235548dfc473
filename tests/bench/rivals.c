#include "tests/bench/rivals.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"

#define START_MS 10000

/* ---- starting a program that listens */

static bool accepts(void *arg)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t) * (const int *)arg),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    bool is_up = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_up;
}

static struct proc *start(const char *const *argv, int port)
{
    struct proc *p = proc_start(&(struct proc_options){.argv = argv, .log = "/dev/null"});

    if (!harness_await(accepts, &port, START_MS))
        harness_fail("%s does not start", argv[0]);
    return p;
}

static void port_text(int port, char ret[12])
{
    snprintf(ret, 12, "%d", port);
}

/* ---- the ceiling */

static size_t ceiling_next(void *arg, int connection, char *out, size_t size)
{
    (void)arg, (void)connection;
    return load_http_request(out, size, "POST", "/consume", "{\"cap\":\"bench\"}");
}

static enum load_verdict http_answer(void *arg, int connection, const char *data, size_t len)
{
    (void)arg, (void)connection;
    return load_http_answer(data, len);
}

struct proc *ceiling_start(int threads, struct load_target *ret)
{
    char port[12], count[12];
    const char *const argv[] = {VOLUMECAP_BIN "/bench-ceiling", port, count, NULL};

    *ret =
        (struct load_target){.port = (int)port_free(), .next = ceiling_next, .answer = http_answer};
    port_text(ret->port, port);
    port_text(threads, count);
    struct proc *p = start(argv, ret->port);
    ret->pid = proc_pid(p);
    return p;
}

/* ---- Redis */

#define SCRIPT                                                                                     \
    "local n = tonumber(redis.call('GET', KEYS[1]) or '0') "                                       \
    "if n + ARGV[1] > tonumber(ARGV[2]) then return -1 end "                                       \
    "return redis.call('INCRBY', KEYS[1], ARGV[1])"

static char redis_sha[41];

static size_t redis_load(void *arg, int connection, char *out, size_t size)
{
    (void)arg, (void)connection;
    return (size_t)snprintf(out, size, "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%zu\r\n" SCRIPT "\r\n",
                            strlen(SCRIPT));
}

static enum load_verdict redis_loaded(void *arg, int connection, const char *data, size_t len)
{
    (void)arg, (void)connection;
    if (len < strlen("$40\r\n\r\n") + 40)
        return LOAD_PARTIAL;
    return sscanf(data, "$40\r\n%40s", redis_sha) == 1 ? LOAD_GOOD : LOAD_BAD;
}

static size_t redis_next(void *arg, int connection, char *out, size_t size)
{
    (void)arg, (void)connection;
    return (size_t)snprintf(out, size,
                            "*6\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n$1\r\n1\r\n$5\r\nbench\r\n"
                            "$1\r\n1\r\n$16\r\n9007199254740991\r\n",
                            redis_sha);
}

static enum load_verdict redis_answer(void *arg, int connection, const char *data, size_t len)
{
    (void)arg, (void)connection;
    if (len < 2 || data[len - 1] != '\n')
        return LOAD_PARTIAL;
    return data[0] == ':' && data[1] != '-' ? LOAD_GOOD : LOAD_BAD;
}

struct proc *redis_start(struct load_target *ret)
{
    char port[12];
    const char *const argv[] = {
        "redis-server", "--port", port,           "--bind", "127.0.0.1",   "--save", "",
        "--dir",        "/tmp",   "--appendonly", "no",     "--daemonize", "no",     NULL};

    if (access("/usr/bin/redis-server", X_OK) != 0)
        return NULL;
    *ret =
        (struct load_target){.port = (int)port_free(), .next = redis_load, .answer = redis_loaded};
    port_text(ret->port, port);
    struct proc *p = start(argv, ret->port);
    if (!load_all(ret, 1, 1))
        harness_fail("Redis does not take the script");
    ret->pid = proc_pid(p);
    ret->next = redis_next;
    ret->answer = redis_answer;
    return p;
}

/* ---- one transaction each */

#define PGBENCH_CLIENTS "16"
#define PGBENCH "/usr/lib/postgresql/15/bin/pgbench"

/* What a topup must do without gathering: lock the pool, move units to the slice, both durably. */
#define TRANSACTION                                                                                \
    "\\set pool random(1, %d)\n"                                                                   \
    "BEGIN;\n"                                                                                     \
    "SELECT granted FROM bench.pool WHERE id = :pool FOR UPDATE;\n"                                \
    "UPDATE bench.pool SET granted = granted + 10 WHERE id = :pool;\n"                             \
    "UPDATE bench.slice SET granted = granted + 10\n"                                              \
    " WHERE pool = :pool AND server = :client_id;\n"                                               \
    "COMMIT;\n"

void pgbench_prepare(const char *conninfo, int pools)
{
    pg_exec(conninfo,
            "DROP SCHEMA IF EXISTS bench CASCADE;"
            "CREATE SCHEMA bench;"
            "CREATE TABLE bench.pool (id int PRIMARY KEY, granted bigint NOT NULL)"
            "  WITH (fillfactor = 50);"
            "CREATE TABLE bench.slice (pool int, server int, granted bigint NOT NULL,"
            "  PRIMARY KEY (pool, server)) WITH (fillfactor = 50);"
            "INSERT INTO bench.pool SELECT i, 0 FROM generate_series(1, %d) i;"
            "INSERT INTO bench.slice SELECT i, s, 0 FROM generate_series(1, %d) i,"
            "  generate_series(0, " PGBENCH_CLIENTS " - 1) s;"
            "ANALYZE bench.pool, bench.slice",
            pools, pools);
}

static void write_transaction(const char *path, int pools)
{
    FILE *f = fopen(path, "w");

    CHECK(f != NULL);
    CHECK(fprintf(f, TRANSACTION, pools) > 0 && fclose(f) == 0);
}

static double read_rate(const char *path)
{
    auto_free char *text = file_tail(path);
    const char *at = text ? strstr(text, "tps = ") : NULL;

    if (!at)
        harness_fail("pgbench says no rate: %s", text ? text : "");
    return strtod(at + strlen("tps = "), NULL);
}

double pgbench_run(const char *conninfo, int pools, int64_t ms)
{
    auto_free char *folder = folder_scratch();
    char seconds[12], script[200], log[200], database[400];
    const char *const argv[] = {PGBENCH, "-n", "-M",    "prepared", "-c",   PGBENCH_CLIENTS, "-j",
                                "2",     "-T", seconds, "-f",       script, database,        NULL};
    int status = 0;

    port_text((int)((ms + 999) / 1000), seconds);
    snprintf(script, sizeof(script), "%s/topup.sql", folder);
    snprintf(log, sizeof(log), "%s/log", folder);
    snprintf(database, sizeof(database), "%s", conninfo);
    write_transaction(script, pools);
    auto_proc struct proc *p = proc_start(&(struct proc_options){.argv = argv, .log = log});
    if (!proc_wait(p, ms + START_MS, &status) || status != 0)
        harness_fail("pgbench failed: see %s", log);
    double rate = read_rate(log);
    folder_remove(folder);
    return rate;
}
