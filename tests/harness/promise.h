#pragma once

/*
 * promise: how long something took, beside what was promised.  Speed is for the
 * bench to judge: a test says what it saw, and fails only where no busy machine
 * explains it.  Where a timeout of ours would end the wait sooner than that, the test sets a
 * limit of its own, below that timeout.
 */

#include <stdbool.h>
#include <stdint.h>

/* Prints it; false if it took half a minute longer than promised. */
bool promise_kept(const char *what, int64_t took_ms, int64_t promised_ms);
