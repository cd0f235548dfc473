#pragma once

/*
 * waiters: suspended calls by deadline: a bounded binary heap.  Not
 * thread-safe; struct watch guards it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/io/httpd.h"

struct waiter {
    struct httpd_call *call;
    int64_t since;       /* the revision the client knows */
    int64_t deadline_ms; /* clk_now_ms() */
};

struct waiters {
    struct waiter *heap; /* the earliest deadline first */
    size_t count, max;
};

void waiters_init(struct waiters *w, size_t max);
void waiters_done(struct waiters *w);

/* False if it is full. */
bool waiters_add(struct waiters *w, const struct waiter *one);

/* INT64_MAX if there are none. */
int64_t waiters_next_deadline(const struct waiters *w);

/* Takes the one with the earliest deadline, if that has passed. */
bool waiters_take_expired(struct waiters *w, int64_t now_ms, struct waiter *ret);

/* Moves all who do not know `revision` yet to `ret` (room for `count`); returns how many. */
size_t waiters_take_behind(struct waiters *w, int64_t revision, struct waiter *ret);
