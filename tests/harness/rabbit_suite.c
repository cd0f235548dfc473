/* rabbit_suite: brokers for all tests of a program; see rabbit.h. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/harness/proc.h"
#include "tests/harness/rabbit.h"

/* "<the runner's pid> <folder>"; not VOLUMECAP_..., which services refuse. */
#define SUITE_ENV "HARNESS_RABBIT"
#define SUITE_MAX 4
#define PATH_SIZE 128

static int suite_count; /* the runner's alone */

static struct rabbit *attach(int i)
{
    char root[PATH_SIZE - 16] = "", path[PATH_SIZE];
    const char *value = getenv(SUITE_ENV);
    int runner = 0;

    if (!value || sscanf(value, "%d %111s", &runner, root) != 2)
        harness_fail("no shared brokers: the test program lacks RABBIT_SUITE()");
    (void)snprintf(path, sizeof(path), "%s/%d", root, i);
    struct rabbit *r = rabbit_attach(path);
    if (!r)
        harness_fail("there is no shared broker %d", i);
    rabbit_dies_with(r, runner);
    return r;
}

static void stop(void)
{
    for (int i = 0; i < suite_count; i++) {
        auto_rabbit struct rabbit *r = attach(i);
        rabbit_kill(r); /* its folder goes: there is nothing to save */
        rabbit_end(r);
    }
}

_Noreturn static void start_all(const char *root, int count, pid_t runner)
{
    struct rabbit *brokers[SUITE_MAX];
    char path[PATH_SIZE];

    for (int i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%d", root, i);
        brokers[i] = rabbit_launch(
            &(struct rabbit_options){.folder = path, .outlives = true, .dies_with = runner});
    }
    for (int i = 0; i < count; i++)
        rabbit_await(brokers[i]);
    _exit(0);
}

/*
 * By a process in between: Criterion's runner never comes to rest when a child
 * that it does not know dies, which is what tests do to brokers.
 */
void rabbit_suite_start(int count)
{
    char value[PATH_SIZE];
    auto_free char *root = folder_scratch();
    const pid_t runner = getpid();
    int status = 0;

    CHECK(count > 0 && count <= SUITE_MAX);
    (void)snprintf(value, sizeof(value), "%d %s", (int)runner, root);
    if (setenv(SUITE_ENV, value, 1) != 0)
        harness_fail("setenv");
    /* Ours, not the one's in between: a broker may be down while others look for ports. */
    for (int i = 0; i < count; i++) {
        char path[PATH_SIZE];

        (void)snprintf(path, sizeof(path), "%s/%d", root, i);
        rabbit_reserve(path);
    }
    const pid_t pid = fork();
    if (pid == 0)
        start_all(root, count, runner);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        harness_fail("the shared brokers do not start");
    suite_count = count;
    /* After folder_scratch(): what runs is stopped before its folder goes. */
    atexit(stop);
}

struct rabbit *rabbit_shared(int i)
{
    struct rabbit *r = attach(i);

    if (rabbit_is_running(r))
        rabbit_await(r);
    else
        rabbit_restart(r);
    return r;
}
