/*
 * A server's windows while clients spend, refund and look, the watch opens and
 * closes them and the topper tells the pool: in the end the pool has heard of
 * every unit that a client was given, of windows long gone too, and no more.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/num.h"
#include "services/volumecap-server/announce.h"
#include "services/volumecap-server/spend.h"
#include "services/volumecap-server/upkeep.h"
#include "tests/race/race.h"

#define CLIENTS 3
#define CAPS 4
#define WINDOWS_MAX 500 /* of one cap, one after the other */
#define TOTAL INT64_C(2000)
#define LENGTH_MS INT64_C(1000) /* by the calendar; how long they last, the watch says */
#define LASTS_MS INT64_C(60000)
#define ENTRIES 256

/* One window of one cap, as the pool knows it and as the clients do. */
struct account {
    struct pool pool;
    struct pool_slice slice;
    _Atomic int64_t consumed, refunded;
};

struct world {
    struct windows *windows;
    struct attention *attention;
    struct waiting *waiting;
    struct server_metrics metrics;
    struct spender spender;
    struct announcer announcer; /* the watch's */
    struct upkeep upkeep;       /* the topper's */
    pthread_mutex_t mutex;
    struct account accounts[CAPS][WINDOWS_MAX]; /* pool and slice: guarded by mutex */
    int open[CAPS];                             /* the watch's: which of the windows */
    int64_t removed;                            /* the topper's */
};

static void name_cap(int cap, char ret[NAME_SIZE])
{
    (void)snprintf(ret, NAME_SIZE, "cap-%d", cap);
}

static struct account *account_of(struct world *w, const char *cap, int64_t starts_at_ms)
{
    const int index = cap[4] - '0';

    CHECK(index >= 0 && index < CAPS && starts_at_ms / LENGTH_MS < WINDOWS_MAX);
    return &w->accounts[index][starts_at_ms / LENGTH_MS];
}

/* ---- clients */

static void refund(struct world *w, struct race_thread *t, const struct spend_ask *consumed,
                   const struct spend_window *window)
{
    struct refund_ask ask = {.amount = 1 + prng_below(&t->prng, 3),
                             .has_starts_at = prng_below(&t->prng, 2),
                             .starts_at_ms = window->starts_at_ms};

    memcpy(ask.cap, consumed->cap, sizeof(ask.cap));
    const struct refund done = spend_refund(&w->spender, &ask, clk_now_ms());
    if (done.verdict == REFUND_DONE)
        atomic_fetch_add(&account_of(w, ask.cap, done.starts_at_ms)->refunded, ask.amount);
}

static void client(struct race_thread *t)
{
    struct world *w = t->arg;
    struct spend_ask ask = {.amount = 1 + prng_below(&t->prng, 5),
                            .mode = (int)prng_below(&t->prng, CONSUME_CHECK + 1)};
    struct spend_view views[SPEND_VIEWS_MAX];

    name_cap((int)prng_below(&t->prng, CAPS), ask.cap);
    const struct spend spent = spend_consume(&w->spender, &ask, /* again= */ false, clk_now_ms());
    CHECK(spent.verdict != SLICE_UNKNOWN);
    if (spent.verdict == SLICE_GRANTED && ask.mode != CONSUME_CHECK)
        atomic_fetch_add(&account_of(w, ask.cap, spent.window.starts_at_ms)->consumed, spent.units);
    if (spent.verdict == SLICE_GRANTED && prng_below(&t->prng, 3) == 0)
        refund(w, t, &ask, &spent.window);
    if (prng_below(&t->prng, 10) == 0)
        CHECK(spend_look(&w->spender, ask.cap, clk_now_ms(), views) > 0);
}

/* ---- the watch */

static void tell(struct world *w, int cap, int window, enum interval_state state)
{
    const bool over = state == INTERVAL_CLOSED;
    struct announcement row = {.starts_at_ms = window * LENGTH_MS,
                               .ends_at_ms = (window + 1) * LENGTH_MS,
                               .starts_in_ms = -1,
                               .ends_in_ms = over ? 0 : LASTS_MS,
                               .state = (int)state,
                               .total = TOTAL,
                               .autonomy_ms = 10000,
                               .recall = window % 3 == 0};

    name_cap(cap, row.cap);
    w->announcer.measured_ms = clk_now_ms();
    CHECK(announce(&w->announcer, &row));
}

static void open_pool(struct world *w, int cap, int window)
{
    pthread_mutex_lock(&w->mutex);
    w->accounts[cap][window].pool = (struct pool){.home = true,
                                                  .requested = TOTAL,
                                                  .requested_max = TOTAL,
                                                  .minted = TOTAL,
                                                  .topup_ppm = 100000,
                                                  .slice_max_ppm = 50000,
                                                  .autonomy_ms = 10000,
                                                  .accepts = true};
    pthread_mutex_unlock(&w->mutex);
}

static void close_pool(struct world *w, int cap, int window)
{
    pthread_mutex_lock(&w->mutex);
    w->accounts[cap][window].pool.accepts = false;
    pthread_mutex_unlock(&w->mutex);
}

/* The next window is announced before the one before it is over: a cap is never without. */
static void advance(struct world *w, int cap)
{
    const int over = w->open[cap];

    if (over + 1 == WINDOWS_MAX)
        return;
    w->open[cap]++;
    open_pool(w, cap, over + 1);
    tell(w, cap, over + 1, INTERVAL_OPEN);
    close_pool(w, cap, over);
    tell(w, cap, over, INTERVAL_CLOSED);
}

static void tell_all(struct world *w)
{
    w->announcer.snapshot++;
    for (int cap = 0; cap < CAPS; cap++)
        tell(w, cap, w->open[cap], INTERVAL_OPEN);
    announce_snapshot_end(&w->announcer);
}

static void watch(struct race_thread *t)
{
    struct world *w = t->arg;

    if (prng_below(&t->prng, 10) == 0)
        tell_all(w);
    else
        advance(w, (int)prng_below(&t->prng, CAPS));
    (void)usleep(2000);
}

/* ---- the topper, and the pool behind it */

static struct topup_answer ask_pool(struct world *w, const struct topup_item *item)
{
    const struct pool_context context = {.active_servers = 1, .now_ms = clk_now_ms()};
    struct account *a = account_of(w, item->cap, item->starts_at_ms);

    pthread_mutex_lock(&w->mutex);
    const struct pool_topup done = pool_topup(&a->pool, &a->slice, &item->report, &context);
    a->pool = done.pool;
    a->slice = done.slice;
    pthread_mutex_unlock(&w->mutex);
    CHECK(pool_is_sound(&done.pool) && !done.slice.frozen);
    return (struct topup_answer){.pool = done.answer};
}

/* A call may fail before the pool has heard of it, or after. */
static void call(struct world *w, struct race_thread *t, const struct topup_item *item)
{
    const int64_t sent_ms = clk_now_ms(), luck = prng_below(&t->prng, 10);
    struct topup_answer a;

    if (luck > 0)
        a = ask_pool(w, item);
    if (luck > 1)
        upkeep_apply(&w->upkeep, item, &a, sent_ms, clk_now_ms());
    else
        upkeep_failed(&w->upkeep, item);
}

static void topper(struct race_thread *t)
{
    struct world *w = t->arg;
    struct topup_item items[4];
    size_t count = 0;
    const int64_t known = atomic_load(&w->windows->count);

    for (int visits = 0; visits < 8 && count < 4; visits++) {
        struct window *window = attention_next(w->attention, clk_now_ms());
        if (!window)
            break;
        count += upkeep_visit(&w->upkeep, window, clk_now_ms(), &items[count]);
    }
    w->removed += atomic_load(&w->windows->count) < known;
    for (size_t i = 0; i < count; i++)
        call(w, t, &items[i]);
    if (count == 0)
        attention_wait(w->attention, clk_now_ms() + 5, /* deaf= */ false);
}

/* ---- the race */

static struct ledger *open_ledger(struct world *w)
{
    struct ledger *l = NULL;
    char path[] = "/tmp/race-windows-XXXXXX";
    const int fd = mkstemp(path);
    struct err e = {0};

    CHECK(fd >= 0 && close(fd) == 0);
    CHECK(ledger_open(path, "front-1", ENTRIES, &l, &e) && windows_new(l, &w->windows, &e));
    CHECK(unlink(path) == 0);
    return l;
}

static void start(struct world *w, struct metrics *registry)
{
    struct err e = {0};

    CHECK(registry && pthread_mutex_init(&w->mutex, NULL) == 0);
    server_metrics_init(&w->metrics, registry);
    w->attention = attention_new();
    CHECK(w->attention);
    w->spender = (struct spender){.windows = w->windows, .attention = w->attention};
    const struct waiting_config config = {
        .spender = w->spender, .metrics = &w->metrics, .wait_ms = 10, .items_max = 10};
    CHECK(waiting_start(&config, &w->waiting, &e));
    w->announcer = (struct announcer){.windows = w->windows, .attention = w->attention};
    w->upkeep = (struct upkeep){.windows = w->windows,
                                .attention = w->attention,
                                .waiting = w->waiting,
                                .metrics = &w->metrics,
                                .report_ms = 20};
    for (int cap = 0; cap < CAPS; cap++)
        open_pool(w, cap, 0);
    tell_all(w);
}

static void stop(struct world *w)
{
    waiting_stop(w->waiting);
    attention_free(w->attention);
    windows_free(w->windows);
    pthread_mutex_destroy(&w->mutex);
}

static void report_held(struct world *w)
{
    struct window *next = NULL;
    struct topup_item item;

    for (struct window *window = w->windows->held; window; window = next) {
        next = window->held_next; /* the window may be settled, and leave the list */
        upkeep_report(&w->upkeep, window, /* leaving= */ true, &item);
        const struct topup_answer a = ask_pool(w, &item);
        upkeep_apply(&w->upkeep, &item, &a, clk_now_ms(), clk_now_ms());
    }
}

/*
 * As a server that leaves: everything is handed back and said.  The first
 * answer may bring units that were granted in a call that failed.
 */
static void leave(struct world *w)
{
    report_held(w);
    report_held(w);
    for (const struct window *window = w->windows->held; window; window = window->held_next)
        CHECK(window_rest(window) == 0);
}

static void check_accounts(const struct world *w)
{
    int64_t consumed = 0;

    for (int cap = 0; cap < CAPS; cap++) {
        for (int i = 0; i <= w->open[cap]; i++) {
            const struct account *a = &w->accounts[cap][i];
            CHECK(a->slice.consumed == atomic_load(&a->consumed));
            CHECK(a->slice.refunded == atomic_load(&a->refunded));
            CHECK(a->slice.consumed - a->slice.refunded <= TOTAL &&
                  pool_slice_rest(&a->slice) == 0);
            consumed += a->slice.consumed;
        }
    }
    CHECK(consumed > 0 && w->removed > 0);
}

int main(void)
{
    static struct world w; /* too large for the stack */
    struct metrics *registry = metrics_new();
    struct ledger *ledger = open_ledger(&w);

    start(&w, registry);
    RACE_RUN({client, CLIENTS, &w, false}, {watch, 1, &w, false}, {topper, 1, &w, false});
    leave(&w);
    check_accounts(&w);
    stop(&w);
    ledger_close(ledger);
    metrics_free(registry);
    return 0;
}
