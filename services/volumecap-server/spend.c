#include "services/volumecap-server/spend.h"

#include "common/base/num.h"

const char *const refund_verdict_names[] = {
#define X(verdict, name) name,
    REFUND_VERDICTS(X)
#undef X
        NULL};

/* One ask counts as demand up to this: absurd amounts must not spoil the measure. */
#define DEMAND_MAX (INT64_C(1) << 32)

/* ---- consume */

static struct spend_window describe(const struct window *w, int64_t now_ms)
{
    return (struct spend_window){
        .known = true,
        .starts_at_ms = w->bounds.starts_at_ms,
        .ends_at_ms = w->bounds.ends_at_ms,
        .ends_in_ms = max_i64(w->bounds.closes_ms - now_ms, 0),
        .total = w->total,
    };
}

/* The topper is called when the slice runs low, and now and then to measure the demand. */
static void ring_if_low(const struct spender *s, struct window *w, int64_t rest, int64_t now_ms)
{
    if (rest <= atomic_load_explicit(&w->low, memory_order_relaxed) ||
        now_ms >= atomic_load_explicit(&w->look_ms, memory_order_relaxed))
        attention_ring(s->attention, w);
}

int64_t spend_needed(const struct spend_ask *ask)
{
    return ask->mode == CONSUME_BEST_EFFORT ? 1 : ask->amount;
}

/* What the slice does not cover. */
static void refuse(struct spend *ret, const struct window *w, const struct spend_ask *ask,
                   enum slot_verdict why)
{
    ret->verdict = slice_refusal(&w->slice, ret->rest, spend_needed(ask));
    /*
     * Nobody knows the rest of a slot that units are just being returned from.  And if the pool
     * has closed a window that is open by the watch, what follows it is on its way.
     */
    if (why == SLOT_FROZEN_NOW || ret->verdict == SLICE_NOT_OPEN)
        ret->verdict = SLICE_UNREACHABLE;
    ret->may_wait = ret->verdict == SLICE_UNREACHABLE;
}

static void consume(const struct spender *s, struct window *w, const struct spend_ask *ask,
                    bool again, int64_t now_ms, struct spend *ret)
{
    struct slot_take take = {.verdict = SLOT_SHORT};

    ret->window = describe(w, now_ms);
    if (w->paused) {
        ret->verdict = SLICE_PAUSED;
        return;
    }
    if (!again && ask->mode != CONSUME_CHECK)
        (void)atomic_fetch_add_explicit(&w->asked, min_i64(ask->amount, DEMAND_MAX),
                                        memory_order_relaxed);
    if (w->entry)
        take = slot_consume(&w->entry->slot, ask->amount, (enum consume_mode)ask->mode);
    ret->rest = take.rest;
    if (take.verdict != SLOT_GRANTED) {
        refuse(ret, w, ask, take.verdict);
        return;
    }
    ret->verdict = SLICE_GRANTED;
    ret->units = take.units;
    if (ask->mode != CONSUME_CHECK)
        ring_if_low(s, w, take.rest, now_ms);
}

static bool is_announced(const struct windows_cap *cap)
{
    for (size_t i = 0; i < cap->count; i++)
        if (cap->windows[i]->announced)
            return true;
    return false;
}

/*
 * Until the watch's snapshot is complete nothing is known about what is not
 * there.  A cap that was defined a moment ago may be on its way.
 */
static void no_window(const struct spender *s, const struct windows_cap *cap, struct spend *ret)
{
    if (!atomic_load(&s->windows->synced))
        ret->verdict = SLICE_UNREACHABLE;
    else
        ret->verdict = cap && is_announced(cap) ? SLICE_NOT_OPEN : SLICE_UNKNOWN;
    ret->may_wait = ret->verdict != SLICE_NOT_OPEN;
}

struct spend spend_consume(const struct spender *s, const struct spend_ask *ask, bool again,
                           int64_t now_ms)
{
    struct spend ret = {.verdict = SLICE_UNREACHABLE};
    struct windows_shard *shard = windows_shard_of(s->windows, ask->cap);

    if (atomic_load(&s->windows->refused))
        return ret;
    (void)pthread_rwlock_rdlock(&shard->lock);
    struct windows_cap *cap = windows_find(shard, ask->cap);
    struct window *w = cap ? windows_current(cap, now_ms) : NULL;
    if (w)
        consume(s, w, ask, again, now_ms, &ret);
    else
        no_window(s, cap, &ret);
    (void)pthread_rwlock_unlock(&shard->lock);
    return ret;
}

void spend_ring(const struct spender *s, const char *name, int64_t now_ms)
{
    struct windows_shard *shard = windows_shard_of(s->windows, name);

    (void)pthread_rwlock_rdlock(&shard->lock);
    struct windows_cap *cap = windows_find(shard, name);
    struct window *w = cap ? windows_current(cap, now_ms) : NULL;
    if (w)
        attention_ring(s->attention, w);
    (void)pthread_rwlock_unlock(&shard->lock);
}

/* ---- refund */

static struct window *refundable(const struct windows_cap *cap, const struct refund_ask *ask,
                                 int64_t now_ms)
{
    struct window *current = windows_current(cap, now_ms);

    if (!current || (ask->has_starts_at && current->bounds.starts_at_ms != ask->starts_at_ms))
        return NULL;
    return current;
}

/* Where the pool believes that nothing is left, it must hear of units that came back. */
static void refund(const struct spender *s, struct window *w, const struct refund_ask *ask,
                   struct refund *ret)
{
    ret->has_window = true;
    ret->starts_at_ms = w->bounds.starts_at_ms;
    if (!w->entry || !slot_refund(&w->entry->slot, ask->amount)) {
        ret->verdict = REFUND_TOO_MUCH;
        ret->rest = window_rest(w);
        return;
    }
    ret->verdict = REFUND_DONE;
    ret->rest = window_rest(w);
    if (w->slice.state != POOL_OPEN || w->paused)
        atomic_store(&w->report, true);
    attention_ring(s->attention, w);
}

struct refund spend_refund(const struct spender *s, const struct refund_ask *ask, int64_t now_ms)
{
    struct refund ret = {.verdict = REFUND_NOT_NOW};
    struct windows_shard *shard = windows_shard_of(s->windows, ask->cap);

    if (atomic_load(&s->windows->refused))
        return ret;
    (void)pthread_rwlock_rdlock(&shard->lock);
    struct windows_cap *cap = windows_find(shard, ask->cap);
    struct window *w = cap ? refundable(cap, ask, now_ms) : NULL;
    if (w)
        refund(s, w, ask, &ret);
    else if (atomic_load(&s->windows->synced))
        ret.verdict = cap && is_announced(cap) ? REFUND_NOT_OPEN : REFUND_UNKNOWN;
    (void)pthread_rwlock_unlock(&shard->lock);
    return ret;
}

/* ---- look */

static struct spend_view view_of(const struct window *w, bool current, int64_t now_ms)
{
    struct slot *slot = window_slot(w);

    return (struct spend_view){
        .starts_at_ms = w->bounds.starts_at_ms,
        .ends_at_ms = w->bounds.ends_at_ms,
        .state = w->paused && w->state <= INTERVAL_OPEN ? "paused" : interval_state_names[w->state],
        .current = current,
        .counts = slot ? slot_counts(slot) : (struct slot_counts){0},
        .rest = window_rest(w),
        .rate_milli = rate_milli(&w->rate, now_ms),
    };
}

size_t spend_look(const struct spender *s, const char *name, int64_t now_ms,
                  struct spend_view ret[SPEND_VIEWS_MAX])
{
    struct windows_shard *shard = windows_shard_of(s->windows, name);
    size_t count = 0;

    (void)pthread_rwlock_rdlock(&shard->lock);
    struct windows_cap *cap = windows_find(shard, name);
    const struct window *current = cap ? windows_current(cap, now_ms) : NULL;
    for (size_t i = 0; cap && i < cap->count && count < SPEND_VIEWS_MAX; i++)
        if (cap->windows[i]->announced)
            ret[count++] = view_of(cap->windows[i], cap->windows[i] == current, now_ms);
    (void)pthread_rwlock_unlock(&shard->lock);
    return count;
}
