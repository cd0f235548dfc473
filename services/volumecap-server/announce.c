#include "services/volumecap-server/announce.h"

#define PREFETCH_MS INT64_C(10000)
#define CLOCK_MARGIN_MS INT64_C(600000) /* a restored database's clock may be behind */

int64_t announce_prefetch_ms(int64_t opens_ms, int64_t now_ms, struct prng *prng)
{
    int64_t lead = min_i64(PREFETCH_MS, (opens_ms - now_ms) / 2);

    if (lead <= 0)
        return now_ms;
    /* All servers ask within the first three quarters, so that answers have the last. */
    return opens_ms - lead + prng_below(prng, lead * 3 / 4 + 1);
}

/*
 * A window that has opened stays open: a boundary measured a little later must
 * not hand clients back to the window before it, which returns its units.
 */
static void take_bounds(struct window *w, const struct announcement *row, int64_t measured_ms)
{
    const bool has_opened = w->announced && w->bounds.opens_ms <= measured_ms;

    w->bounds.ends_at_ms = row->ends_at_ms;
    w->bounds.closes_ms = measured_ms + row->ends_in_ms;
    w->bounds.opens_ms =
        has_opened ? OPEN_BEFORE_MS : window_opens_ms(measured_ms, row->starts_in_ms);
}

void announce_open_successor(const struct window *over, struct attention *attention)
{
    for (size_t i = 0; i < over->cap->count; i++) {
        struct window *w = over->cap->windows[i];
        if (!w->announced || w->bounds.starts_at_ms != over->bounds.ends_at_ms)
            continue;
        w->bounds.opens_ms = OPEN_BEFORE_MS;
        attention_ring(attention, w);
    }
}

/*
 * States only go forward, as long as the database does.  One that is restored begins a snapshot
 * anew, or opens what was over long ago: then clients are served from it again.
 */
static void take_state(struct window *w, const struct announcement *row, uint64_t snapshot)
{
    const bool is_anew = !w->announced || w->snapshot != snapshot;

    w->state = is_anew || row->state > w->state ? row->state : w->state;
    w->snapshot = snapshot;
}

/* A window that is closed early may be open again in a database that goes back, until its end. */
static void take_need(struct window *w, const struct announcement *row, int64_t measured_ms)
{
    if (w->state >= INTERVAL_CLOSING)
        return;
    w->needed_ms = max_i64(w->needed_ms, measured_ms + row->ends_in_ms + CLOCK_MARGIN_MS);
    if (w->entry)
        ledger_need(w->entry, w->needed_ms);
}

static void take_row(struct announcer *a, struct window *w, const struct announcement *row)
{
    take_bounds(w, row, a->measured_ms);
    if (!w->announced)
        w->prefetch_ms = announce_prefetch_ms(w->bounds.opens_ms, a->measured_ms, &a->prng);
    w->total = row->total;
    take_state(w, row, a->snapshot);
    take_need(w, row, a->measured_ms);
    w->paused = row->paused;
    w->announced = true;
    w->news++;
    w->ask_ms = 0;
    w->backoff_ms = 0;
    w->slice.autonomy_ms = row->autonomy_ms;
    slice_news(&w->slice);
    if (row->recall || w->state >= INTERVAL_CLOSING)
        atomic_store(&w->report, true);
    if (w->state >= INTERVAL_CLOSING && row->ends_in_ms <= 0)
        announce_open_successor(w, a->attention);
}

bool announce(struct announcer *a, const struct announcement *row)
{
    struct windows_shard *shard = windows_shard_of(a->windows, row->cap);

    (void)pthread_rwlock_wrlock(&shard->lock);
    struct windows_cap *cap = windows_find(shard, row->cap);
    struct window *w = cap ? windows_find_window(cap, row->starts_at_ms) : NULL;
    /* A window that is over and of which nothing is held does not concern us. */
    const bool concerns_us = w || row->state < INTERVAL_CLOSING;
    if (!w && concerns_us)
        w = windows_add(a->windows, shard, row->cap, row->starts_at_ms);
    if (w) {
        take_row(a, w, row);
        attention_ring(a->attention, w);
    }
    (void)pthread_rwlock_unlock(&shard->lock);
    return w || !concerns_us;
}

static void end_missing(struct announcer *a, const struct windows_cap *cap)
{
    for (size_t i = 0; i < cap->count; i++) {
        struct window *w = cap->windows[i];
        if (w->snapshot == a->snapshot)
            continue;
        w->state = INTERVAL_CLOSED;
        w->news++;
        atomic_store(&w->report, true);
        attention_ring(a->attention, w);
    }
}

void announce_snapshot_end(struct announcer *a)
{
    for (size_t i = 0; i < WINDOWS_SHARDS; i++) {
        struct windows_shard *shard = &a->windows->shards[i];
        (void)pthread_rwlock_wrlock(&shard->lock);
        for (struct windows_cap *cap = shard->caps; cap; cap = cap->hh.next)
            end_missing(a, cap);
        (void)pthread_rwlock_unlock(&shard->lock);
    }
    atomic_store(&a->windows->synced, true);
}
