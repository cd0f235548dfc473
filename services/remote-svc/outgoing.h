#pragma once

/*
 * outgoing: the rows that wait to be told to one data centre, and what it was
 * told before.  A newer row of a window takes the place of the one that
 * waits.  When it is full, what comes is dropped: it will be told again.
 * Thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "services/remote-svc/span.h"

struct outgoing;

struct outgoing *outgoing_new(int64_t rows_max);
struct outgoing *outgoing_free(struct outgoing *o);

/* A row as local-svc gave it; false if it was dropped. */
bool outgoing_put(struct outgoing *o, struct span row);

/* The same, unless just this was the last that was taken; *ret_put if it waits now. */
bool outgoing_put_untold(struct outgoing *o, struct span row, bool *ret_put);

/* Appends at most `max` rows, and bytes, oldest first, with commas; how many. */
int64_t outgoing_take(struct outgoing *o, int64_t max, size_t bytes_max, struct buf *out);

int64_t outgoing_count(struct outgoing *o);

/* Whatever was taken may have been lost. */
void outgoing_forget(struct outgoing *o);

/* Nothing waits any more, either. */
void outgoing_clear(struct outgoing *o);

/* After a round: forgets the windows that it did not show. */
void outgoing_sweep(struct outgoing *o);
