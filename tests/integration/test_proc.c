/* The harness: ports that two programs at once must not both get, and processes of processes. */

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/proc.h"

/* None is left behind by a test that fails. */
static pid_t fork_child(void)
{
    const pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* A process that takes the port, says whether it could, and lives until it is killed. */
static pid_t take_elsewhere(int64_t port, bool *ret_taken)
{
    int ends[2];
    char answer = '\0';

    cr_assert(pipe(ends) == 0);
    const pid_t pid = fork_child();
    if (pid == 0) {
        answer = port_take(port) ? 'y' : 'n';
        if (write(ends[1], &answer, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    cr_assert(read(ends[0], &answer, 1) == 1);
    close(ends[0]);
    close(ends[1]);
    *ret_taken = answer == 'y';
    return pid;
}

static void end(pid_t pid)
{
    cr_assert(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

Test(ports, what_is_picked_is_nobody_elses)
{
    const int64_t port = port_free();
    bool taken = true;

    end(take_elsewhere(port, &taken));
    cr_assert(!taken);
    cr_assert(!port_take(port), "the same one twice");
}

/* True if somebody had the port, we could not have it, and had it when he was dead. */
static bool comes_free(int64_t port)
{
    bool taken = false;
    pid_t pid = take_elsewhere(port, &taken);

    cr_assert(!taken || !port_take(port));
    end(pid);
    return taken && port_take(port);
}

/* Other programs take ports, too: one that they have, or take just then, is passed over. */
Test(ports, are_free_again_when_their_process_was_killed)
{
    bool is_seen = false;

    for (int tries = 0; !is_seen && tries < 1000; tries++)
        is_seen = comes_free(10000 + (getpid() + tries) % 20000);
    cr_assert(is_seen);
}

static bool is_gone(void *arg)
{
    return !pid_is(*(pid_t *)arg, "sleep");
}

/* Started by a process that ends at once; the pid. */
static pid_t start_and_end(pid_t dies_with)
{
    const char *const argv[] = {"sleep", "1000", NULL};
    int ends[2];
    pid_t ret = 0;

    cr_assert(pipe(ends) == 0);
    const pid_t pid = fork_child();
    if (pid == 0) {
        struct proc *p = proc_start(
            &(struct proc_options){.argv = argv, .outlives = true, .dies_with = dies_with});
        ret = proc_pid(p);
        while (is_gone(&ret)) /* not yet the program */
            poll(NULL, 0, 1);
        _exit(write(ends[1], &ret, sizeof(ret)) == sizeof(ret) ? 0 : 1);
    }
    cr_assert(read(ends[0], &ret, sizeof(ret)) == sizeof(ret));
    cr_assert(waitpid(pid, NULL, 0) == pid);
    close(ends[0]);
    close(ends[1]);
    return ret;
}

Test(proc, outlives_who_started_it_and_not_whom_it_dies_with)
{
    const pid_t whom = fork_child();

    if (whom == 0)
        for (;;)
            pause();
    pid_t pid = start_and_end(whom);
    cr_assert(!is_gone(&pid));
    end(whom);
    cr_assert(harness_await(is_gone, &pid, 60000));
}
