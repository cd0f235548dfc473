#pragma once

/*
 * waiting: what is to be looked at again: windows that moved, and units that
 * were on their way.  In the order of the windows, since that is how they are
 * put in.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/domain/window_key.h"

#define WAITING_MAX 1000000 /* of less than 120 bytes each */

struct waiting_item {
    struct window_key key;
    bool is_transfer;
    size_t from, to; /* of a transfer */
    int64_t sent;    /* all that `from` had sent to `to` at since_ms */
    int64_t since_ms;
    bool is_done;
};

struct waiting {
    size_t count, room;
    struct waiting_item *items;
};

/* False: it is full. */
bool waiting_add(struct waiting *w, const struct waiting_item *item);

/* Forgets what is done. */
void waiting_sweep(struct waiting *w);

void waiting_done(struct waiting *w);
#define auto_waiting __attribute__((cleanup(waiting_done)))
