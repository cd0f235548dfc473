#include "services/volumecap-server/waiting.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/num.h"
#include "common/base/wait.h"

/*
 * A cap that was defined a moment ago may be on its way.  But ids are free text: those who make
 * them up must leave room for the others.
 */
#define UNKNOWN_SHARE 10

/* How long a stopping server lets clients wait at most. */
#define DRAIN_MS 1000

struct waiting_call;
struct waiting_line;

struct waiting_item {
    struct waiting_call *call;
    struct consume_item *item;
    struct waiting_line *line; /* NULL: decided */
    bool is_unknown;           /* when it came, there was no such cap */
    struct waiting_item *prev, *next;
};

/* Those who wait for one cap. */
struct waiting_line {
    char cap[NAME_SIZE];
    struct waiting_item *items;
    int64_t wanted;
    UT_hash_handle hh;
};

struct waiting_call {
    struct httpd_call *http;
    struct consume consume;
    struct waiting_item *items;
    size_t open; /* items not decided */
    int64_t deadline_ms;
    struct waiting_call *prev, *next;
};

struct waiting {
    struct waiting_config config;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;

    /* Guarded by lock. */
    struct waiting_call *calls; /* by deadline, which is the order they came in */
    struct waiting_line *lines; /* a map by cap */
    int64_t unknown;            /* items that came for caps that there were not */
    int64_t unanswered;         /* calls, those that are being answered included */
    bool draining, stopped;
    int64_t drained_ms; /* when the last one is answered, if draining */

    _Atomic int64_t count; /* items that wait */
};

/* ---- one item */

static struct waiting_line *find_line(struct waiting *w, const char *cap)
{
    struct waiting_line *line = NULL;

    HASH_FIND_BYHASHVALUE(hh, w->lines, cap, strlen(cap), (unsigned)hash_text(cap), line);
    return line;
}

static struct waiting_line *make_line(struct waiting *w, const char *cap)
{
    struct waiting_line *line = find_line(w, cap);

    if (line)
        return line;
    line = calloc(1, sizeof(*line));
    if (!line)
        return NULL;
    memcpy(line->cap, cap, strlen(cap) + 1);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, w->lines, line->cap, strlen(cap), (unsigned)hash_text(cap),
                                line);
    return line;
}

static void drop_line(struct waiting *w, struct waiting_line *line)
{
    HASH_DEL(w->lines, line);
    free(line);
}

/* What an item adds to its line; clamped, so that absurd amounts cannot overflow the sum. */
static int64_t wish_of(const struct waiting_item *i)
{
    return min_i64(i->item->ask.amount, INT64_C(1) << 40);
}

static void enter_line(struct waiting *w, struct waiting_line *line, struct waiting_item *i)
{
    i->line = line;
    DL_APPEND(line->items, i);
    line->wanted += wish_of(i);
    i->call->open++;
    w->unknown += i->is_unknown;
    metric_put(w->config.metrics->waiting, atomic_fetch_add(&w->count, 1) + 1);
}

static void leave_line(struct waiting *w, struct waiting_item *i)
{
    struct waiting_line *line = i->line;

    DL_DELETE(line->items, i);
    line->wanted -= wish_of(i);
    i->line = NULL;
    i->call->open--;
    w->unknown -= i->is_unknown;
    metric_put(w->config.metrics->waiting, atomic_fetch_sub(&w->count, 1) - 1);
    if (!line->items)
        drop_line(w, line);
}

static void try_item(struct waiting *w, struct waiting_item *i, int64_t now_ms)
{
    i->item->outcome = spend_consume(&w->config.spender, &i->item->ask, /* again= */ true, now_ms);
    if (!i->item->outcome.may_wait)
        leave_line(w, i);
}

/* ---- one call */

static void free_call(struct waiting_call *call)
{
    consume_done(&call->consume);
    free(call->items);
    free(call);
}

/* Without the lock: answering takes a while. */
static void answer(struct waiting *w, struct waiting_call *decided)
{
    struct waiting_call *call = NULL, *next = NULL;
    int64_t count = 0;

    DL_FOREACH_SAFE(decided, call, next)
    {
        struct httpd_reply reply = {0};
        consume_reply(&call->consume, w->config.metrics, &reply);
        httpd_complete(call->http, &reply, NULL);
        free_call(call);
        count++;
    }
    if (count == 0)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->unanswered -= count;
    (void)pthread_cond_broadcast(&w->cond);
    (void)pthread_mutex_unlock(&w->lock);
}

/* Moves the call to `decided` if nothing of it is open. */
static void settle(struct waiting *w, struct waiting_call *call, struct waiting_call **decided)
{
    if (call->open > 0)
        return;
    DL_DELETE(w->calls, call);
    DL_APPEND(*decided, call);
}

static struct waiting_call *new_call(const struct consume *c, int64_t now_ms, int64_t wait_ms)
{
    struct waiting_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->items = calloc(c->count, sizeof(*call->items));
    if (!call->items) {
        free(call);
        return NULL;
    }
    call->deadline_ms = now_ms + wait_ms;
    return call;
}

/* Moves the consume: the items of a batch stay where they are, a single one is in the struct. */
static void take_consume(struct waiting_call *call, struct consume *c)
{
    call->consume = *c;
    if (!c->batch)
        call->consume.items = &call->consume.only;
    c->batch = false;
    c->items = NULL;
    c->count = 0;
}

static bool may_enter(const struct waiting *w, const struct waiting_item *i)
{
    if (!i->item->outcome.may_wait)
        return false;
    return !i->is_unknown || w->unknown < w->config.items_max / UNKNOWN_SHARE;
}

/*
 * Each item is tried once more, now that it is in line: an answer that came
 * between its first try and now has not seen it there.
 */
static void enter(struct waiting *w, struct waiting_call *call, int64_t now_ms)
{
    for (size_t i = 0; i < call->consume.count; i++) {
        struct waiting_item *item = &call->items[i];
        struct consume_item *consume = &call->consume.items[i];
        struct waiting_line *line = NULL;

        *item = (struct waiting_item){
            .call = call,
            .item = consume,
            .is_unknown = consume->outcome.verdict == SLICE_UNKNOWN,
        };
        if (may_enter(w, item))
            line = make_line(w, consume->ask.cap);
        if (!line)
            continue;
        enter_line(w, line, item);
        try_item(w, item, now_ms);
    }
}

static bool has_room(const struct waiting *w, const struct consume *c)
{
    return !w->draining && atomic_load(&w->count) + (int64_t)c->count <= w->config.items_max;
}

static void ring_all(struct waiting *w, const struct consume *c, int64_t now_ms)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].outcome.may_wait)
            spend_ring(&w->config.spender, c->items[i].ask.cap, now_ms);
}

bool waiting_add(struct waiting *w, const struct httpd_request *req, struct consume *c)
{
    const int64_t now_ms = clk_now_ms();
    struct waiting_call *decided = NULL;

    (void)pthread_mutex_lock(&w->lock);
    struct waiting_call *call = has_room(w, c) ? new_call(c, now_ms, w->config.wait_ms) : NULL;
    if (call) {
        if (!w->calls)
            (void)pthread_cond_broadcast(&w->cond);
        DL_APPEND(w->calls, call);
        w->unanswered++;
        call->http = httpd_defer(req);
        take_consume(call, c);
        enter(w, call, now_ms);
        ring_all(w, &call->consume, now_ms);
        settle(w, call, &decided);
    }
    (void)pthread_mutex_unlock(&w->lock);
    answer(w, decided);
    return call != NULL;
}

/* ---- trying again */

static void retry_line(struct waiting *w, const char *cap, struct waiting_call **decided)
{
    const int64_t now_ms = clk_now_ms();
    struct waiting_line *line = find_line(w, cap);
    struct waiting_item *item = NULL, *next = NULL;

    if (!line)
        return;
    DL_FOREACH_SAFE(line->items, item, next)
    {
        struct waiting_call *call = item->call;
        try_item(w, item, now_ms);
        settle(w, call, decided);
    }
}

void waiting_retry(struct waiting *w, const char *cap)
{
    struct waiting_call *decided = NULL;

    if (atomic_load(&w->count) == 0)
        return;
    (void)pthread_mutex_lock(&w->lock);
    retry_line(w, cap, &decided);
    (void)pthread_mutex_unlock(&w->lock);
    answer(w, decided);
}

static int64_t least_of(const struct waiting_line *line)
{
    const struct waiting_item *i = NULL;
    int64_t least = INT64_MAX;

    DL_FOREACH(line->items, i)
    {
        least = min_i64(least, spend_needed(&i->item->ask));
    }
    return least;
}

struct waiting_wish waiting_wish(struct waiting *w, const char *cap)
{
    struct waiting_wish wish = {0};

    if (atomic_load(&w->count) == 0)
        return wish;
    (void)pthread_mutex_lock(&w->lock);
    const struct waiting_line *line = find_line(w, cap);
    if (line)
        wish = (struct waiting_wish){.units = line->wanted, .least = least_of(line)};
    (void)pthread_mutex_unlock(&w->lock);
    return wish;
}

/* ---- deadlines */

/* A last try; whatever comes of it is the answer. */
static void expire(struct waiting *w, struct waiting_call *call, struct waiting_call **decided)
{
    const int64_t now_ms = clk_now_ms();

    for (size_t i = 0; i < call->consume.count; i++) {
        if (!call->items[i].line)
            continue;
        try_item(w, &call->items[i], now_ms);
        if (call->items[i].line)
            leave_line(w, &call->items[i]);
    }
    settle(w, call, decided);
}

static int64_t deadline_of(const struct waiting *w, const struct waiting_call *call)
{
    return w->draining ? min_i64(call->deadline_ms, w->drained_ms) : call->deadline_ms;
}

/* Returns when the next call is due; NEVER_MS: nobody waits. */
static int64_t expire_due(struct waiting *w, struct waiting_call **decided)
{
    while (w->calls) {
        int64_t deadline_ms = deadline_of(w, w->calls);
        if (deadline_ms > clk_now_ms())
            return deadline_ms;
        expire(w, w->calls, decided);
    }
    return NEVER_MS;
}

static void sleep_until(struct waiting *w, int64_t until_ms)
{
    (void)wait_until(&w->cond, &w->lock, wait_deadline(until_ms - clk_now_ms()));
}

static void *run(void *arg)
{
    struct waiting *w = arg;

    (void)pthread_mutex_lock(&w->lock);
    while (!w->stopped || w->calls) {
        struct waiting_call *decided = NULL;
        int64_t due_ms = expire_due(w, &decided);
        if (decided) {
            (void)pthread_mutex_unlock(&w->lock);
            answer(w, decided);
            (void)pthread_mutex_lock(&w->lock);
            continue; /* more may have become due, or we were stopped */
        }
        if (!w->stopped || w->calls)
            sleep_until(w, due_ms);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- life */

bool waiting_start(const struct waiting_config *config, struct waiting **ret, struct err *e)
{
    struct waiting *w = calloc(1, sizeof(*w));

    if (!w)
        return err_set(e, ERR_INTERNAL, "out of memory");
    w->config = *config;
    CHECK(pthread_mutex_init(&w->lock, NULL) == 0);
    wait_init(&w->cond);
    CHECK(pthread_create(&w->thread, NULL, run, w) == 0);
    *ret = w;
    return true;
}

void waiting_drain(struct waiting *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->draining = true;
    w->drained_ms = clk_now_ms() + DRAIN_MS;
    (void)pthread_cond_broadcast(&w->cond);
    while (w->unanswered > 0)
        (void)pthread_cond_wait(&w->cond, &w->lock);
    (void)pthread_mutex_unlock(&w->lock);
}

struct waiting *waiting_stop(struct waiting *w)
{
    if (!w)
        return NULL;
    waiting_drain(w);
    (void)pthread_mutex_lock(&w->lock);
    w->stopped = true;
    (void)pthread_cond_broadcast(&w->cond);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    (void)pthread_cond_destroy(&w->cond);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}
