#include "services/volumecap-server/topper.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <utlist.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/prng.h"
#include "common/io/httpc.h"

#define VISITS_MAX 10000 /* in a row, before a call goes out or timers are looked at */
#define CALL_TIMEOUT_MS INT64_C(2000)
#define BACKOFF_MIN_MS INT64_C(50)
#define BACKOFF_MAX_MS INT64_C(500)
#define HEARTBEAT_MS INT64_C(3000)       /* a server that is silent for 10 s becomes suspect */
#define SILENCE_MS (HEARTBEAT_MS + 1000) /* longer than it is while all goes well */
#define BODY_MAX ((size_t)1 << 20)
#define REPLY_MAX (INT64_C(1) << 20)

struct topper {
    struct topper_config config;
    struct httpc *httpc;
    pthread_t thread;
    bool is_running;

    struct topup_item items[TOPUP_ITEMS_MAX];
    struct topup_answer answers[TOPUP_ITEMS_MAX];
    size_t count;
    size_t limit; /* of items a call; fewer while looking for one that local-svc cannot digest */
    struct buf body;
    struct httpc_reply reply;

    struct prng prng;
    int64_t backoff_ms; /* 0: the last call succeeded */
    int64_t pause_until_ms;
    int64_t heard_ms;       /* when the last call succeeded */
    bool is_telling;        /* the pool must be told all that is held here */
    bool must_greet;        /* the pool waits to hear that it was told all */
    struct window *leaving; /* at the end: where the next call goes on in the list of held ones */
};

/* ---- one call */

/* An answer of a pool that has gone back since is none: what it granted, nobody else knows of. */
static bool is_of_old_life(const struct topper *t, int64_t incarnation, struct err *e)
{
    return incarnation < t->config.sender.heard &&
           !err_set(e, ERR_UNAVAILABLE, "the answer is of an earlier life of the pool");
}

static bool call(struct topper *t, const char *path, int64_t timeout_ms, int64_t *ret_incarnation,
                 struct err *e)
{
    buf_clear(&t->body);
    topup_encode_request(&t->config.sender, t->items, t->count, &t->body);
    CHECK(!buf_failed(&t->body));

    const struct httpc_request req = {
        .method = "POST",
        .to = t->config.locals,
        .url = path,
        .body = buf_text(&t->body),
        .body_len = t->body.len,
        .timeout_ms = timeout_ms,
    };
    return httpc_call(t->httpc, &req, &t->reply, e) && httpc_expect_success(&t->reply, e) &&
           topup_decode_answer(&t->reply.body, t->items, t->count, t->answers, ret_incarnation,
                               e) &&
           !is_of_old_life(t, *ret_incarnation, e);
}

/*
 * After a long silence (a frozen process, a cut network) the pool may have
 * counted all that is held here as lost: each window has to speak up.
 */
static void speak_up(struct topper *t)
{
    struct window *w = NULL;

    DL_FOREACH2(t->config.upkeep.windows->held, w, held_next)
    {
        atomic_store(&w->report, true);
        attention_ring(t->config.upkeep.attention, w);
    }
}

/*
 * The pool's database went back, and may have forgotten what it granted: it must
 * hear of all that is held here, and grants nothing until it has.  Its windows may
 * be others, too.
 */
static void hear(struct topper *t, int64_t incarnation)
{
    struct topup_sender *sender = &t->config.sender;

    if (incarnation == sender->heard)
        return;
    log_event(LOG_INFO, "pool.incarnation", log_i64("heard", incarnation),
              log_i64("before", sender->heard));
    sender->heard = incarnation;
    sender->all_told = false;
    atomic_store(&t->config.upkeep.windows->outdated, true);
    t->is_telling = true;
}

static void apply_all(struct topper *t, int64_t sent_ms)
{
    const int64_t now_ms = clk_now_ms();

    if (now_ms - t->heard_ms >= SILENCE_MS)
        speak_up(t);
    for (size_t i = 0; i < t->count; i++)
        upkeep_apply(&t->config.upkeep, &t->items[i], &t->answers[i], sent_ms, now_ms);
    t->heard_ms = now_ms;
    t->limit = t->limit > TOPUP_ITEMS_MAX / 2 ? TOPUP_ITEMS_MAX : 2 * t->limit;
    t->backoff_ms = 0;
    upstream_ok(t->config.upstream);
}

static const char *outcome_of(bool ok, const struct err *e)
{
    return ok ? "ok" : err_name(e->kind);
}

static void refused(struct topper *t, const struct err *e)
{
    if (atomic_exchange(&t->config.upkeep.windows->refused, true))
        return;
    log_event(LOG_ERROR, "ledger.refused", log_str("incarnation", t->config.sender.incarnation),
              log_i64("generation", t->config.sender.generation), log_str("error", e->msg));
    t->config.refused(t->config.refused_arg, e);
}

/* Something in the call is wrong, or what became of it: what is well need not wait for that. */
static bool is_about_items(const struct err *e)
{
    return e->kind == ERR_INVALID || e->kind == ERR_INTERNAL;
}

static void back_off(struct topper *t)
{
    t->backoff_ms = min_i64(max_i64(2 * t->backoff_ms, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
    /* Half of it at least, all of it at most: servers must not come back in step. */
    t->pause_until_ms =
        clk_now_ms() + t->backoff_ms / 2 + prng_below(&t->prng, t->backoff_ms / 2 + 1);
}

/*
 * One item that local-svc cannot digest fails all of its call.  Calls of half
 * the size find it, and it is set aside; the others go on.
 */
static void failed(struct topper *t, const struct err *e)
{
    struct upkeep *u = &t->config.upkeep;

    upstream_failed(t->config.upstream, e);
    if (is_about_items(e) && t->count == 1)
        upkeep_set_aside(u, &t->items[0], e, clk_now_ms());
    else
        for (size_t i = 0; i < t->count; i++)
            upkeep_failed(u, &t->items[i]);
    if (is_about_items(e) && t->count > 1) {
        t->limit = t->count / 2;
        t->backoff_ms = 0; /* the next pause is the shortest */
    }
    back_off(t);
    if (e->kind == ERR_CONFLICT)
        refused(t, e);
}

static bool send_batch(struct topper *t, const char *path, int64_t timeout_ms)
{
    const struct server_metrics *m = t->config.upkeep.metrics;
    const int64_t sent_ms = clk_now_ms();
    struct err e = {0};

    metric_observed(m->batch_items, (int64_t)t->count);
    int64_t incarnation = 0;
    const bool ok = call(t, path, timeout_ms, &incarnation, &e);
    metric_add(metric_at(m->topups, outcome_of(ok, &e), NULL, NULL), 1);
    if (ok) {
        apply_all(t, sent_ms);
        t->must_greet = t->must_greet && !t->config.sender.all_told;
        hear(t, incarnation);
    } else {
        failed(t, &e);
    }
    t->count = 0;
    return ok;
}

/* ---- the thread */

static void gather(struct topper *t, int64_t now_ms)
{
    struct upkeep *u = &t->config.upkeep;

    for (int visits = 0; visits < VISITS_MAX && t->count < t->limit; visits++) {
        struct window *w = attention_next(u->attention, now_ms);
        if (!w)
            return;
        if (upkeep_visit(u, w, now_ms, &t->items[t->count]))
            t->count++;
    }
}

/* The next ones after those that were told; none is released meanwhile. */
static struct window *gather_all(struct topper *t, struct window *from, int64_t now_ms)
{
    struct window *w = from;

    for (; w && t->count < t->limit && now_ms >= w->aside_ms; w = w->held_next)
        upkeep_report(&t->config.upkeep, w, /* leaving= */ false, &t->items[t->count++]);
    return w;
}

/*
 * All that is held, in as many calls as it takes and no other one between them; from the
 * beginning another time if one fails, or a window is set aside, which must be told, too.
 * Then the pool hears that this was all.
 */
static void tell_all(struct topper *t)
{
    struct topup_sender *sender = &t->config.sender;
    const int64_t incarnation = sender->heard, now_ms = clk_now_ms();
    struct window *w = t->config.upkeep.windows->held;

    while (w) {
        w = gather_all(t, w, now_ms);
        if (t->count == 0 || !send_batch(t, "/topup", CALL_TIMEOUT_MS) ||
            sender->heard != incarnation)
            return;
    }
    t->is_telling = false;
    sender->all_told = true;
    t->must_greet = true;
}

static bool is_due(const struct topper *t, int64_t now_ms)
{
    return t->must_greet || now_ms - t->heard_ms >= HEARTBEAT_MS;
}

/*
 * Whoever holds units must be heard of, or the pool counts them as lost; and whoever does
 * not, in case the pool has forgotten.
 */
static void add_heartbeat(struct topper *t, int64_t now_ms)
{
    struct upkeep *u = &t->config.upkeep;
    struct window *w = u->windows->held;

    while (w && now_ms < w->aside_ms)
        w = w->held_next;
    if (t->count > 0 || !w || !is_due(t, now_ms))
        return;
    upkeep_report(u, w, /* leaving= */ false, &t->items[t->count++]);
}

static void show(const struct topper *t)
{
    const struct upkeep *u = &t->config.upkeep;
    const int64_t used = ledger_entries_used(u->windows->ledger);

    metric_set(u->metrics->slots_used, used);
    metric_set(u->metrics->slots_free, ledger_entries_max(u->windows->ledger) - used);
    metric_put(u->metrics->windows, atomic_load(&u->windows->count));
}

static void tick(struct topper *t)
{
    const int64_t now_ms = clk_now_ms();

    if (t->is_telling)
        tell_all(t);
    gather(t, now_ms);
    add_heartbeat(t, now_ms);
    if (t->count > 0 || is_due(t, now_ms))
        (void)send_batch(t, "/topup", CALL_TIMEOUT_MS);
    show(t);
}

/* Deaf while local-svc is not to be bothered: what rings meanwhile is gathered afterwards. */
static void rest(struct topper *t)
{
    const struct windows *windows = t->config.upkeep.windows;
    struct attention *a = t->config.upkeep.attention;
    const int64_t now_ms = clk_now_ms();

    if (atomic_load(&windows->refused))
        attention_wait(a, NEVER_MS, /* deaf= */ true);
    else if (t->backoff_ms > 0)
        attention_wait(a, t->pause_until_ms, /* deaf= */ true);
    else if (t->is_telling || t->must_greet)
        attention_wait(a, now_ms + BACKOFF_MIN_MS, /* deaf= */ false);
    else
        attention_wait(a, windows->held ? t->heard_ms + HEARTBEAT_MS : now_ms + HEARTBEAT_MS,
                       /* deaf= */ false);
}

static void *run(void *arg)
{
    struct topper *t = arg;

    while (!attention_is_stopped(t->config.upkeep.attention)) {
        if (!atomic_load(&t->config.upkeep.windows->refused))
            tick(t);
        rest(t);
    }
    return NULL;
}

/* ---- the end */

/* After a call whose outcome is unknown, the pool may have granted more than is known here. */
static bool is_handed_back(const struct window *w)
{
    const struct slot_counts counts = slot_counts(&w->entry->slot);

    return !atomic_load(&w->report) && slot_rest(&w->entry->slot) == 0 &&
           counts.returned == w->reported.returned && counts.consumed == w->reported.consumed &&
           counts.refunded == w->reported.refunded;
}

static void gather_to_end(struct topper *t)
{
    struct upkeep *u = &t->config.upkeep;
    struct window *w = t->leaving ? t->leaving : u->windows->held;
    const int64_t now_ms = clk_now_ms();

    for (; w && t->count < t->limit; w = w->held_next)
        if (!is_handed_back(w) && now_ms >= w->aside_ms)
            upkeep_report(u, w, /* leaving= */ true, &t->items[t->count++]);
    t->leaving = w;
}

/*
 * The held windows that the pool does not know to be empty, as many as go into
 * one call; from the beginning again once all had their turn.
 */
static void gather_leaving(struct topper *t)
{
    gather_to_end(t);
    if (t->count == 0)
        gather_to_end(t);
}

static int64_t count_open(const struct topper *t, int64_t *ret_confirmed)
{
    struct window *w = NULL;
    int64_t open = 0;

    *ret_confirmed = 0;
    DL_FOREACH2(t->config.upkeep.windows->held, w, held_next)
    {
        if (is_handed_back(w))
            (*ret_confirmed)++;
        else
            open++;
    }
    return open;
}

static bool renew_client(struct topper *t, struct err *e)
{
    struct httpc *fresh = NULL;

    if (!httpc_new(REPLY_MAX, &fresh, e))
        return false;
    (void)httpc_free(t->httpc);
    t->httpc = fresh;
    return true;
}

static void sleep_ms(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&pause, NULL);
}

/* While the pool is in doubt it waits for our last word, too. */
static bool must_tell(const struct topper *t)
{
    return t->is_telling || t->must_greet;
}

int64_t topper_return_all(struct topper *t, int64_t budget_ms, int64_t *ret_open)
{
    const int64_t deadline_ms = clk_now_ms() + budget_ms;
    int64_t confirmed = 0, left_ms = 0;
    struct err e;

    /* The old client was cancelled, to break off its last call. */
    bool may_call = !atomic_load(&t->config.upkeep.windows->refused) && renew_client(t, &e);
    while (may_call && (left_ms = deadline_ms - clk_now_ms()) > 0) {
        gather_leaving(t);
        if (t->count == 0 && !must_tell(t))
            break;
        if (t->count == 0)
            tell_all(t);
        if (t->count == 0 && t->is_telling)
            sleep_ms(BACKOFF_MIN_MS);
        else if (!send_batch(t, "/return", min_i64(CALL_TIMEOUT_MS, left_ms)))
            sleep_ms(min_i64(t->backoff_ms, max_i64(deadline_ms - clk_now_ms(), 0)));
        may_call = !atomic_load(&t->config.upkeep.windows->refused);
    }
    *ret_open = count_open(t, &confirmed);
    return confirmed;
}

/* ---- life */

bool topper_start(const struct topper_config *config, struct topper **ret, struct err *e)
{
    auto_topper struct topper *t = calloc(1, sizeof(*t));

    if (!t)
        return err_set(e, ERR_INTERNAL, "out of memory");
    t->config = *config;
    t->limit = TOPUP_ITEMS_MAX;
    t->body = BUF_INIT(BODY_MAX);
    t->prng.state = prng_entropy();
    t->heard_ms = clk_now_ms();
    if (!httpc_new(REPLY_MAX, &t->httpc, e))
        return false;
    CHECK(pthread_create(&t->thread, NULL, run, t) == 0);
    t->is_running = true;
    *ret = TAKE(t);
    return true;
}

void topper_stop(struct topper *t)
{
    if (!t->is_running)
        return;
    attention_stop(t->config.upkeep.attention);
    httpc_cancel(t->httpc);
    (void)pthread_join(t->thread, NULL);
    t->is_running = false;
}

struct topper *topper_free(struct topper *t)
{
    if (!t)
        return NULL;
    topper_stop(t);
    (void)httpc_free(t->httpc);
    buf_done(&t->body);
    buf_done(&t->reply.body);
    free(t);
    return NULL;
}
