#pragma once

/*
 * elector: the thread that holds the session, competes for the lock, keeps the
 * lease with heartbeats, and writes down in `standing` how it stands.
 */

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/metric.h"
#include "services/coordinator/standing.h"
#include "services/coordinator/starter.h"

struct elector;

struct elector_config {
    const char *conninfo;
    const char *role; /* borrowed, as is the name */
    const char *name;
    int64_t rest_ms;           /* after stepping down, others go first for so long */
    int64_t service_silent_ms; /* not asked for so long, it lets others act; 0: never */
    struct standing *standing;
    struct starter *starter; /* the elector's thread ticks it */
    struct metrics *metrics;
};

/* Fails on a conninfo that is no good, not on a database that is away. */
MUST_CHECK bool elector_start(const struct elector_config *config, struct elector **ret,
                              struct err *e);

/* To be called after a request to step down. */
void elector_wake(struct elector *el);

/*
 * Steps down in order, if there is something to give up, and ends the thread;
 * requests to step down are answered by then, and refused afterwards.
 */
void elector_retire(struct elector *el);

/* Retires first. */
struct elector *elector_free(struct elector *el);
CLEANUP_DEFINE(elector, struct elector, elector_free)
#define auto_elector CLEANUP(elector)
