#include "common/domain/window.h"

#include <stdbool.h>

#include "common/base/check.h"

/* Does `a` hand over to `b` without a gap in the calendar? */
static bool touch(const struct window_bounds *a, const struct window_bounds *b)
{
    return a->ends_at_ms == b->starts_at_ms;
}

static bool has_opened(const struct window_bounds *w, int64_t now_ms)
{
    return w->opens_ms <= now_ms;
}

/* Past its end, but its successor is not open yet by this server's measure. */
static bool bridges(const struct window_bounds *windows, size_t count,
                    const struct window_bounds *w, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++)
        if (touch(w, &windows[i]) && !has_opened(&windows[i], now_ms))
            return true;
    return false;
}

int window_pick(const struct window_bounds *windows, size_t count, int64_t now_ms)
{
    int latest = -1;

    CHECK(count == 0 || windows != NULL);
    for (size_t i = 0; i < count; i++)
        if (has_opened(&windows[i], now_ms) &&
            (latest < 0 || windows[i].starts_at_ms > windows[latest].starts_at_ms))
            latest = (int)i;
    if (latest < 0)
        return -1;

    const struct window_bounds *w = &windows[latest];
    return now_ms < w->closes_ms || bridges(windows, count, w, now_ms) ? latest : -1;
}
