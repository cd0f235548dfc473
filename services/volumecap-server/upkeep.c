#include "services/volumecap-server/upkeep.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "services/volumecap-server/announce.h"

#define BACKOFF_MIN_MS INT64_C(20)
#define BACKOFF_MAX_MS INT64_C(500)
#define CONFIRM_AGAIN_MS INT64_C(1000) /* the pool has not yet confirmed the end of a slice */
#define UNKNOWN_AGAIN_MS INT64_C(1000) /* the watch knows a window that the pool does not */
#define FULL_AGAIN_MS INT64_C(10000)
#define ASIDE_MIN_MS INT64_C(1000)
#define ASIDE_MAX_MS INT64_C(60000)
#define LOOK_MS INT64_C(1000) /* how often demand is measured */
#define BRIDGE_MS INT64_C(10)
#define QUICK_MS INT64_C(100)

/* ---- what a window needs: pure */

enum upkeep_phase upkeep_phase(const struct window *w, bool current, int64_t now_ms)
{
    if (!w->announced || w->paused || w->state >= INTERVAL_CLOSING)
        return UPKEEP_OVER;
    if (current)
        return UPKEEP_LIVE;
    if (now_ms >= w->bounds.closes_ms)
        return UPKEEP_OVER;
    return !w->entry && now_ms < w->prefetch_ms ? UPKEEP_AHEAD : UPKEEP_LIVE;
}

bool upkeep_may_ask(const struct window *w, const struct pool_report *r, int64_t now_ms)
{
    const bool is_for_less = r->want_min > 0 && r->want_min < w->vain_min;

    return r->want > 0 && (now_ms >= w->ask_ms || is_for_less);
}

static bool is_reported(const struct window *w)
{
    const struct slot_counts counts = slot_counts(&w->entry->slot);

    return memcmp(&counts, &w->reported, sizeof(counts)) == 0;
}

/* The pool's word alone would not do: the watch may have it open, and clients spend from it. */
bool upkeep_is_settled(const struct window *w)
{
    const bool over = w->state >= INTERVAL_CLOSING;
    const bool heard = w->slice.state == POOL_CLOSED || w->slice.state == POOL_UNKNOWN ||
                       w->slice.state == POOL_FROZEN;

    return over && heard && slot_rest(&w->entry->slot) == 0 && is_reported(w);
}

/* When to look again, if nobody rings before. */
static int64_t next_look(const struct upkeep *u, const struct window *w, enum upkeep_phase phase,
                         int64_t now_ms)
{
    if (phase == UPKEEP_AHEAD)
        return min_i64(w->prefetch_ms, max_i64(w->bounds.opens_ms, now_ms + BRIDGE_MS));

    int64_t due_ms = NEVER_MS;
    if (w->entry && !is_reported(w))
        due_ms = w->reported_ms + u->report_ms;
    if (w->entry && upkeep_is_settled(w))
        return min_i64(due_ms, ledger_needed_until_ms(w->entry));
    if (phase == UPKEEP_OVER)
        return w->entry && !w->paused ? w->reported_ms + CONFIRM_AGAIN_MS : due_ms;
    if (w->ask_ms > now_ms)
        due_ms = min_i64(due_ms, w->ask_ms);
    return min_i64(due_ms, max_i64(w->bounds.closes_ms, now_ms + BRIDGE_MS));
}

/* ---- a look */

static void measure(struct window *w, int64_t now_ms)
{
    const int64_t asked = max_i64(atomic_exchange(&w->asked, 0), 0);

    rate_measure(&w->rate, asked, now_ms);
    w->slice.asked |= asked > 0;
}

static void hand_back(const struct upkeep *u, struct window *w)
{
    int64_t surplus = slice_surplus(&w->slice, window_rest(w));

    if (surplus == 0)
        return;
    slice_before_return(&w->slice, surplus);
    metric_inc(u->metrics->returned, slot_return(&w->entry->slot, surplus));
    atomic_store(&w->report, true);
}

/* All of it; should the window be served again (after a pause), it begins as a newcomer. */
static void give_up(const struct upkeep *u, struct window *w)
{
    w->slice.short_of = 0;
    w->slice.keep = 0;
    w->slice.last_slice = 0;
    hand_back(u, w);
}

static bool has_entry(struct upkeep *u, struct window *w, int64_t now_ms)
{
    if (w->entry)
        return true;
    const bool full = !windows_claim(u->windows, w);
    if (full) {
        w->ask_ms = now_ms + FULL_AGAIN_MS;
        if (!u->ledger_was_full)
            log_event(LOG_ERROR, "ledger.full", log_str("cap", w->cap->name),
                      log_i64("entries", ledger_entries_max(u->windows->ledger)));
    }
    u->ledger_was_full = full;
    return !full;
}

static void fill_item(struct window *w, struct topup_item *ret)
{
    memcpy(ret->cap, w->cap->name, sizeof(ret->cap));
    ret->window = w;
    ret->starts_at_ms = w->bounds.starts_at_ms;
    ret->news = w->news;
}

/* Clients ring when there is something to do that they can know of. */
static void set_bells(struct window *w, int64_t now_ms)
{
    const bool asks = w->slice.state == POOL_OPEN && w->ask_ms <= now_ms;
    const int64_t low = asks ? slice_low_water(&w->slice, rate_milli(&w->rate, now_ms)) : 0;
    /* The first unit that the pool does not know of rings, then one every second. */
    const bool quiet = !w->entry || is_reported(w);

    atomic_store(&w->low, low);
    atomic_store(&w->look_ms, quiet ? 0 : now_ms + LOOK_MS);
}

/* What must be said even if nothing is wanted. */
static bool must_report(const struct upkeep *u, struct window *w, enum upkeep_phase phase,
                        int64_t now_ms)
{
    if (atomic_exchange(&w->report, false))
        return true;
    if (upkeep_is_settled(w))
        return false;
    if (phase == UPKEEP_OVER)
        return !is_reported(w) || (!w->paused && now_ms >= w->reported_ms + CONFIRM_AGAIN_MS);
    if (is_reported(w))
        return false;
    /* That the last unit here is spent may be what makes the window used up for others. */
    return now_ms >= w->reported_ms + u->report_ms || slot_rest(&w->entry->slot) == 0;
}

static void note_wish(struct window *w, const struct waiting_wish *wish)
{
    const int64_t rest = window_rest(w);

    w->slice.short_of = max_i64(wish->units - rest, 0);
    w->slice.short_min = max_i64(wish->least - rest, 0);
}

static bool look_live(struct upkeep *u, struct window *w, const struct waiting_wish *wish,
                      int64_t now_ms, struct topup_item *ret)
{
    if (w->slice.state == POOL_UNKNOWN && now_ms >= w->ask_ms)
        slice_news(&w->slice);
    measure(w, now_ms);
    note_wish(w, wish);
    hand_back(u, w);
    note_wish(w, wish); /* what was handed back is lacking now */
    /* Before the report is made, which is what the pool will know as our last wish. */
    if (slice_must_retract(&w->slice))
        atomic_store(&w->report, true);
    ret->report = slice_report(&w->slice, window_slot(w), rate_milli(&w->rate, now_ms));
    /* If not, a report that goes out anyway says what is wanted, too. */
    const bool asks = upkeep_may_ask(w, &ret->report, now_ms);
    if (asks && !has_entry(u, w, now_ms))
        return false;
    return w->entry && (must_report(u, w, UPKEEP_LIVE, now_ms) || asks);
}

static bool look_over(struct upkeep *u, struct window *w, int64_t now_ms, struct topup_item *ret)
{
    if (!w->entry)
        return false;
    measure(w, now_ms);
    give_up(u, w);
    ret->report = slice_report(&w->slice, &w->entry->slot, RATE_UNKNOWN);
    ret->report.want = 0;
    return must_report(u, w, UPKEEP_OVER, now_ms);
}

static bool look(struct upkeep *u, struct window *w, const struct waiting_wish *wish,
                 enum upkeep_phase phase, int64_t now_ms, struct topup_item *ret)
{
    *ret = (struct topup_item){0};
    fill_item(w, ret);
    switch (phase) {
    case UPKEEP_LIVE: return look_live(u, w, wish, now_ms, ret);
    case UPKEEP_OVER: return look_over(u, w, now_ms, ret);
    default: return false;
    }
}

/*
 * Clients see no more of it.  But a database that goes back may open it again, and has forgotten
 * then what was granted here: until that cannot be any more, the ledger must know.
 */
static void settle(const struct upkeep *u, struct window *w, int64_t now_ms)
{
    if (!w->entry || !upkeep_is_settled(w))
        return;
    w->announced = false;
    ledger_need_at_most(w->entry, now_ms + u->remember_ms);
    if (now_ms >= ledger_needed_until_ms(w->entry))
        windows_release(u->windows, w);
}

/* Once the snapshot is there: until then the ledger may hold windows that are only not named yet.
 */
static bool is_waiting_for_watch(const struct upkeep *u, const struct window *w)
{
    return !w->announced && w->state < INTERVAL_CLOSING && !atomic_load(&u->windows->synced);
}

static bool is_gone(const struct window *w)
{
    return w->state >= INTERVAL_CLOSING && !w->entry;
}

bool upkeep_visit(struct upkeep *u, struct window *w, int64_t now_ms, struct topup_item *ret)
{
    struct windows_shard *shard = windows_shard_of(u->windows, w->cap->name);
    bool say = false;

    if (w->in_call)
        return false; /* looked at when the answer is there */
    if (now_ms < w->aside_ms) {
        attention_at(u->attention, w, w->aside_ms);
        return false;
    }
    waiting_retry(u->waiting, w->cap->name);
    const struct waiting_wish wish = waiting_wish(u->waiting, w->cap->name);

    (void)pthread_rwlock_wrlock(&shard->lock);
    settle(u, w, now_ms);
    const bool current = windows_current(w->cap, now_ms) == w;
    const enum upkeep_phase phase = upkeep_phase(w, current, now_ms);
    if (is_gone(w)) {
        attention_forget(u->attention, w);
        windows_remove(u->windows, shard, w);
    } else if (!is_waiting_for_watch(u, w)) {
        say = look(u, w, current ? &wish : &(struct waiting_wish){0}, phase, now_ms, ret);
        set_bells(w, now_ms);
        attention_at(u->attention, w, next_look(u, w, phase, now_ms));
        w->in_call = say;
    }
    (void)pthread_rwlock_unlock(&shard->lock);
    return say;
}

void upkeep_report(struct upkeep *u, struct window *w, bool leaving, struct topup_item *ret)
{
    struct windows_shard *shard = windows_shard_of(u->windows, w->cap->name);

    *ret = (struct topup_item){0};
    (void)pthread_rwlock_wrlock(&shard->lock);
    if (leaving)
        give_up(u, w);
    fill_item(w, ret);
    ret->report = slice_report(&w->slice, &w->entry->slot, RATE_UNKNOWN);
    ret->report.want = 0;
    atomic_store(&w->report, false);
    w->in_call = true;
    (void)pthread_rwlock_unlock(&shard->lock);
}

/* ---- an answer */

static void take_bounds(struct window *w, const struct topup_answer *a, int64_t measured_ms,
                        int64_t now_ms)
{
    if (!a->has_bounds || !w->announced || now_ms - measured_ms > QUICK_MS)
        return;
    if (w->bounds.opens_ms > now_ms)
        w->bounds.opens_ms = window_opens_ms(measured_ms, a->starts_in_ms);
    w->bounds.closes_ms = measured_ms + a->ends_in_ms;
}

/*
 * That a window is over stays true however long the answer took.  There is no
 * dead second: from now on clients are served from the one that follows it.
 */
static void take_end(const struct upkeep *u, struct window *w, const struct topup_answer *a,
                     int64_t now_ms)
{
    if (a->pool.state != POOL_CLOSED || !a->has_bounds || a->ends_in_ms > 0 || !w->announced)
        return;
    w->bounds.closes_ms = min_i64(w->bounds.closes_ms, now_ms);
    announce_open_successor(w, u->attention);
}

/* Nothing came of an ask: the next one later, and later each time. */
static void back_off(struct window *w, const struct pool_report *said, int64_t now_ms)
{
    w->vain_min = said->want_min > 0 ? said->want_min : UNITS_MAX; /* for stock: others may */
    w->backoff_ms = min_i64(max_i64(2 * w->backoff_ms, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
    w->ask_ms = now_ms + w->backoff_ms;
}

static void take_answer(struct upkeep *u, struct window *w, const struct topup_item *item,
                        const struct topup_answer *a, int64_t now_ms)
{
    const struct pool_report *said = &item->report;
    const int64_t units = slice_apply(&w->slice, &w->entry->slot, &a->pool);

    metric_inc(u->metrics->granted, units);
    w->in_call = false;
    w->aside_for_ms = 0;
    w->reported = (struct slot_counts){.granted = atomic_load(&w->entry->slot.granted),
                                       .returned = said->returned,
                                       .consumed = said->consumed,
                                       .refunded = said->refunded};
    w->reported_ms = now_ms;
    if (units > 0) {
        w->backoff_ms = 0;
        w->ask_ms = 0;
    } else if (said->want > 0) {
        back_off(w, said, now_ms);
    }
    if (a->pool.state == POOL_UNKNOWN) {
        w->vain_min = 0;
        w->ask_ms = now_ms + UNKNOWN_AGAIN_MS;
    }
    if (a->pool.state == POOL_FROZEN)
        log_event(LOG_ERROR, "slice.frozen", log_str("cap", w->cap->name),
                  log_i64("starts_at_ms", w->bounds.starts_at_ms));
    /* The watch has had news since we asked: what the pool said of dryness may be older. */
    if (w->news != item->news)
        slice_news(&w->slice);
}

void upkeep_apply(struct upkeep *u, const struct topup_item *item, const struct topup_answer *a,
                  int64_t measured_ms, int64_t now_ms)
{
    struct window *w = item->window;
    struct windows_shard *shard = windows_shard_of(u->windows, item->cap);

    (void)pthread_rwlock_wrlock(&shard->lock);
    take_answer(u, w, item, a, now_ms);
    take_bounds(w, a, measured_ms, now_ms);
    take_end(u, w, a, now_ms);
    /* Looked at once more in any case: to ask on, to hand back, or to be settled. */
    attention_ring(u->attention, w);
    (void)pthread_rwlock_unlock(&shard->lock);
    waiting_retry(u->waiting, item->cap);
}

void upkeep_failed(struct upkeep *u, const struct topup_item *item)
{
    struct windows_shard *shard = windows_shard_of(u->windows, item->cap);

    (void)pthread_rwlock_wrlock(&shard->lock);
    item->window->in_call = false;
    atomic_store(&item->window->report, true);
    attention_ring(u->attention, item->window);
    (void)pthread_rwlock_unlock(&shard->lock);
}

void upkeep_set_aside(struct upkeep *u, const struct topup_item *item, const struct err *why,
                      int64_t now_ms)
{
    struct window *w = item->window;

    w->aside_for_ms = min_i64(max_i64(2 * w->aside_for_ms, ASIDE_MIN_MS), ASIDE_MAX_MS);
    w->aside_ms = now_ms + w->aside_for_ms;
    log_event(LOG_ERROR, "topup.set_aside", log_str("cap", item->cap),
              log_i64("starts_at_ms", item->starts_at_ms), log_str("error", why->msg),
              log_i64("will_retry_in_ms", w->aside_for_ms));
    upkeep_failed(u, item);
}
