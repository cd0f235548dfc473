#include "tests/harness/fake_local.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/num.h"
#include "common/base/prng.h"
#include "common/domain/cap.h"
#include "common/domain/interval.h"
#include "common/io/httpd.h"
#include "common/io/js.h"
#include "tests/harness/stand_in.h"

#define WINDOWS_MAX 64
#define SLICES_MAX 16
#define WATCHERS_MAX 16
#define WAIT_MAX_MS 200 /* shorter than what is asked for, so that tests end soon */

struct slice_row {
    char incarnation[UUID_SIZE];
    struct pool_slice slice;
};

struct window_row {
    char cap[NAME_SIZE];
    int64_t starts_at_ms, ends_at_ms;
    int64_t opens_ms, closes_ms; /* on the monotonic clock */
    int state;
    bool recall, purged;
    int64_t revision;
    struct pool pool;
    struct slice_row slices[SLICES_MAX];
    size_t slices_count;
};

struct watch_call {
    struct httpd_call *call; /* NULL: free */
    int64_t since, until_ms;
};

struct fake_local {
    struct stand_in server;
    pthread_t ticker;
    pthread_mutex_t lock; /* guards all below */
    bool stopped;
    struct window_row windows[WINDOWS_MAX];
    size_t count;
    int64_t revision;
    struct watch_call watchers[WATCHERS_MAX];
    int status, watch_status;
    bool lose;
    char chokes_on[NAME_SIZE];
    int64_t topups, returns;
    int64_t incarnation, told_in;
};

static void lock(struct fake_local *f)
{
    (void)pthread_mutex_lock(&f->lock);
}

static void unlock(struct fake_local *f)
{
    (void)pthread_mutex_unlock(&f->lock);
}

static struct window_row *find(struct fake_local *f, const char *cap, int64_t starts_at_ms)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->windows[i].cap, cap) == 0 && f->windows[i].starts_at_ms == starts_at_ms)
            return &f->windows[i];
    return NULL;
}

/* ---- topup */

struct item {
    char cap[NAME_SIZE];
    int64_t starts_at_ms;
    struct pool_report report;
};

struct request {
    char server[NAME_SIZE];
    char incarnation[UUID_SIZE], process[UUID_SIZE];
    int64_t generation, heard;
    bool all_told;
    const cJSON *items;
};

/* clang-format off */
static const struct js_field request_fields[] = {
    {.name = "server", .kind = JS_NAME, .offset = offsetof(struct request, server)},
    {.name = "incarnation", .kind = JS_TEXT, .offset = offsetof(struct request, incarnation), .min = 36, .max = 36},
    {.name = "generation", .kind = JS_I64, .offset = offsetof(struct request, generation), .min = 1, .max = UNITS_MAX},
    {.name = "process", .kind = JS_TEXT, .offset = offsetof(struct request, process), .min = 36, .max = 36},
    {.name = "heard", .kind = JS_I64, .offset = offsetof(struct request, heard), .max = UNITS_MAX},
    {.name = "all_told", .kind = JS_BOOL, .offset = offsetof(struct request, all_told)},
    {.name = "items", .kind = JS_ARRAY, .offset = offsetof(struct request, items), .max = 1000},
};
#define UNITS(text, member) \
    {.name = text, .kind = JS_I64, .offset = offsetof(struct item, report.member), .min = 0, .max = UNITS_MAX}
static const struct js_field item_fields[] = {
    {.name = "cap", .kind = JS_NAME, .offset = offsetof(struct item, cap)},
    {.name = "starts_at", .kind = JS_TIME, .offset = offsetof(struct item, starts_at_ms)},
    UNITS("granted_known", granted_known), UNITS("returned", returned),
    UNITS("consumed", consumed), UNITS("refunded", refunded), UNITS("want", want),
    {.name = "want_min", .kind = JS_I64, .offset = offsetof(struct item, report.want_min), .min = 0, .max = UNITS_MAX, .optional = true},
    {.name = "rate_milli", .kind = JS_I64, .offset = offsetof(struct item, report.rate_milli), .min = 0, .max = UNITS_MAX, .optional = true},
};
/* clang-format on */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pool_slice *slice_of(struct window_row *row, const char *incarnation)
{
    for (size_t i = 0; i < row->slices_count; i++)
        if (strcmp(row->slices[i].incarnation, incarnation) == 0)
            return &row->slices[i].slice;
    CHECK(row->slices_count < SLICES_MAX);
    struct slice_row *fresh = &row->slices[row->slices_count++];
    (void)snprintf(fresh->incarnation, sizeof(fresh->incarnation), "%s", incarnation);
    return &fresh->slice;
}

static struct pool_answer decide(struct fake_local *f, struct window_row *row,
                                 const char *incarnation, const struct item *item)
{
    const struct pool_context ctx = {.active_servers = max_i64(1, (int64_t)row->slices_count),
                                     .now_ms = clk_now_ms()};
    struct pool_slice *slice = slice_of(row, incarnation);

    row->pool.accepts = !row->pool.paused && row->state <= INTERVAL_OPEN;
    struct pool_topup t = pool_topup(&row->pool, slice, &item->report, &ctx);
    row->pool = t.pool;
    *slice = t.slice;
    if (t.news != POOL_NO_NEWS) {
        row->recall = t.news == POOL_NEWS_RECALL;
        row->revision = ++f->revision;
    }
    return t.answer;
}

static void write_answer(struct js_writer *w, const struct item *item, const struct window_row *row,
                         const struct pool_answer *a)
{
    const int64_t now_ms = clk_now_ms();

    js_object(w, NULL);
    js_text(w, "cap", item->cap);
    js_time(w, "starts_at", item->starts_at_ms);
    js_i64(w, "granted", a->granted);
    if (a->keep == UNITS_MAX)
        js_null(w, "keep");
    else
        js_i64(w, "keep", a->keep);
    js_i64(w, "left", a->left);
    js_text(w, "state", pool_state_names[a->state]);
    js_i64(w, "starts_in_ms", row ? row->opens_ms - now_ms : 0);
    js_i64(w, "ends_in_ms", row ? row->closes_ms - now_ms : 0);
    js_object_end(w);
}

static bool fail_with(int status, struct err *e)
{
    return err_set(e, err_kind_of_status(status), "as the test wants it");
}

static bool answer_item(struct fake_local *f, const char *incarnation, const cJSON *j,
                        struct js_writer *w, struct err *e)
{
    struct item item = {.report.rate_milli = -1};
    struct pool_answer answer = {.state = POOL_UNKNOWN};

    if (!js_decode(j, "/items", item_fields, COUNT(item_fields), &item, e))
        return false;
    if (strcmp(item.cap, f->chokes_on) == 0)
        return fail_with(500, e);
    struct window_row *row = find(f, item.cap, item.starts_at_ms);
    if (row && !row->purged)
        answer = decide(f, row, incarnation, &item);
    write_answer(w, &item, row, &answer);
    return true;
}

static bool carry_out(struct fake_local *f, const struct httpd_request *req,
                      struct httpd_reply *reply, struct err *e)
{
    auto_js cJSON *body = NULL;
    struct request request = {0};
    const cJSON *j = NULL;
    struct js_writer w = {.out = &reply->body};

    if (!js_parse(req->body, req->body_len, &body, e) ||
        !js_decode(body, "", request_fields, COUNT(request_fields), &request, e))
        return false;
    if (request.all_told)
        f->told_in = request.heard;
    js_object(&w, NULL);
    js_i64(&w, "incarnation", f->incarnation);
    js_array(&w, "items");
    cJSON_ArrayForEach(j, request.items)
    {
        if (!answer_item(f, request.incarnation, j, &w, e))
            return false;
    }
    js_array_end(&w);
    js_object_end(&w);
    return true;
}

static bool handle_topup(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                         struct err *e)
{
    struct fake_local *f = arg;

    lock(f);
    if (strcmp(req->path, "/return") == 0)
        f->returns++;
    else
        f->topups++;
    bool ok = f->status ? fail_with(f->status, e) : carry_out(f, req, reply, e);
    if (ok && f->lose)
        ok = fail_with(503, e);
    unlock(f);
    return ok;
}

void fake_local_go_back(struct fake_local *f, int64_t incarnation)
{
    lock(f);
    f->incarnation = incarnation;
    for (size_t i = 0; i < f->count; i++) {
        struct pool *p = &f->windows[i].pool;

        p->granted = p->returned = p->consumed = p->refunded = p->presumed = p->wanted = 0;
        p->rate_milli = 0;
        p->in_doubt = true;
        f->windows[i].slices_count = 0;
        memset(f->windows[i].slices, 0, sizeof(f->windows[i].slices));
    }
    unlock(f);
}

int64_t fake_local_told_in(struct fake_local *f)
{
    lock(f);
    int64_t told_in = f->told_in;
    unlock(f);
    return told_in;
}

/* ---- watch */

static void write_row(struct js_writer *w, const struct window_row *row)
{
    const int64_t now_ms = clk_now_ms();

    js_object(w, NULL);
    js_text(w, "cap", row->cap);
    js_time(w, "starts_at", row->starts_at_ms);
    js_time(w, "ends_at", row->ends_at_ms);
    js_i64(w, "starts_in_ms", row->opens_ms - now_ms);
    js_i64(w, "ends_in_ms", row->closes_ms - now_ms);
    js_text(w, "state", interval_state_names[row->state]);
    js_bool(w, "paused", row->pool.paused);
    js_i64(w, "total", row->pool.requested);
    js_i64(w, "autonomy_ms", row->pool.autonomy_ms);
    js_bool(w, "recall", row->recall);
    js_i64(w, "revision", row->revision);
    js_object_end(w);
}

static void write_news(struct fake_local *f, int64_t since, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "revision", f->revision);
    js_bool(&w, "more", false);
    js_array(&w, "windows");
    for (size_t i = 0; i < f->count; i++)
        if (f->windows[i].revision > since && !f->windows[i].purged)
            write_row(&w, &f->windows[i]);
    js_array_end(&w);
    js_object_end(&w);
}

static struct watch_call *free_watcher(struct fake_local *f)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++)
        if (!f->watchers[i].call)
            return &f->watchers[i];
    return NULL;
}

static bool watch(struct fake_local *f, const struct httpd_request *req, int64_t since,
                  int64_t wait_ms, struct httpd_reply *reply, struct err *e)
{
    struct watch_call *watcher = free_watcher(f);

    if (f->watch_status)
        return fail_with(f->watch_status, e);
    if (f->revision > since || wait_ms == 0 || !watcher) {
        write_news(f, since, &reply->body);
        return true;
    }
    *watcher = (struct watch_call){.call = httpd_defer(req),
                                   .since = since,
                                   .until_ms = clk_now_ms() + min_i64(wait_ms, WAIT_MAX_MS)};
    return true;
}

static bool handle_watch(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                         struct err *e)
{
    struct fake_local *f = arg;
    int64_t since = 0, wait_ms = 0;

    if (!num_parse_i64(httpd_query(req, "since"), 0, UNITS_MAX, &since, e) ||
        !num_parse_i64(httpd_query(req, "wait_ms"), 0, 30000, &wait_ms, e))
        return false;
    lock(f);
    bool ok = watch(f, req, since, wait_ms, reply, e);
    unlock(f);
    return ok;
}

static void answer_watcher(struct fake_local *f, struct watch_call *watcher)
{
    struct httpd_reply reply = {0};
    struct httpd_call *call = watcher->call;

    write_news(f, watcher->since, &reply.body);
    watcher->call = NULL;
    httpd_complete(call, &reply, NULL);
}

static void *tick(void *arg)
{
    struct fake_local *f = arg;
    const struct timespec pause = {.tv_nsec = 2000000};

    lock(f);
    while (!f->stopped) {
        for (size_t i = 0; i < WATCHERS_MAX; i++) {
            struct watch_call *w = &f->watchers[i];
            if (w->call && (f->revision > w->since || clk_now_ms() >= w->until_ms))
                answer_watcher(f, w);
        }
        unlock(f);
        (void)nanosleep(&pause, NULL);
        lock(f);
    }
    for (size_t i = 0; i < WATCHERS_MAX; i++)
        if (f->watchers[i].call)
            answer_watcher(f, &f->watchers[i]);
    unlock(f);
    return NULL;
}

/* ---- life */

static const struct httpd_route routes[] = {
    {"POST", "/topup", "topup", 200, handle_topup, true},
    {"POST", "/return", "return", 200, handle_topup, true},
    {"GET", "/watch", "watch", 200, handle_watch, false},
};

struct fake_local *fake_local_start(void)
{
    struct fake_local *f = calloc(1, sizeof(*f));

    CHECK(f && pthread_mutex_init(&f->lock, NULL) == 0);
    stand_in_start(&f->server, routes, COUNT(routes), f);
    CHECK(pthread_create(&f->ticker, NULL, tick, f) == 0);
    return f;
}

struct fake_local *fake_local_stop(struct fake_local *f)
{
    if (!f)
        return NULL;
    httpd_drain(f->server.httpd);
    lock(f);
    f->stopped = true;
    f->watch_status = 503;
    unlock(f);
    (void)pthread_join(f->ticker, NULL);
    stand_in_stop(&f->server);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
    return NULL;
}

const char *fake_local_url(const struct fake_local *f)
{
    return f->server.url;
}

/* ---- what tests do to it */

static struct window_row *add(struct fake_local *f, const struct fake_window *w)
{
    CHECK(f->count < WINDOWS_MAX);
    struct window_row *row = &f->windows[f->count++];

    (void)snprintf(row->cap, sizeof(row->cap), "%s", w->cap);
    row->starts_at_ms = w->starts_at_ms;
    row->pool.home = true;
    row->pool.topup_ppm = CAP_TOPUP_PPM_DEFAULT;
    row->pool.slice_max_ppm = PPM; /* so that a first slice is a tenth, whatever the total */
    row->pool.autonomy_ms = CAP_AUTONOMY_MS_DEFAULT;
    return row;
}

void fake_local_set(struct fake_local *f, const struct fake_window *w)
{
    lock(f);
    struct window_row *row = find(f, w->cap, w->starts_at_ms);
    if (!row)
        row = add(f, w);
    row->ends_at_ms = w->ends_at_ms;
    row->opens_ms = clk_now_ms() + w->starts_in_ms;
    row->closes_ms = clk_now_ms() + w->ends_in_ms;
    row->state = w->state;
    row->pool.paused = w->paused;
    row->pool = pool_retarget(&row->pool, w->total);
    row->recall = false;
    row->revision = ++f->revision;
    unlock(f);
}

static struct window_row *must_find(struct fake_local *f, const char *cap, int64_t starts_at_ms)
{
    struct window_row *row = find(f, cap, starts_at_ms);

    CHECK(row);
    return row;
}

void fake_local_close(struct fake_local *f, const char *cap, int64_t starts_at_ms)
{
    lock(f);
    struct window_row *row = must_find(f, cap, starts_at_ms);
    row->state = INTERVAL_CLOSING;
    row->revision = ++f->revision;
    unlock(f);
}

void fake_local_forget(struct fake_local *f, const char *cap, int64_t starts_at_ms)
{
    lock(f);
    must_find(f, cap, starts_at_ms)->purged = true;
    unlock(f);
}

void fake_local_recall(struct fake_local *f, const char *cap, int64_t starts_at_ms)
{
    lock(f);
    struct window_row *row = must_find(f, cap, starts_at_ms);
    row->recall = true;
    row->revision = ++f->revision;
    unlock(f);
}

void fake_local_take(struct fake_local *f, const char *cap, int64_t starts_at_ms, int64_t units)
{
    const struct pool_context ctx = {.active_servers = 1, .now_ms = clk_now_ms()};

    lock(f);
    struct window_row *row = must_find(f, cap, starts_at_ms);
    struct pool_slice *slice = slice_of(row, "somebody else");
    const struct pool_report report = {.granted_known = slice->granted,
                                       .returned = slice->returned,
                                       .consumed = slice->consumed,
                                       .refunded = slice->refunded,
                                       .want = units,
                                       .want_min = 1,
                                       .rate_milli = 0};
    row->pool.accepts = true;
    struct pool_topup t = pool_topup(&row->pool, slice, &report, &ctx);
    row->pool = t.pool;
    *slice = t.slice;
    if (t.news != POOL_NO_NEWS) {
        row->recall = t.news == POOL_NEWS_RECALL;
        row->revision = ++f->revision;
    }
    unlock(f);
}

void fake_local_answer(struct fake_local *f, int status)
{
    lock(f);
    f->status = status;
    unlock(f);
}

void fake_local_answer_watch(struct fake_local *f, int status)
{
    lock(f);
    f->watch_status = status;
    unlock(f);
}

void fake_local_lose_answers(struct fake_local *f, bool lose)
{
    lock(f);
    f->lose = lose;
    unlock(f);
}

void fake_local_choke_on(struct fake_local *f, const char *cap)
{
    lock(f);
    snprintf(f->chokes_on, sizeof(f->chokes_on), "%s", cap);
    unlock(f);
}

struct pool fake_local_pool(struct fake_local *f, const char *cap, int64_t starts_at_ms)
{
    lock(f);
    const struct window_row *row = find(f, cap, starts_at_ms);
    struct pool pool = row ? row->pool : (struct pool){0};
    unlock(f);
    return pool;
}

int64_t fake_local_topups(struct fake_local *f)
{
    lock(f);
    int64_t topups = f->topups;
    unlock(f);
    return topups;
}

int64_t fake_local_returns(struct fake_local *f)
{
    lock(f);
    int64_t returns = f->returns;
    unlock(f);
    return returns;
}
