#pragma once

/* store_watch: the news after a revision. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/domain/window_key.h"
#include "common/io/db.h"

struct watch_row {
    struct window_key key;
    int64_t ends_at_ms;
    int64_t starts_in_ms, ends_in_ms;
    int state; /* enum interval_state */
    bool paused;
    int64_t total;
    int64_t autonomy_ms;
    bool recall;
    int64_t revision;
};

struct watch_news {
    int64_t revision; /* everything up to here is known after these rows */
    bool more;        /* there is still newer news */
    size_t count;
    struct watch_row *rows; /* by revision */
};

struct watch_news *watch_news_free(struct watch_news *n);
CLEANUP_DEFINE(watch_news, struct watch_news, watch_news_free)
#define auto_watch_news CLEANUP(watch_news)

/* Loads the oldest news after `since`, at most `limit` rows; after 0, not of closed windows. */
MUST_CHECK bool store_watch(struct db *db, int64_t since, int64_t limit, struct watch_news **ret,
                            struct err *e);
