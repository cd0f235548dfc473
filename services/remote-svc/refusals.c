#include "services/remote-svc/refusals.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

struct refusals {
    pthread_mutex_t lock; /* guards all below */
    struct refusal rows[REFUSALS_MAX];
    size_t count;
    int64_t lines, lines_ms; /* in the log, and since when they are counted */
};

struct refusals *refusals_new(void)
{
    struct refusals *r = calloc(1, sizeof(*r));

    CHECK(r != NULL && pthread_mutex_init(&r->lock, NULL) == 0);
    return r;
}

struct refusals *refusals_free(struct refusals *r)
{
    if (!r)
        return NULL;
    CHECK(pthread_mutex_destroy(&r->lock) == 0);
    free(r);
    return NULL;
}

static void remove_oldest(struct refusals *r)
{
    size_t oldest = 0;

    for (size_t i = 1; i < r->count; i++)
        if (r->rows[i].last_ms < r->rows[oldest].last_ms)
            oldest = i;
    r->count--;
    memmove(&r->rows[oldest], &r->rows[oldest + 1], (r->count - oldest) * sizeof(r->rows[0]));
}

static struct refusal *find(struct refusals *r, const char *from, const char *reason)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->rows[i].from, from) == 0 && strcmp(r->rows[i].reason, reason) == 0)
            return &r->rows[i];
    if (r->count == REFUSALS_MAX)
        remove_oldest(r);
    struct refusal *fresh = &r->rows[r->count++];
    *fresh = (struct refusal){.reason = reason};
    (void)snprintf(fresh->from, sizeof(fresh->from), "%s", from);
    return fresh;
}

/* Under the lock. */
static int64_t take_unlogged(struct refusals *r, struct refusal *row, int64_t now_ms)
{
    if (r->lines == 0 || now_ms - r->lines_ms >= REFUSALS_LOG_MS) {
        r->lines = 0;
        r->lines_ms = now_ms;
    }
    if (r->lines == REFUSALS_MAX || (row->logged > 0 && now_ms - row->logged_ms < REFUSALS_LOG_MS))
        return 0;
    const int64_t count = row->count - row->logged;
    r->lines++;
    row->logged = row->count;
    row->logged_ms = now_ms;
    return count;
}

int64_t refusals_add(struct refusals *r, const char *from, const char *reason, int64_t now_ms)
{
    CHECK(pthread_mutex_lock(&r->lock) == 0);
    struct refusal *row = find(r, from && name_is_valid(from) ? from : "", reason);
    row->count++;
    row->last_ms = now_ms;
    const int64_t unlogged = take_unlogged(r, row, now_ms);
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return unlogged;
}

size_t refusals_list(struct refusals *r, struct refusal ret[REFUSALS_MAX])
{
    CHECK(pthread_mutex_lock(&r->lock) == 0);
    size_t count = r->count;
    memcpy(ret, r->rows, count * sizeof(ret[0]));
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return count;
}
