#pragma once

/*
 * local: one process of local-svc for tests of it alone, and what interval-svc
 * and volumecap servers say to it.  Aborts with a message when something
 * fails that is not the test's subject.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tests/harness/client.h"
#include "tests/harness/svc.h"

/* `env`: more settings, NULL-terminated; or NULL. */
struct svc *local_start(const char *conninfo, const char *const *env);

/* All windows of these tests, unless they say otherwise: open for decades. */
#define LOCAL_STARTS_AT "2020-01-01T00:00:00Z"
#define LOCAL_ENDS_AT "2090-01-01T00:00:00Z"

/* What interval-svc says; members left out are those of the window above. */
struct announced {
    const char *starts_at, *ends_at, *state; /* NULL: LOCAL_..., "open" */
    int64_t version;
    int64_t total;
    int64_t definition; /* 0: not said */
    const char *home;   /* NULL: not said */
    bool paused;
};
void local_announce(struct client *c, const char *cap, const struct announced *a);

/* A server as it presents itself: server `number`, in the first generation of its first ledger. */
struct speaker {
    int number;
    int incarnation, generation, process; /* 0 is 1 for the generation */
};

struct said {
    int64_t granted_known, returned, consumed, refunded, want, want_min;
    const char *starts_at; /* NULL: LOCAL_STARTS_AT */
};

struct heard {
    int status;            /* 0: no answer came; the rest is only there with 200 */
    int64_t retry_after_s; /* with any answer; -1: none */
    int64_t granted, keep, left, starts_in_ms, ends_in_ms; /* keep: UNITS_MAX for null */
    char state[16];
};

/* POST /topup about one window; aborts never. */
struct heard local_topup(struct client *c, const struct speaker *s, const char *cap,
                         const struct said *said);

/* A number of the one pool of a cap, "free". */
int64_t local_pool_i64(struct client *c, const char *cap, const char *member);

/* The value of an unlabelled metric. */
int64_t local_metric(struct client *c, const char *name);
