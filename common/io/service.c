#include "common/io/service.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

static sigset_t stop_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    return set;
}

/* Threads inherit the mask, so that only service_wait() ever takes these signals. */
static void block_signals(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set = stop_signals();

    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    /* A peer that hangs up is an error of one write, not the end of the process. */
    CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0);
}

/* A client is a connection, and the usual limit of 1,024 files is meant for other programs. */
static void raise_files_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The status to exit with at once after the one argument. */
static int answer_argument(const struct config_table *table, const char *argument)
{
    if (strcmp(argument, "--help") == 0) {
        config_help(table, stdout);
        return STATUS_OK;
    }
    if (strcmp(argument, "--version") == 0) {
        (void)printf("%s %s\n", table->program, VOLUMECAP_VERSION);
        return STATUS_OK;
    }
    (void)fprintf(stderr, "%s: unknown argument %s; try --help\n", table->program, argument);
    return STATUS_USAGE;
}

bool service_begin(int argc, char **argv, const struct config_table *table, void *config,
                   int *ret_status)
{
    struct err e;

    if (argc > 1) {
        *ret_status = answer_argument(table, argv[1]);
        return false;
    }
    log_service_set(table->program);
    block_signals();
    raise_files_limit();
    if (!config_load(table, config, &e)) {
        *ret_status = service_failed(&e);
        return false;
    }
    log_event(LOG_INFO, "service.starting", log_str("version", VOLUMECAP_VERSION));
    config_log(table, config);
    if (!config_set_log_level(table, config, &e)) {
        *ret_status = service_failed(&e);
        return false;
    }
    return true;
}

int service_failed(const struct err *e)
{
    log_event(LOG_ERROR, "service.failed", log_str("kind", err_name(e->kind)),
              log_str("error", e->msg));
    return STATUS_FAILED;
}

void service_wait(void)
{
    sigset_t set = stop_signals();
    int signal = 0;

    CHECK(sigwait(&set, &signal) == 0);
    log_event(LOG_INFO, "service.stopping", log_str("signal", sigabbrev_np(signal)));
}

/* To the process, not to this thread: pending until service_wait() takes it, even if it comes
 * later. */
void service_stop(void)
{
    CHECK(kill(getpid(), SIGTERM) == 0);
}
