#include "services/volumecap-server/attention.h"

#include <stdlib.h>

#include <utlist.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/wait.h"

#define WAIT_MAX_MS 60000 /* how late a suspension may make it */

struct attention {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct window *rung; /* guarded by lock */
    bool stopped;        /* guarded by lock */

    /* The topper's: a binary heap by due_ms, from place 1. */
    struct window **heap;
    size_t count, room;
};

struct attention *attention_new(void)
{
    struct attention *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    CHECK(pthread_mutex_init(&a->lock, NULL) == 0);
    wait_init(&a->cond);
    return a;
}

struct attention *attention_free(struct attention *a)
{
    if (!a)
        return NULL;
    (void)pthread_cond_destroy(&a->cond);
    (void)pthread_mutex_destroy(&a->lock);
    free((void *)a->heap);
    free(a);
    return NULL;
}

/* ---- ringing */

void attention_ring(struct attention *a, struct window *w)
{
    if (atomic_exchange(&w->rung, true))
        return;
    (void)pthread_mutex_lock(&a->lock);
    if (!a->rung)
        (void)pthread_cond_signal(&a->cond);
    DL_APPEND2(a->rung, w, rung_prev, rung_next);
    (void)pthread_mutex_unlock(&a->lock);
}

static struct window *unlink_first(struct attention *a)
{
    struct window *w = a->rung;

    if (!w)
        return NULL;
    DL_DELETE2(a->rung, w, rung_prev, rung_next);
    /* Cleared before the visit: whatever happens from now on rings again. */
    atomic_store(&w->rung, false);
    return w;
}

static struct window *take_rung(struct attention *a)
{
    (void)pthread_mutex_lock(&a->lock);
    struct window *w = unlink_first(a);
    (void)pthread_mutex_unlock(&a->lock);
    return w;
}

/* ---- the heap */

static void put(struct attention *a, size_t place, struct window *w)
{
    a->heap[place] = w;
    w->due_place = place;
}

static void sift_up(struct attention *a, struct window *w, size_t place)
{
    for (; place > 1 && a->heap[place / 2]->due_ms > w->due_ms; place /= 2)
        put(a, place, a->heap[place / 2]);
    put(a, place, w);
}

static void sift_down(struct attention *a, struct window *w, size_t place)
{
    for (size_t child = 2 * place; child <= a->count; child = 2 * place) {
        if (child < a->count && a->heap[child + 1]->due_ms < a->heap[child]->due_ms)
            child++;
        if (a->heap[child]->due_ms >= w->due_ms)
            break;
        put(a, place, a->heap[child]);
        place = child;
    }
    put(a, place, w);
}

static void unschedule(struct attention *a, struct window *w)
{
    size_t place = w->due_place;

    if (place == 0)
        return;
    w->due_place = 0;
    struct window *last = a->heap[a->count--];
    if (last == w)
        return;
    if (place > 1 && a->heap[place / 2]->due_ms > last->due_ms)
        sift_up(a, last, place);
    else
        sift_down(a, last, place);
}

static void grow(struct attention *a)
{
    if (a->count + 1 < a->room)
        return;
    a->room = a->room == 0 ? 1024 : 2 * a->room;
    a->heap = (struct window **)reallocarray((void *)a->heap, a->room, sizeof(struct window *));
    CHECK(a->heap); /* 8 bytes a window: if these are not to be had, nothing is */
}

void attention_at(struct attention *a, struct window *w, int64_t due_ms)
{
    unschedule(a, w);
    if (due_ms == NEVER_MS)
        return;
    grow(a);
    w->due_ms = due_ms;
    sift_up(a, w, ++a->count);
}

struct window *attention_next(struct attention *a, int64_t now_ms)
{
    if (a->count > 0 && a->heap[1]->due_ms <= now_ms) {
        struct window *w = a->heap[1];
        unschedule(a, w);
        return w;
    }
    return take_rung(a);
}

void attention_forget(struct attention *a, struct window *w)
{
    unschedule(a, w);
    if (!atomic_load(&w->rung))
        return;
    (void)pthread_mutex_lock(&a->lock);
    DL_DELETE2(a->rung, w, rung_prev, rung_next);
    (void)pthread_mutex_unlock(&a->lock);
}

/* ---- waiting */

void attention_wait(struct attention *a, int64_t until_ms, bool deaf)
{
    if (!deaf && a->count > 0)
        until_ms = min_i64(until_ms, a->heap[1]->due_ms);
    const struct timespec deadline = wait_deadline(min_i64(until_ms - clk_now_ms(), WAIT_MAX_MS));

    (void)pthread_mutex_lock(&a->lock);
    while (!a->stopped && (deaf || !a->rung) && wait_until(&a->cond, &a->lock, deadline))
        continue;
    (void)pthread_mutex_unlock(&a->lock);
}

void attention_stop(struct attention *a)
{
    (void)pthread_mutex_lock(&a->lock);
    a->stopped = true;
    (void)pthread_cond_broadcast(&a->cond);
    (void)pthread_mutex_unlock(&a->lock);
}

bool attention_is_stopped(struct attention *a)
{
    (void)pthread_mutex_lock(&a->lock);
    bool stopped = a->stopped;
    (void)pthread_mutex_unlock(&a->lock);
    return stopped;
}
