#pragma once

/*
 * postmaster: what a data folder tells of the PostgreSQL server on it, which
 * need not be our child.
 */

#include <stdbool.h>
#include <sys/types.h>

/* 0: none runs. */
pid_t postmaster_pid(const char *data);

/* The segment of System V shared memory that it uses; -1: none. */
int postmaster_segment(const char *data);

/* Its backends are gone, and the next start may have it; for harness_await(), with an int. */
bool postmaster_is_detached(void *segment);

/*
 * A killed postmaster leaves its segment behind, of which a host has only so
 * many; the next start on the same data would reuse it.
 */
void postmaster_remove_segment(const char *data);
