#pragma once

/* spending: what scenarios between data centres come to: all is spent, and then it is 429. */

#include "tests/scenario/scenes.h"

/*
 * Of today's window, in which `spent` units have been granted so far, whoever
 * asks in data centre `at` gets all the others; then it is 429 everywhere, and
 * soon nothing is in transit any more.  How long both took is logged.
 */
void all_is_spent(const struct scenes *s, int at, const char *cap, int64_t total, int64_t spent);

/* Soon nothing of the window is in transit, and so many units are booked as consumed. */
void all_is_booked(const struct scenes *s, const char *cap, const char *starts_at, int64_t spent);

/*
 * Waits until a data centre away from home has at least its share of the
 * window, and nothing is on its way; what it has received then.  It may be
 * more: who has nothing asks.
 */
int64_t share_arrived(const struct scenes *s, int at, const char *cap, const char *starts_at,
                      int64_t share);
