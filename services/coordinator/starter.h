#pragma once

/*
 * starter: notices that a primary has no standby, says so, and runs a command
 * that starts one, if there is such a command.
 *
 * One command at a time, with pauses that grow from one second to a minute.  It
 * is killed, with its process group, when it takes too long; a daemon that it
 * leaves behind in a session of its own is not.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/metric.h"

struct starter;

struct starter_config {
    const char *command; /* for /bin/sh; "": none; borrowed */
    int64_t missing_ms;  /* without a standby for so long, one is missing */
    int64_t command_ms;  /* for the command to end */
    struct metrics *metrics;
};

struct starter *starter_new(const struct starter_config *config);

/* `standbys`: how many are alive; negative: we are not the primary, and it is not our business. */
void starter_tick(struct starter *s, int64_t standbys);

/* Looks after a command that is running; to be called also while there is nothing to tick for. */
void starter_reap(struct starter *s);

/* Kills a command that is still running. */
struct starter *starter_free(struct starter *s);
CLEANUP_DEFINE(starter, struct starter, starter_free)
#define auto_starter CLEANUP(starter)
