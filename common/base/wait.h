#pragma once

/*
 * wait: for a condition variable, no longer than until a deadline.
 *
 *   const struct timespec deadline = wait_deadline(ms);
 *   while (!is_ready && wait_until(&cond, &mutex, deadline))
 *       continue;
 *
 * On CLOCK_MONOTONIC, although clk.h counts suspension: pthread_cond_timedwait() takes no
 * CLOCK_BOOTTIME.  Durations are the same on both, except over a suspension, where waking late is
 * right; whoever must know the time then reads clk_now_ms().
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* wait_until() takes no other condition variables. */
void wait_init(pthread_cond_t *cond);

/* In so many ms: now if there are less than 0, and INT64_MAX will do for never. */
struct timespec wait_deadline(int64_t ms);

/* False when the deadline has passed; true when woken, perhaps without a reason. */
bool wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, struct timespec deadline);
