#pragma once

/* page: a part of the accounts of one data centre: windows by key, as GET /pools shows them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/domain/judge.h"
#include "common/domain/window_key.h"

#define PAGE_WINDOWS_MAX 500

struct page_row {
    struct window_key key;
    int64_t ends_at_ms;
    int state; /* enum interval_state */
    char home[NAME_SIZE];
    struct judge_account account;
};

struct page {
    char dc[NAME_SIZE];       /* whose accounts these are, as it says itself */
    char stranger[NAME_SIZE]; /* one that it trades with and that is not read; "": none */
    bool more;                /* there are windows after these */
    size_t count;
    struct page_row rows[PAGE_WINDOWS_MAX]; /* by key */
};

/* The data centres whose accounts are read; an index of the judge's is one of these. */
struct page_names {
    size_t count;
    char names[JUDGE_DCS_MAX][NAME_SIZE];
};

/* `now_ms`: the calendar's time; what is past its end is over. */
MUST_CHECK bool page_decode(const char *text, size_t len, const struct page_names *names,
                            int64_t now_ms, struct page *ret, struct err *e);
