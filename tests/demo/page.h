#pragma once

/* page: the spending over time as one HTML file with drawings in it, and nothing from elsewhere. */

#include "tests/demo/tally.h"

struct page_event {
    int64_t at_s; /* calendar time */
    const char *what;
};

MUST_CHECK bool page_write(const struct tally *t, const struct page_event *events,
                           size_t events_count, const char *path, struct err *e);
