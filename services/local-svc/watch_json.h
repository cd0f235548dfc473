#pragma once

/* watch_json: news as the body of GET /watch. */

#include "common/base/buf.h"
#include "services/local-svc/store_watch.h"

void watch_json(const struct watch_news *news, struct buf *out);

/* There is no news: an empty array `member`. */
void watch_json_nothing(int64_t revision, const char *member, struct buf *out);
