#pragma once

/*
 * block: the same stretch of windows in all data centres, read twice.
 *
 * The second reading begins when the first has ended everywhere, as the judge
 * wants it.  Memory is that of two pages for each data centre.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/domain/judge.h"
#include "services/audit/source.h"

struct block {
    struct sources *sources;
    struct page_names names;
    int64_t now_ms;        /* the calendar's time */
    struct page *first;    /* one for each source */
    struct page *second;   /* likewise */
    int64_t between_ms;    /* our clock, when the first reading had ended and the second began */
    struct window_key end; /* the last window that it surely has of all data centres */
    bool is_last;          /* there are none after it; `end` says nothing */
    size_t at[2][JUDGE_DCS_MAX]; /* block_next()'s */
};

/* Borrows the sources; their names are the judge's order. */
struct block *block_new(struct sources *sources, int64_t now_ms);
struct block *block_free(struct block *b);
CLEANUP_DEFINE(block, struct block, block_free)
#define auto_block CLEANUP(block)

/* Windows after a key; false: a source failed, and says how. */
MUST_CHECK bool block_read(struct block *b, const struct window_key *after);

/* The next window of it; what is borrowed lives until the next block_read().  False: no more. */
bool block_next(struct block *b, struct window_key *ret_key, struct judge_window *ret);
