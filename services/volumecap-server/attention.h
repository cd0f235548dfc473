#pragma once

/*
 * attention: which windows the topper should look at, and when.
 *
 * Anyone may ring for a window, at once; the topper itself notes a time for
 * each.  So nobody ever walks over all windows, however many there are.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "services/volumecap-server/windows.h"

struct attention;

struct attention *attention_new(void); /* NULL: out of memory */
struct attention *attention_free(struct attention *a);
CLEANUP_DEFINE(attention, struct attention, attention_free)
#define auto_attention CLEANUP(attention)

/* Any thread that holds the lock of the window's shard, so that the window cannot go away. */
void attention_ring(struct attention *a, struct window *w);

/* The rest is for the topper's thread. */

/* At due_ms (NEVER_MS: not at all), besides when it is rung for. */
void attention_at(struct attention *a, struct window *w, int64_t due_ms);

/* The next window that is due or rung for, or NULL. */
struct window *attention_next(struct attention *a, int64_t now_ms);

/* The window is about to be removed. */
void attention_forget(struct attention *a, struct window *w);

/*
 * Waits until a window is rung for or due, or until_ms.  With `deaf`, only
 * until_ms ends it (or stopping).
 */
void attention_wait(struct attention *a, int64_t until_ms, bool deaf);

/* Any thread. */
void attention_stop(struct attention *a);
bool attention_is_stopped(struct attention *a);
