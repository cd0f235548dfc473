#include "services/local-svc/waiters.h"

#include <stdlib.h>

#include "common/base/check.h"

void waiters_init(struct waiters *w, size_t max)
{
    *w = (struct waiters){.heap = calloc(max, sizeof(*w->heap)), .max = max};
    CHECK(w->heap != NULL);
}

void waiters_done(struct waiters *w)
{
    CHECK(w->count == 0);
    free(w->heap);
    *w = (struct waiters){0};
}

static void swap(struct waiter *a, struct waiter *b)
{
    struct waiter kept = *a;

    *a = *b;
    *b = kept;
}

static void sift_up(struct waiters *w, size_t i)
{
    while (i > 0 && w->heap[i].deadline_ms < w->heap[(i - 1) / 2].deadline_ms) {
        swap(&w->heap[i], &w->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static size_t earlier_child(const struct waiters *w, size_t i)
{
    size_t left = 2 * i + 1, right = left + 1;

    return right < w->count && w->heap[right].deadline_ms < w->heap[left].deadline_ms ? right
                                                                                      : left;
}

static void sift_down(struct waiters *w, size_t i)
{
    for (size_t child = earlier_child(w, i); child < w->count; child = earlier_child(w, i)) {
        if (w->heap[i].deadline_ms <= w->heap[child].deadline_ms)
            return;
        swap(&w->heap[i], &w->heap[child]);
        i = child;
    }
}

bool waiters_add(struct waiters *w, const struct waiter *one)
{
    if (w->count == w->max)
        return false;
    w->heap[w->count++] = *one;
    sift_up(w, w->count - 1);
    return true;
}

int64_t waiters_next_deadline(const struct waiters *w)
{
    return w->count > 0 ? w->heap[0].deadline_ms : INT64_MAX;
}

bool waiters_take_expired(struct waiters *w, int64_t now_ms, struct waiter *ret)
{
    if (w->count == 0 || w->heap[0].deadline_ms > now_ms)
        return false;
    *ret = w->heap[0];
    w->heap[0] = w->heap[--w->count];
    sift_down(w, 0);
    return true;
}

size_t waiters_take_behind(struct waiters *w, int64_t revision, struct waiter *ret)
{
    size_t taken = 0, kept = 0;

    for (size_t i = 0; i < w->count; i++) {
        if (w->heap[i].since < revision)
            ret[taken++] = w->heap[i];
        else
            w->heap[kept++] = w->heap[i];
    }
    w->count = kept;
    for (size_t i = kept / 2; i-- > 0;)
        sift_down(w, i);
    return taken;
}
