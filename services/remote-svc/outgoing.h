#pragma once

/*
 * outgoing: the rows that wait to be told to one data centre.  A newer row of
 * a window takes the place of the one that waits.  When it is full, what comes
 * is dropped: it will be told again.  Thread-safe.
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

/* Appends at most `max` rows, oldest first, with commas; how many. */
int64_t outgoing_take(struct outgoing *o, int64_t max, struct buf *out);

int64_t outgoing_count(struct outgoing *o);
