#pragma once

/*
 * promise: how long something took, beside what was promised.  Speed is for the
 * bench to judge: a test says what it saw, and fails only where no busy machine
 * explains it.
 */

#include <stdbool.h>
#include <stdint.h>

/* Prints it; false if it took ten times as long as promised, and half a minute at least. */
bool promise_kept(const char *what, int64_t took_ms, int64_t promised_ms);
