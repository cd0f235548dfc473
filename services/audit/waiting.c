#include "services/audit/waiting.h"

#include <stdlib.h>

#include "common/base/check.h"

#define ROOM_FIRST 256

static void grow(struct waiting *w)
{
    w->room = w->room > 0 ? 2 * w->room : ROOM_FIRST;
    struct waiting_item *items = realloc(w->items, w->room * sizeof(*items));
    CHECK(items != NULL);
    w->items = items;
}

bool waiting_add(struct waiting *w, const struct waiting_item *item)
{
    if (w->count == WAITING_MAX)
        return false;
    if (w->count == w->room)
        grow(w);
    w->items[w->count++] = *item;
    return true;
}

void waiting_sweep(struct waiting *w)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->count; i++)
        if (!w->items[i].is_done)
            w->items[kept++] = w->items[i];
    w->count = kept;
}

void waiting_done(struct waiting *w)
{
    free(w->items);
    *w = (struct waiting){0};
}
