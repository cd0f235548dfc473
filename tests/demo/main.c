/*
 * demo [--dcs N] [--standby] [--log FILE] [--seconds N] [--page FILE] [--dir FOLDER]
 * demo --derive --log FILE
 *
 * Replays a trace, or an access log, against a data centre of its own, or
 * several.  With --derive it only writes the trace of the log.
 */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/num.h"
#include "tests/demo/demo.h"
#include "tests/harness/dcs.h"

#define SECONDS 60
#define SECONDS_OF_MANY 120 /* they share this machine: all of them trade all of the caps */

struct arguments {
    struct demo_options demo;
    const char *log;
    bool derive;
};

static bool parse(int argc, char **argv, struct arguments *ret)
{
    struct err e;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--derive") == 0) {
            ret->derive = true;
            continue;
        }
        if (strcmp(argv[i], "--standby") == 0) {
            ret->demo.standby = true;
            continue;
        }
        if (value && strcmp(argv[i], "--log") == 0)
            ret->log = value;
        else if (value && strcmp(argv[i], "--page") == 0)
            ret->demo.page = value;
        else if (value && strcmp(argv[i], "--dir") == 0)
            ret->demo.folder = value;
        else if (value && strcmp(argv[i], "--dcs") == 0) {
            if (!num_parse_i64(value, 1, DCS_MAX, &ret->demo.dcs, &e))
                return false;
        } else if (!value || strcmp(argv[i], "--seconds") != 0 ||
                   !num_parse_i64(value, 5, 86400, &ret->demo.seconds, &e))
            return false;
        i++;
    }
    return !ret->derive || ret->log;
}

/* Data centres that are there would go on from where they stopped, in a calendar of their own. */
static bool is_new(const char *folder)
{
    char path[4096];
    struct stat found;

    (void)snprintf(path, sizeof(path), "%s/dc1", folder);
    return stat(path, &found) != 0;
}

/* From now on they are taken by the demo where it sleeps: nothing is left behind. */
static void block_signals(void)
{
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    static const int statuses[] = {[DEMO_HELD] = 0, [DEMO_BROKEN] = 1, [DEMO_INTERRUPTED] = 130};
    struct arguments a = {.demo = {.dcs = 1, .page = DEMO_PAGE}};
    auto_trace struct trace *trace = NULL;
    struct err e = {0};

    if (!parse(argc, argv, &a)) {
        fprintf(stderr,
                "usage: demo [--dcs N] [--standby] [--log FILE] [--seconds N] [--page FILE] "
                "[--dir FOLDER]\n"
                "       demo --derive --log FILE\n");
        return 2;
    }
    if (a.demo.seconds == 0)
        a.demo.seconds = a.demo.dcs == 1 ? SECONDS : SECONDS_OF_MANY;
    if (a.demo.folder && !is_new(a.demo.folder)) {
        fprintf(stderr, "demo: there are data centres in %s already; --dir names a new folder\n",
                a.demo.folder);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    block_signals();
    if (a.log ? !trace_from_log(a.log, &trace, &e)
              : !trace_load(VOLUMECAP_DATA "/trace-2015-05.txt", &trace, &e)) {
        fprintf(stderr, "demo: %s\n", e.msg);
        return 1;
    }
    if (a.derive) {
        trace_write(trace, stdout);
        return 0;
    }
    return statuses[demo_run(trace, &a.demo)];
}
