#pragma once

/*
 * proc: child processes, free ports and scratch folders for tests and the demo.
 *
 * Everything here aborts with a message when it fails: a test cannot go on
 * without its surroundings.
 *
 * A child is the leader of its own process group.  It dies with the thread
 * that started it, unless told to outlive it: start children from a thread
 * that lives as long as they are needed (main() or the test's own).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cleanup.h"

_Noreturn void harness_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct proc;

struct proc_options {
    const char *const *argv; /* argv[0] is a path, or is looked up in PATH; NULL-terminated */
    const char *const *env;  /* "NAME=value" on top of ours, NULL-terminated; NULL: none */
    const char *log;         /* a file to append stdout and stderr to; NULL: ours */
    const char *user;        /* run as this user if we are root; NULL: as we are */
    bool outlives;           /* goes on when we die */
    pid_t dies_with;         /* outlives us, but not that process; 0: nobody */
    int death_signal;        /* sent to it when we die; 0: SIGKILL */
};

struct proc *proc_start(const struct proc_options *o);
pid_t proc_pid(const struct proc *p);

/* To the whole process group; nothing happens if it has ended already. */
void proc_signal(struct proc *p, int signal);

/* The same to the process and all its descendants, whatever groups they made for themselves. */
void proc_signal_tree(struct proc *p, int signal);

/* kill -9 of the process and all its descendants, and waits for its end. */
void proc_kill(struct proc *p);

/* True when it has ended: *ret_status as from waitpid(); may be NULL. */
bool proc_wait(struct proc *p, int64_t timeout_ms, int *ret_status);
bool proc_is_running(struct proc *p);

/* SIGTERM, then after `timeout_ms` kill -9; the wait status.  Ended already: as it ended. */
int proc_stop(struct proc *p, int64_t timeout_ms);

/* Forgets it; kills it first, unless it outlives us. */
struct proc *proc_free(struct proc *p);
CLEANUP_DEFINE(proc, struct proc, proc_free)
#define auto_proc CLEANUP(proc)

/* Processes that need not be our children: is it there, and is it that program? */
bool pid_is(pid_t pid, const char *program);

/* The number in a pid file, if that program runs under it; else 0. */
pid_t pid_in(const char *path, const char *program);

/* To the process and all its descendants. */
void pid_signal_tree(pid_t pid, int signal);

/* Sends the signal, SIGKILL if that is not enough; nothing happens if it is not that program. */
void pid_stop(pid_t pid, const char *program, int signal);

/*
 * A TCP port of 127.0.0.1 that is free now, and that port_free() gives to no
 * other process of this user as long as this one lives.
 */
int64_t port_free(void);

/* That port, in the same way; false: somebody has it. */
bool port_take(int64_t port);

/*
 * A new folder for this process, mode 0755, gone when the process exits; what
 * a killed process left behind is removed by the next one that asks.  The
 * path is short enough for sockets inside; free() it.
 */
char *folder_scratch(void);
void folder_remove(const char *path); /* with everything in it */

/* The last lines of a file, for messages; free() it. */
char *file_tail(const char *path);

/*
 * Waits for a condition, asking each 5 ms, and more seldom when it has lasted for long; false after
 * `timeout_ms`.
 */
bool harness_await(bool (*condition)(void *arg), void *arg, int64_t timeout_ms);
