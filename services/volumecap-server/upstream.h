#pragma once

/* upstream: how it stands with local-svc, as /readyz?verbose says it.  Thread-safe. */

#include <pthread.h>
#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct upstream {
    pthread_mutex_t lock;
    const char *name; /* "topup", "watch": whose calls these are */
    bool failed;      /* guarded by lock */
    char why[200];    /* guarded by lock */
};

void upstream_init(struct upstream *u, const char *name);
void upstream_done(struct upstream *u);

/* Each logs when it changes, not each time. */
void upstream_ok(struct upstream *u);
void upstream_failed(struct upstream *u, const struct err *e);

/* Appends "local-svc <name>: ok" or why not, and a newline. */
void upstream_write(struct upstream *u, struct buf *out);
