#include "tests/harness/rabbit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/proc.h"

#ifndef RABBIT_BIN
#define RABBIT_BIN "/usr/lib/rabbitmq/bin"
#endif

#define RABBIT_USER "rabbitmq" /* nothing of it is to run as root */
#define START_MS 300000
#define STOP_MS 60000
#define CTL_MS 120000
#define CTL_TRIES 3 /* rabbitmqctl is a node that joins the broker, and fails now and then */
#define ENV_COUNT 13
#define ENV_SIZE 256
#define ARGS_MAX 10

/* Its Erlang machine: what listens, and what its pid file names. */
#define RABBIT_PROGRAM "beam.smp"

struct rabbit {
    char *folder;
    bool is_scratch;
    bool outlives;
    pid_t dies_with;
    int64_t port, dist_port, epmd_port, tls_port; /* tls_port 0: none */
    char url[64], tls_url[64];
    char ca[ENV_SIZE], other_ca[ENV_SIZE];
    char output[ENV_SIZE];
    char settings[ENV_COUNT][ENV_SIZE];
    const char *env[ENV_COUNT + 1];
    struct proc *epmd, *server; /* NULL: stopped, or not our child */
};

static void give_to_user(const char *path)
{
    if (getuid() != 0)
        return;
    const struct passwd *user = getpwnam(RABBIT_USER);
    if (!user || chown(path, user->pw_uid, user->pw_gid) != 0)
        harness_fail("%s cannot be given to the user " RABBIT_USER, path);
}

static void write_file(const struct rabbit *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void write_file(const struct rabbit *r, const char *name, const char *fmt, ...)
{
    char path[ENV_SIZE];
    va_list args;

    (void)snprintf(path, sizeof(path), "%s/%s", r->folder, name);
    FILE *f = fopen(path, "we");
    if (!f)
        harness_fail("cannot write %s", path);
    va_start(args, fmt);
    (void)vfprintf(f, fmt, args);
    va_end(args);
    (void)fclose(f);
}

/* The machine's own memory and disk are none of the tests' business. */
static void write_config(const struct rabbit *r)
{
    char tls[4 * ENV_SIZE + 128] = "";

    if (r->tls_port > 0)
        (void)snprintf(tls, sizeof(tls),
                       "listeners.ssl.1 = 127.0.0.1:%lld\n"
                       "ssl_options.cacertfile = %s/ca.pem\n"
                       "ssl_options.certfile = %s/cert.pem\n"
                       "ssl_options.keyfile = %s/key.pem\n",
                       (long long)r->tls_port, r->folder, r->folder, r->folder);
    write_file(r, "rabbitmq.conf",
               "listeners.tcp.1 = 127.0.0.1:%lld\n"
               "loopback_users = none\n"
               "vm_memory_high_watermark.absolute = 8GB\n"
               "disk_free_limit.absolute = 10MB\n"
               "%s",
               (long long)r->port, tls);
    write_file(r, "enabled_plugins", "[].\n");
}

static void set_env(struct rabbit *r)
{
    const char *d = r->folder;
    int i = 0;

#define SET(...) (void)snprintf(r->settings[i++], ENV_SIZE, __VA_ARGS__)
    SET("HOME=%s", d); /* the cookie */
    SET("RABBITMQ_NODENAME=r%lld@localhost", (long long)r->port);
    SET("RABBITMQ_NODE_IP_ADDRESS=127.0.0.1");
    SET("RABBITMQ_NODE_PORT=%lld", (long long)r->port);
    SET("RABBITMQ_DIST_PORT=%lld", (long long)r->dist_port);
    SET("RABBITMQ_MNESIA_BASE=%s/mnesia", d);
    SET("RABBITMQ_LOG_BASE=%s/log", d);
    SET("RABBITMQ_PID_FILE=%s/pid", d);
    SET("RABBITMQ_ENABLED_PLUGINS_FILE=%s/enabled_plugins", d);
    SET("RABBITMQ_CONFIG_FILE=%s/rabbitmq", d);
    SET("ERL_EPMD_PORT=%lld", (long long)r->epmd_port);
    SET("ERL_EPMD_ADDRESS=127.0.0.1");
    SET("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1"); /* many share this machine */
#undef SET
    for (i = 0; i < ENV_COUNT; i++)
        r->env[i] = r->settings[i];
}

/* Else the broker would start one that outlives it, and everybody. */
static void start_epmd(struct rabbit *r)
{
    const char *const argv[] = {"epmd", NULL};

    r->epmd = proc_start(&(struct proc_options){.argv = argv,
                                                .env = r->env,
                                                .log = r->output,
                                                .user = RABBIT_USER,
                                                .outlives = r->outlives,
                                                .dies_with = r->dies_with});
    write_file(r, "epmd.pid", "%d\n", (int)proc_pid(r->epmd));
}

/* As far as we can tell: nobody but who started it knows while it has no pid file yet. */
static bool has_ended(const struct rabbit *r)
{
    return r->server && !proc_is_running(r->server);
}

static bool takes_connections(void *arg)
{
    struct rabbit *r = arg;
    const struct sockaddr_in a = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)r->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    char answer = '\0';

    if (has_ended(r))
        return true;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* A header of no known protocol: who is ready answers with its own. */
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 &&
              send(fd, "AMQP\0\0\0\0", 8, MSG_NOSIGNAL) == 8 && recv(fd, &answer, 1, 0) == 1;
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

static void launch(struct rabbit *r)
{
    const char *const argv[] = {RABBIT_BIN "/rabbitmq-server", NULL};

    r->server = proc_start(&(struct proc_options){.argv = argv,
                                                  .env = r->env,
                                                  .log = r->output,
                                                  .user = RABBIT_USER,
                                                  .outlives = r->outlives,
                                                  .dies_with = r->dies_with,
                                                  .death_signal = SIGTERM});
}

void rabbit_await(struct rabbit *r)
{
    if (harness_await(takes_connections, r, START_MS) && !has_ended(r))
        return;
    auto_free char *tail = file_tail(r->output);
    harness_fail("RabbitMQ in %s does not start:\n%s", r->folder, tail ? tail : "");
}

static void make_folder(struct rabbit *r, const char *folder)
{
    r->is_scratch = folder == NULL;
    r->folder = folder ? strdup(folder) : folder_scratch();
    if (!r->folder || (folder && mkdir(folder, 0755) != 0 && errno != EEXIST))
        harness_fail("cannot make %s", folder);
    give_to_user(r->folder);
}

/* A broker that is started again on its folder is to be found where it was. */
static bool load_ports(struct rabbit *r)
{
    char path[ENV_SIZE];
    long long port = 0, dist = 0, epmd = 0;

    (void)snprintf(path, sizeof(path), "%s/ports", r->folder);
    FILE *f = fopen(path, "re");
    bool found = f && fscanf(f, "%lld %lld %lld", &port, &dist, &epmd) == 3;
    if (f)
        (void)fclose(f);
    r->port = port;
    r->dist_port = dist;
    r->epmd_port = epmd;
    return found;
}

static void choose_ports(struct rabbit *r)
{
    r->port = port_free();
    r->dist_port = port_free();
    r->epmd_port = port_free();
    write_file(r, "ports", "%lld %lld %lld\n", (long long)r->port, (long long)r->dist_port,
               (long long)r->epmd_port);
}

void rabbit_reserve(const char *folder)
{
    struct rabbit r = {0};

    make_folder(&r, folder);
    choose_ports(&r);
    free(r.folder);
}

static void set_paths(struct rabbit *r)
{
    (void)snprintf(r->output, sizeof(r->output), "%s/output", r->folder);
    /* Not localhost: that may be the host's IPv6. */
    (void)snprintf(r->url, sizeof(r->url), "amqp://guest:guest@127.0.0.1:%lld/%%2f",
                   (long long)r->port);
    set_env(r);
}

/* Two authorities, and a certificate of the first. */
static void make_certificates(struct rabbit *r, const char *name)
{
    static const char script[] =
        "set -e; cd \"$1\"; new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'\n"
        "for ca in ca other; do $new -x509 -days 2 -subj /CN=$ca -keyout $ca.key -out $ca.pem; "
        "done\n"
        "$new -subj /CN=broker -keyout key.pem -out request.pem\n"
        "echo \"subjectAltName=DNS:$2\" > names\n"
        "openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile names -out cert.pem\n";
    const char *const argv[] = {"sh", "-c", script, "sh", r->folder, name, NULL};
    int status = 0;

    r->tls_port = port_free();
    auto_proc struct proc *p =
        proc_start(&(struct proc_options){.argv = argv, .log = r->output, .user = RABBIT_USER});
    if (!proc_wait(p, START_MS, &status) || status != 0)
        harness_fail("openssl cannot make certificates; see %s", r->output);
    (void)snprintf(r->ca, sizeof(r->ca), "%s/ca.pem", r->folder);
    (void)snprintf(r->other_ca, sizeof(r->other_ca), "%s/other.pem", r->folder);
    (void)snprintf(r->tls_url, sizeof(r->tls_url), "amqps://guest:guest@localhost:%lld/%%2f",
                   (long long)r->tls_port);
}

struct rabbit *rabbit_launch(const struct rabbit_options *o)
{
    struct rabbit *r = calloc(1, sizeof(*r));

    if (!r)
        harness_fail("out of memory");
    r->outlives = o->outlives;
    r->dies_with = o->dies_with;
    make_folder(r, o->folder);
    if (!load_ports(r))
        choose_ports(r);
    set_paths(r);
    if (o->tls_name)
        make_certificates(r, o->tls_name);
    write_config(r);
    start_epmd(r);
    launch(r);
    return r;
}

struct rabbit *rabbit_start(void)
{
    struct rabbit *r = rabbit_launch(&(struct rabbit_options){.folder = NULL});

    rabbit_await(r);
    return r;
}

struct rabbit *rabbit_start_tls(const char *name)
{
    struct rabbit *r = rabbit_launch(&(struct rabbit_options){.tls_name = name});

    rabbit_await(r);
    return r;
}

const char *rabbit_tls_url(const struct rabbit *r)
{
    return r->tls_url;
}

const char *rabbit_ca(const struct rabbit *r)
{
    return r->ca;
}

const char *rabbit_other_ca(const struct rabbit *r)
{
    return r->other_ca;
}

struct rabbit *rabbit_attach(const char *folder)
{
    struct rabbit *r = calloc(1, sizeof(*r));

    if (!r)
        harness_fail("out of memory");
    r->outlives = true;
    r->folder = strdup(folder);
    if (r->folder && load_ports(r)) {
        set_paths(r);
        return r;
    }
    free(r->folder);
    free(r);
    return NULL;
}

void rabbit_dies_with(struct rabbit *r, pid_t process)
{
    r->dies_with = process;
}

static pid_t pid_of(const struct rabbit *r)
{
    char path[ENV_SIZE];

    (void)snprintf(path, sizeof(path), "%s/pid", r->folder);
    return pid_in(path, RABBIT_PROGRAM);
}

bool rabbit_is_running(const struct rabbit *r)
{
    return pid_of(r) != 0;
}

const char *rabbit_folder(const struct rabbit *r)
{
    return r->folder;
}

const char *rabbit_url(const struct rabbit *r)
{
    return r->url;
}

int64_t rabbit_port(const struct rabbit *r)
{
    return r->port;
}

void rabbit_stop(struct rabbit *r)
{
    if (r->server)
        (void)proc_stop(r->server, STOP_MS);
    r->server = proc_free(r->server);
    /* Somebody else may have started it, or started it again. */
    pid_stop(pid_of(r), RABBIT_PROGRAM, SIGTERM);
}

void rabbit_kill(struct rabbit *r)
{
    if (r->server)
        proc_kill(r->server);
    r->server = proc_free(r->server);
    pid_stop(pid_of(r), RABBIT_PROGRAM, SIGKILL);
}

void rabbit_wipe(struct rabbit *r)
{
    char path[ENV_SIZE];

    if (rabbit_is_running(r))
        harness_fail("a broker that runs cannot be wiped");
    (void)snprintf(path, sizeof(path), "%s/mnesia", r->folder);
    folder_remove(path);
}

void rabbit_restart(struct rabbit *r)
{
    rabbit_stop(r);
    launch(r);
    rabbit_await(r);
}

/* ---- its command-line tool */

static _Noreturn void ctl_failed(const char *what, const char *log)
{
    auto_free char *tail = file_tail(log);

    harness_fail("rabbitmqctl cannot %s:\n%s", what, tail ? tail : "");
}

bool rabbit_ctl(struct rabbit *r, const char *log, ...)
{
    const char *argv[ARGS_MAX] = {RABBIT_BIN "/rabbitmqctl", "-q", "-n",
                                  r->settings[1] + strlen("RABBITMQ_NODENAME=")};
    size_t count = 4;
    int status = 0;
    va_list args;

    va_start(args, log);
    while (count < ARGS_MAX - 1 && (argv[count] = va_arg(args, const char *)))
        count++;
    va_end(args);
    argv[count] = NULL;
    auto_proc struct proc *p = proc_start(&(struct proc_options){
        .argv = argv, .env = r->env, .log = log ? log : r->output, .user = RABBIT_USER});
    return proc_wait(p, CTL_MS, &status) && status == 0;
}

void rabbit_alarm(struct rabbit *r, bool on)
{
    bool done = false;

    for (int i = 0; i < CTL_TRIES && !done; i++)
        done = rabbit_ctl(r, NULL, "set_vm_memory_high_watermark", on ? "0" : "0.9", NULL);
    if (!done)
        ctl_failed("set the memory alarm", r->output);
}

void rabbit_purge(struct rabbit *r, const char *queue)
{
    bool done = false;

    for (int i = 0; i < CTL_TRIES && !done; i++)
        done = rabbit_ctl(r, NULL, "purge_queue", queue, NULL);
    if (!done)
        ctl_failed("purge the queue", r->output);
}

int64_t rabbit_messages(struct rabbit *r, const char *queue)
{
    char path[ENV_SIZE], line[512], name[256];
    long long count = 0, found = -1;
    bool done = false;

    (void)snprintf(path, sizeof(path), "%s/queues", r->folder);
    (void)unlink(path);
    for (int i = 0; i < CTL_TRIES && !done; i++)
        done = rabbit_ctl(r, path, "list_queues", "--no-table-headers", "name", "messages", NULL);
    if (!done)
        ctl_failed("list queues", path);
    FILE *f = fopen(path, "re");
    if (!f)
        harness_fail("cannot read %s", path);
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "%255s %lld", name, &count) == 2 && strcmp(name, queue) == 0)
            found = count;
    (void)fclose(f);
    return found;
}

/* ---- its end */

void rabbit_reap(struct rabbit *r)
{
    if (r->server)
        (void)proc_is_running(r->server);
    if (r->epmd)
        (void)proc_is_running(r->epmd);
}

void rabbit_end(struct rabbit *r)
{
    char path[ENV_SIZE];

    rabbit_stop(r);
    (void)snprintf(path, sizeof(path), "%s/epmd.pid", r->folder);
    pid_stop(pid_in(path, "epmd"), "epmd", SIGTERM);
}

struct rabbit *rabbit_free(struct rabbit *r)
{
    if (!r)
        return NULL;
    if (!r->outlives)
        rabbit_kill(r);
    (void)proc_free(r->server);
    (void)proc_free(r->epmd);
    if (r->is_scratch)
        folder_remove(r->folder);
    free(r->folder);
    free(r);
    return NULL;
}
