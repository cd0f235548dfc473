/*
 * dc up|status|down --dir FOLDER [--dcs N] [--servers N] [--standby]: a data centre, or
 * several that trade, going on after the command, for people to try.  `up`
 * also starts again what has died; `locals` prints what `audit` is to be told.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "tests/harness/dcs.h"
#include "tests/harness/proc.h"

#define SERVERS 3
#define REMOVE_MS 5000
#define EXIT_INTERRUPTED 130

struct arguments {
    const char *command;
    const char *folder;
    int64_t dcs;     /* 0: not said */
    int64_t servers; /* a data centre; 0: not said */
    bool standby;
};

struct option {
    const char *name;
    int64_t max;
    int64_t *ret;
};

static const struct option *find_option(const struct option *options, size_t count,
                                        const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

/* Says what it does not understand. */
static bool parse(int argc, char **argv, struct arguments *ret)
{
    const struct option options[] = {{"--dcs", DCS_MAX, &ret->dcs},
                                     {"--servers", DC_REPLICAS_MAX, &ret->servers}};
    struct err e = {0};

    *ret = (struct arguments){.command = argc > 1 ? argv[1] : ""};
    for (int i = 2; i < argc; i += 2) {
        if (strcmp(argv[i], "--standby") == 0) {
            ret->standby = true;
            i--;
            continue;
        }
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        const struct option *option = find_option(options, 2, argv[i]);
        if (value && strcmp(argv[i], "--dir") == 0) {
            ret->folder = value;
        } else if (!value || !option) {
            fprintf(stderr, "dc: \"%s\" is no option, or lacks its value\n", argv[i]);
            return false;
        } else if (!num_parse_i64(value, 1, option->max, option->ret, &e)) {
            fprintf(stderr, "dc: %s %s: %s\n", option->name, value, e.msg);
            return false;
        }
    }
    return ret->folder != NULL;
}

static const char *state_of(const struct dc *dc, enum dc_kind kind, int i)
{
    if (!dc_is_running(dc, kind, i))
        return "dead";
    return dc_is_ready(dc, kind, i) ? "ready" : "not ready";
}

/* Of two that act once: who does. */
static const char *rank_of(const struct dc *dc, enum dc_kind kind, int i)
{
    if (dc_coordinator_of(dc, kind, i) < 0)
        return "";
    return dc_primary(dc, kind) == i ? ", primary" : ", standby";
}

/* Quoted, it can be given to psql. */
static int show_database(const struct dc *dc)
{
    bool is_running = dc_database_is_running(dc);

    printf("%-18s \"%s\" %s\n", "PostgreSQL", dc_conninfo(dc), is_running ? "running" : "dead");
    return !is_running;
}

/* Returns how many processes are not ready. */
static int show_dc(const struct dc *dc)
{
    int missing = 0;

    for (enum dc_kind kind = 0; kind < DC_KINDS; kind++)
        for (int i = 0; i < dc_count(dc, kind); i++) {
            const char *state = state_of(dc, kind, i);
            missing += strcmp(state, "ready") != 0;
            printf("%-18s http://127.0.0.1:%-6d pid %-8d %s%s\n", dc_service(kind),
                   dc_port(dc, kind, i), (int)dc_pid(dc, kind, i), state, rank_of(dc, kind, i));
        }
    if (dc_conninfo(dc))
        missing += show_database(dc);
    printf("%-18s %s/*.log\n", "logs", dc_folder(dc));
    return missing;
}

static int show_broker(const struct rabbit *broker)
{
    bool is_running = rabbit_is_running(broker);

    printf("%-18s %s %s\n", "RabbitMQ", rabbit_url(broker), is_running ? "running" : "dead");
    return !is_running;
}

/* Whoever follows README must know; how many there are. */
static int show_taken_ports(const struct dc *dc)
{
    int taken = 0;

    for (enum dc_kind kind = 0; kind < DC_KINDS; kind++)
        for (int i = 0; i < dc_count(dc, kind); i++) {
            if (dc_port(dc, kind, i) == dc_documented_port(dc, kind, i))
                continue;
            printf("%s%d was taken: %s has %d\n", taken++ == 0 ? "\n" : "",
                   dc_documented_port(dc, kind, i), dc_service(kind), dc_port(dc, kind, i));
        }
    return taken;
}

/* Returns how much of it is not ready. */
static int show(const struct dcs *d)
{
    int missing = 0, taken = 0;

    for (int i = 0; i < dcs_count(d); i++) {
        if (dcs_count(d) > 1)
            printf("%s%s\n", i > 0 ? "\n" : "", dcs_name(i));
        missing += dcs_dc(d, i) ? show_dc(dcs_dc(d, i)) : 1;
        if (dcs_broker(d, i))
            missing += show_broker(dcs_broker(d, i));
    }
    for (int i = 0; i < dcs_count(d); i++)
        taken += dcs_dc(d, i) ? show_taken_ports(dcs_dc(d, i)) : 0;
    if (taken > 0)
        printf("README's lines have the ports on the left: put those on the right instead.\n");
    return missing;
}

/* With several, what is defined in the first is spent in the last. */
static void show_what_to_try(const struct dcs *d)
{
    static const char *const type = "-H 'Content-Type: application/json'";
    const struct dc *dc = dcs_dc(d, 0), *last = dcs_dc(d, dcs_count(d) - 1);

    printf("\nTry:\n"
           "  curl -X PUT http://127.0.0.1:%d/caps/try-me %s -d "
           "'{\"starts_at\":\"2025-01-01T00:00:00Z\",\"ends_at\":\"2035-01-01T00:00:00Z\","
           "\"interval\":\"day\",\"total\":100,\"time_zone\":\"Europe/Berlin\"}'\n",
           dc_port(dc, DC_META, 0), type);
    printf("  curl -X POST http://127.0.0.1:%d/consume %s -d '{\"cap\":\"try-me\"}'\n",
           dc_port(last, DC_SERVER, 0), type);
    printf("  curl http://127.0.0.1:%d/pools/try-me\n", dc_port(last, DC_LOCAL, 0));
    if (dc_count(dc, DC_COORDINATOR) > 0)
        printf("  curl http://127.0.0.1:%d/members\n", dc_port(dc, DC_COORDINATOR, 0));
    if (dcs_count(d) > 1)
        printf("  curl http://127.0.0.1:%d/peers\n", dc_port(last, DC_REMOTE, 0));
}

static bool remove_once(void *arg)
{
    const char *folder = arg;

    folder_remove(folder);
    return access(folder, F_OK) != 0;
}

/* What was just stopped may still write a last file, which the next try removes. */
static bool stop_and_remove(struct dcs *d)
{
    auto_free char *folder = strdup(dcs_folder(d));

    CHECK(folder != NULL);
    dcs_stop(d);
    if (harness_await(remove_once, folder, REMOVE_MS))
        return true;
    fprintf(stderr, "dc: %s cannot be removed\n", folder);
    return false;
}

static struct dcs *start(const struct arguments *a)
{
    /* The folder is removed some day: it must be ours from the beginning. */
    if (rmdir(a->folder) != 0 && errno != ENOENT) {
        fprintf(stderr, "dc: %s holds something else than a data centre: remove it\n", a->folder);
        return NULL;
    }
    return dcs_start(
        &(struct dcs_options){.count = (int)a->dcs,
                              .folder = a->folder,
                              .outlives = true,
                              .each = {.servers = a->servers ? (int)a->servers : SERVERS,
                                       .standby = a->standby,
                                       .documented_ports = true}});
}

static void say_ignored(const char *option, int64_t asked, int is)
{
    if (asked && asked != is)
        printf("%s %lld is ignored: it is up with %d; ./run down first\n", option, (long long)asked,
               is);
}

static struct dcs *heal(const struct arguments *a, struct dcs *d)
{
    say_ignored("--dcs", a->dcs, dcs_count(d));
    say_ignored("--servers", a->servers, dc_count(dcs_dc(d, 0), DC_SERVER));
    if (a->standby && dc_coordinator_of(dcs_dc(d, 0), DC_INTERVAL, 0) < 0)
        printf("--standby is ignored: it is up without; ./run down first\n");
    dcs_heal(d);
    return d;
}

static int start_or_heal(const struct arguments *a)
{
    struct dcs *d = dcs_attach(a->folder);

    if (d && !dcs_is_complete(d)) {
        printf("removing what is left of a start that was broken off\n");
        if (!stop_and_remove(d))
            return 1;
        d = NULL;
    }
    d = d ? heal(a, d) : start(a);
    if (!d)
        return 1;
    int missing = show(d);
    show_what_to_try(d);
    dcs_forget(d);
    return missing != 0;
}

/* After a start that did not end in order: nothing of it goes on.  What was complete stays. */
static int give_up(const struct arguments *a, bool interrupted)
{
    struct dcs *d = dcs_attach(a->folder);
    bool is_partial = d && !dcs_is_complete(d);

    fprintf(stderr, "dc: %s\n", interrupted ? "interrupted" : "the start failed");
    if (is_partial && interrupted) {
        (void)stop_and_remove(d);
        return EXIT_INTERRUPTED;
    }
    if (d)
        fprintf(stderr, "dc: the logs are in %s; the next ./run up %s\n", a->folder,
                is_partial ? "starts afresh" : "goes on with the same data");
    if (is_partial)
        dcs_stop(d);
    else
        dcs_forget(d);
    return interrupted ? EXIT_INTERRUPTED : 1;
}

static bool is_interruption(int signal)
{
    return signal == SIGINT || signal == SIGTERM || signal == SIGHUP;
}

/*
 * The harness aborts when something fails, and a signal may come at any time:
 * both end only the child that starts things, and we clear up behind it.
 */
static int up(const struct arguments *a)
{
    sigset_t watched, before;
    int signal = 0, status = 0;

    sigemptyset(&watched);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGHUP);
    sigaddset(&watched, SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, &watched, &before) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0);
        CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
        exit(start_or_heal(a));
    }
    while (waitpid(pid, &status, WNOHANG) == 0)
        if (sigwait(&watched, &signal) == 0 && signal != SIGCHLD)
            kill(pid, SIGTERM);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return give_up(a, is_interruption(WTERMSIG(status)));
}

static int status(const struct arguments *a)
{
    struct dcs *d = dcs_attach(a->folder);

    if (!d) {
        printf("nothing is up\n");
        return 1;
    }
    bool is_complete = dcs_is_complete(d);
    int missing = show(d);
    dcs_forget(d);
    if (!is_complete)
        printf("half-started: ./run up has not ended, or was broken off; the next one starts "
               "afresh\n");
    else if (missing > 0)
        printf("%d not ready; ./run up starts again what is dead\n", missing);
    return !is_complete || missing > 0;
}

/* NAME=URL for each local-svc. */
static int locals(const struct arguments *a)
{
    struct dcs *d = dcs_attach(a->folder);

    if (!d || !dcs_is_complete(d)) {
        dcs_forget(d);
        fprintf(stderr,
                "nothing is up: ./run up starts a data centre.  To audit others, name each, and "
                "where its local-svc answers:\n"
                "  ./run audit east=http://127.0.0.1:8083 west=http://127.0.0.1:9083\n");
        return 1;
    }
    for (int i = 0; i < dcs_count(d); i++) {
        char local[DCS_LOCAL_SIZE];
        dcs_local(d, i, local);
        printf("%s\n", local);
    }
    dcs_forget(d);
    return 0;
}

static int down(const struct arguments *a)
{
    struct dcs *d = dcs_attach(a->folder);

    if (!d) {
        printf("nothing is up\n");
        return 0;
    }
    if (!stop_and_remove(d))
        return 1;
    printf("stopped; its data in %s is deleted\n", a->folder);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct arguments *a);
    } commands[] = {{"up", up}, {"status", status}, {"locals", locals}, {"down", down}};
    struct arguments a;

    if (parse(argc, argv, &a))
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
            if (strcmp(commands[i].name, a.command) == 0)
                return commands[i].run(&a);
    fprintf(stderr, "usage: dc up|status|locals|down --dir FOLDER [--dcs N] [--servers N] "
                    "[--standby]\n");
    return 2;
}
