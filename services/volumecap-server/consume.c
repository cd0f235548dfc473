#include "services/volumecap-server/consume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"
#include "common/io/httpd_problem.h"
#include "common/io/js.h"

#define ITEMS_MAX 1000
#define REPLY_MAX ((size_t)1 << 20)

/* ---- decode */

static const struct js_field item_fields[] = {
    {.name = "cap", .kind = JS_NAME, .offset = offsetof(struct spend_ask, cap)},
    {.name = "amount",
     .kind = JS_I64,
     .offset = offsetof(struct spend_ask, amount),
     .min = 1,
     .max = UNITS_MAX,
     .optional = true},
    {.name = "mode",
     .kind = JS_ENUM,
     .offset = offsetof(struct spend_ask, mode),
     .names = consume_mode_names,
     .optional = true},
};
#define ITEM_FIELDS (sizeof(item_fields) / sizeof(item_fields[0]))

struct batch {
    const cJSON *items;
};

static const struct js_field batch_fields[] = {
    {.name = "items",
     .kind = JS_ARRAY,
     .offset = offsetof(struct batch, items),
     .min = 1,
     .max = ITEMS_MAX},
};

static bool decode_item(const cJSON *j, const char *where, struct consume_item *ret, struct err *e)
{
    ret->ask = (struct spend_ask){.amount = 1, .mode = CONSUME_ALL};
    return js_decode(j, where, item_fields, ITEM_FIELDS, &ret->ask, e);
}

static bool decode_batch(const cJSON *body, struct consume *ret, struct err *e)
{
    struct batch batch = {0};
    const cJSON *j = NULL;
    char where[32];

    if (!js_decode(body, "", batch_fields, 1, &batch, e))
        return false;
    ret->items = calloc((size_t)cJSON_GetArraySize(batch.items), sizeof(*ret->items));
    if (!ret->items)
        return err_set(e, ERR_UNAVAILABLE, "out of memory");
    ret->batch = true;
    cJSON_ArrayForEach(j, batch.items)
    {
        (void)snprintf(where, sizeof(where), "/items/%zu", ret->count);
        if (!decode_item(j, where, &ret->items[ret->count++], e))
            return false;
    }
    return true;
}

bool consume_decode(const struct httpd_request *req, struct consume *ret, struct err *e)
{
    auto_js cJSON *body = NULL;

    if (!js_parse(req->body, req->body_len, &body, e))
        return false;
    (void)snprintf(ret->request_id, sizeof(ret->request_id), "%s", req->request_id);
    if (cJSON_GetObjectItemCaseSensitive(body, "items"))
        return decode_batch(body, ret, e);
    ret->count = 1;
    ret->items = &ret->only;
    return decode_item(body, "", &ret->only, e);
}

void consume_done(struct consume *c)
{
    if (c->batch)
        free(c->items);
    c->items = NULL;
    c->count = 0;
}

/* ---- decide */

size_t consume_try(struct consume *c, const struct spender *s, int64_t now_ms)
{
    size_t waiting = 0;

    for (size_t i = 0; i < c->count; i++) {
        c->items[i].outcome = spend_consume(s, &c->items[i].ask, /* again= */ false, now_ms);
        waiting += c->items[i].outcome.may_wait;
    }
    return waiting;
}

/* ---- answer */

static int64_t seconds_of(int64_t ms)
{
    return max_i64(1, div_ceil(max_i64(ms, 0), 1000));
}

static void write_starts_at(struct js_writer *w, const struct spend_window *window)
{
    if (window->known)
        js_time(w, "starts_at", window->starts_at_ms);
    else
        js_null(w, "starts_at");
}

/* draft-ietf-httpapi-ratelimit-headers, the cap being the policy's name. */
static void add_rate_limit(struct httpd_reply *reply, const struct consume_item *item)
{
    const struct spend_window *window = &item->outcome.window;

    httpd_reply_header(reply, "RateLimit-Policy", "\"%s\";q=%lld;w=%lld", item->ask.cap,
                       (long long)window->total,
                       (long long)((window->ends_at_ms - window->starts_at_ms) / 1000));
    httpd_reply_header(reply, "RateLimit", "\"%s\";r=%lld;t=%lld", item->ask.cap,
                       (long long)item->outcome.rest, (long long)seconds_of(window->ends_in_ms));
}

static void reply_granted(const struct consume_item *item, struct httpd_reply *reply)
{
    struct js_writer w = {.out = &reply->body};

    js_object(&w, NULL);
    js_text(&w, "cap", item->ask.cap);
    js_i64(&w, "granted", item->outcome.units);
    js_i64(&w, "remaining", item->outcome.rest);
    js_time(&w, "starts_at", item->outcome.window.starts_at_ms);
    js_i64(&w, "ends_in_ms", item->outcome.window.ends_in_ms);
    js_object_end(&w);
}

static void explain(const struct consume_item *item, struct err *ret)
{
    const char *cap = item->ask.cap;

    switch (item->outcome.verdict) {
    case SLICE_USED_UP:
        (void)err_set(ret, ERR_USED_UP, "cap %s has no %lld units left in this window", cap,
                      (long long)item->ask.amount);
        return;
    case SLICE_PAUSED: (void)err_set(ret, ERR_CONFLICT, "cap %s is paused", cap); return;
    case SLICE_NOT_OPEN:
        (void)err_set(ret, ERR_CONFLICT, "cap %s has no window that is open now", cap);
        return;
    case SLICE_UNKNOWN: (void)err_set(ret, ERR_NOT_FOUND, "there is no cap %s", cap); return;
    default:
        (void)err_set(ret, ERR_UNAVAILABLE, "units of cap %s cannot be reached from here right now",
                      cap);
        return;
    }
}

/* The problem document of everyone, and behind its members which cap and window it is about. */
static void write_problem(const struct consume *c, const struct err *why, struct buf *out)
{
    const struct consume_item *item = &c->only;
    struct js_writer w = {.out = out, .comma = true};

    httpd_problem_write(out, why, c->request_id);
    CHECK(!buf_failed(out) && out->data[out->len - 1] == '}');
    out->len--;
    js_text(&w, "cap", item->ask.cap);
    write_starts_at(&w, &item->outcome.window);
    js_i64(&w, "remaining", item->outcome.rest);
    js_object_end(&w);
}

static void reply_refused(const struct consume *c, struct httpd_reply *reply)
{
    const struct spend *outcome = &c->only.outcome;
    struct err why = {0};

    explain(&c->only, &why);
    reply->status = err_http_status(why.kind);
    reply->content_type = HTTPD_PROBLEM_TYPE;
    if (outcome->verdict == SLICE_USED_UP)
        httpd_reply_header(reply, "Retry-After", "%lld",
                           (long long)seconds_of(outcome->window.ends_in_ms));
    if (outcome->verdict == SLICE_UNREACHABLE)
        httpd_reply_header(reply, "Retry-After", "1");
    write_problem(c, &why, &reply->body);
}

static void write_item(struct js_writer *w, const struct consume_item *item)
{
    js_object(w, NULL);
    js_text(w, "cap", item->ask.cap);
    js_text(w, "verdict", slice_verdict_names[item->outcome.verdict]);
    js_i64(w, "granted", item->outcome.units);
    js_i64(w, "remaining", item->outcome.rest);
    write_starts_at(w, &item->outcome.window);
    js_object_end(w);
}

static void reply_batch(const struct consume *c, struct httpd_reply *reply)
{
    struct js_writer w = {.out = &reply->body};

    js_object(&w, NULL);
    js_array(&w, "items");
    for (size_t i = 0; i < c->count; i++)
        write_item(&w, &c->items[i]);
    js_array_end(&w);
    js_object_end(&w);
}

static void count(const struct consume *c, const struct server_metrics *m)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct consume_item *item = &c->items[i];
        metric_add(m->consumes[item->outcome.verdict], 1);
        if (item->outcome.units > 0 && item->ask.mode != CONSUME_CHECK)
            metric_inc(m->consumed, item->outcome.units);
    }
}

void consume_reply(const struct consume *c, const struct server_metrics *m,
                   struct httpd_reply *reply)
{
    count(c, m);
    reply->body = BUF_INIT(REPLY_MAX);
    if (c->batch) {
        reply_batch(c, reply);
        return;
    }
    if (c->only.outcome.window.known)
        add_rate_limit(reply, &c->only);
    if (c->only.outcome.verdict == SLICE_GRANTED)
        reply_granted(&c->only, reply);
    else
        reply_refused(c, reply);
}
