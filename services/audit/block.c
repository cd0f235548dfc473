#include "services/audit/block.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clk.h"

static const struct judge_account unknown = {.home = JUDGE_STRANGER};

struct block *block_new(struct sources *sources, int64_t now_ms)
{
    struct block *b = calloc(1, sizeof(*b));

    CHECK(b != NULL && sources->count >= 1);
    b->sources = sources;
    b->now_ms = now_ms;
    b->names.count = sources->count;
    for (size_t i = 0; i < sources->count; i++)
        (void)snprintf(b->names.names[i], NAME_SIZE, "%s", sources->all[i].dc->name);
    b->first = calloc(sources->count, sizeof(*b->first));
    b->second = calloc(sources->count, sizeof(*b->second));
    CHECK(b->first != NULL && b->second != NULL);
    return b;
}

struct block *block_free(struct block *b)
{
    if (b == NULL)
        return NULL;
    free(b->first);
    free(b->second);
    free(b);
    return NULL;
}

struct reading {
    struct block *block;
    struct source_query query;
    struct page *pages;
};

static bool read_page(void *arg, size_t i, struct err *e)
{
    struct reading *r = arg;

    return source_page(&r->block->sources->all[i], &r->query, &r->pages[i], e);
}

/* Behind the end of a page that is not the last one of its source, nothing is known of it. */
static void shorten(struct block *b, const struct page *p)
{
    if (!p->more)
        return;
    const struct window_key *last = &p->rows[p->count - 1].key;
    if (b->is_last || window_key_compare(last, &b->end) < 0)
        b->end = *last;
    b->is_last = false;
}

bool block_read(struct block *b, const struct window_key *after)
{
    struct reading r = {
        .block = b,
        .query = {.after = *after, .names = &b->names, .now_ms = b->now_ms},
        .pages = b->first,
    };

    if (!sources_each(b->sources, read_page, &r))
        return false;
    b->between_ms = clk_now_ms();
    r.pages = b->second;
    if (!sources_each(b->sources, read_page, &r))
        return false;
    memset(b->at, 0, sizeof(b->at));
    b->is_last = true;
    for (size_t i = 0; i < b->sources->count; i++) {
        shorten(b, &b->first[i]);
        shorten(b, &b->second[i]);
    }
    return true;
}

static const struct page_row *row_at(const struct page *p, size_t at)
{
    return at < p->count ? &p->rows[at] : NULL;
}

static void take_smaller(const struct page_row *row, const struct window_key **least)
{
    if (row && (!*least || window_key_compare(&row->key, *least) < 0))
        *least = &row->key;
}

/* The account of the window, if the page has it there: then on to the next. */
static const struct judge_account *take(const struct page *p, size_t *at,
                                        const struct window_key *key)
{
    const struct page_row *row = row_at(p, *at);

    if (!row || window_key_compare(&row->key, key) != 0)
        return &unknown;
    (*at)++;
    return &row->account;
}

bool block_next(struct block *b, struct window_key *ret_key, struct judge_window *ret)
{
    const struct window_key *least = NULL;

    for (size_t i = 0; i < b->sources->count; i++) {
        take_smaller(row_at(&b->first[i], b->at[0][i]), &least);
        take_smaller(row_at(&b->second[i], b->at[1][i]), &least);
    }
    if (!least || (!b->is_last && window_key_compare(least, &b->end) > 0))
        return false;
    *ret_key = *least;
    ret->count = b->sources->count;
    for (size_t i = 0; i < ret->count; i++) {
        ret->first[i] = take(&b->first[i], &b->at[0][i], ret_key);
        ret->second[i] = take(&b->second[i], &b->at[1][i], ret_key);
    }
    return true;
}
