#pragma once

/*
 * source: one data centre that is read, and all of them at once.
 *
 * Every struct source has a client of its own.  sources_each() works for all
 * of them side by side, each on a thread, and returns when all are done.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/httpc.h"
#include "services/audit/options.h"
#include "services/audit/page.h"

#define SOURCE_CHECKS_MAX 16

/* A rule that a data centre finds broken in its own accounts. */
struct source_check {
    char id[8];
    int64_t violations;
    char example[256];
};

struct source {
    const struct options_dc *dc;
    struct httpc *http;
    struct httpc_reply reply;
    bool failed; /* the last thing that it was asked; `err` says how */
    struct err err;
    int64_t now_ms; /* its calendar, when its own audit was made */
    size_t checks_count;
    struct source_check
        checks[SOURCE_CHECKS_MAX]; /* of its own audit, those that found something */
};

struct sources {
    size_t count;
    struct source all[JUDGE_DCS_MAX];
};

MUST_CHECK bool sources_open(const struct options *o, struct sources *ret, struct err *e);
void sources_done(struct sources *s);
#define auto_sources __attribute__((cleanup(sources_done)))

/* Its own GET /audit; and its name, which must be the one it was given: ERR_CONFLICT. */
MUST_CHECK bool source_ask(struct source *s, struct err *e);

struct source_query {
    struct window_key after;
    const struct page_names *names;
    int64_t now_ms;
};

/* The windows after a key; tries again if it fails for a moment. */
MUST_CHECK bool source_page(struct source *s, const struct source_query *q, struct page *ret,
                            struct err *e);

/* `work` for the index of each source that is counted; false: it failed, see source.err. */
typedef bool source_work(void *arg, size_t index, struct err *e);
bool sources_each(struct sources *s, source_work *work, void *arg);
