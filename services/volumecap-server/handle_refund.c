#include "services/volumecap-server/app.h"

#include <stdio.h>

#include "common/base/clk.h"
#include "common/base/num.h"
#include "common/io/js.h"

/* POST /refund */

#define ITEMS_MAX 1000
#define REPLY_MAX ((size_t)1 << 20)

static const struct js_field item_fields[] = {
    {.name = "cap", .kind = JS_NAME, .offset = offsetof(struct refund_ask, cap)},
    {.name = "amount",
     .kind = JS_I64,
     .offset = offsetof(struct refund_ask, amount),
     .min = 1,
     .max = UNITS_MAX},
    {.name = "starts_at",
     .kind = JS_TIME,
     .offset = offsetof(struct refund_ask, starts_at_ms),
     .optional = true,
     .given = offsetof(struct refund_ask, has_starts_at) + 1},
};

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

static bool decode_item(const cJSON *j, const char *where, struct refund_ask *ret, struct err *e)
{
    *ret = (struct refund_ask){0};
    return js_decode(j, where, item_fields, sizeof(item_fields) / sizeof(item_fields[0]), ret, e);
}

static struct refund carry_out(const struct server_app *app, const struct refund_ask *ask)
{
    const struct refund done = spend_refund(&app->spender, ask, clk_now_ms());

    if (done.verdict == REFUND_DONE)
        metric_inc(app->metrics.refunded, ask->amount);
    return done;
}

static void write_rest(struct js_writer *w, const struct refund *done)
{
    js_i64(w, "remaining", done->rest);
    if (done->has_window)
        js_time(w, "starts_at", done->starts_at_ms);
    else
        js_null(w, "starts_at");
    js_object_end(w);
}

/* ---- one */

static bool refuse(const struct refund_ask *ask, enum refund_verdict verdict, struct err *e)
{
    switch (verdict) {
    case REFUND_TOO_MUCH:
        return err_set(e, ERR_CONFLICT,
                       "this server has not let so many units of cap %s be consumed", ask->cap);
    case REFUND_NOT_OPEN:
        return err_set(e, ERR_CONFLICT, "this window of cap %s is not open", ask->cap);
    case REFUND_UNKNOWN: return err_set(e, ERR_NOT_FOUND, "there is no cap %s", ask->cap);
    default: return err_set(e, ERR_UNAVAILABLE, "this server does not know its windows yet");
    }
}

static bool refund_one(const struct server_app *app, const cJSON *body, struct httpd_reply *reply,
                       struct err *e)
{
    struct refund_ask ask;
    struct js_writer w = {.out = &reply->body};

    if (!decode_item(body, "", &ask, e))
        return false;
    const struct refund done = carry_out(app, &ask);
    if (done.verdict != REFUND_DONE)
        return refuse(&ask, done.verdict, e);
    js_object(&w, NULL);
    js_text(&w, "cap", ask.cap);
    js_i64(&w, "refunded", ask.amount);
    write_rest(&w, &done);
    return true;
}

/* ---- many */

/* All are checked before the first is carried out: a batch is refused as a whole or not. */
static bool decode_batch(const cJSON *items, struct refund_ask *asks, struct err *e)
{
    const cJSON *j = NULL;
    size_t index = 0;
    char where[32];

    cJSON_ArrayForEach(j, items)
    {
        (void)snprintf(where, sizeof(where), "/items/%zu", index);
        if (!decode_item(j, where, &asks[index++], e))
            return false;
    }
    return true;
}

static void refund_item(const struct server_app *app, const struct refund_ask *ask,
                        struct js_writer *w)
{
    const struct refund done = carry_out(app, ask);

    js_object(w, NULL);
    js_text(w, "cap", ask->cap);
    js_text(w, "verdict", refund_verdict_names[done.verdict]);
    js_i64(w, "refunded", done.verdict == REFUND_DONE ? ask->amount : 0);
    write_rest(w, &done);
}

static bool refund_batch(const struct server_app *app, const cJSON *body, struct httpd_reply *reply,
                         struct err *e)
{
    struct batch batch = {0};
    struct js_writer w = {.out = &reply->body};
    auto_free struct refund_ask *asks = NULL;

    if (!js_decode(body, "", batch_fields, 1, &batch, e))
        return false;
    const size_t count = (size_t)cJSON_GetArraySize(batch.items);
    asks = calloc(count, sizeof(*asks));
    if (!asks)
        return err_set(e, ERR_UNAVAILABLE, "out of memory");
    if (!decode_batch(batch.items, asks, e))
        return false;

    js_object(&w, NULL);
    js_array(&w, "items");
    for (size_t i = 0; i < count; i++)
        refund_item(app, &asks[i], &w);
    js_array_end(&w);
    js_object_end(&w);
    return true;
}

bool server_handle_refund(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                          struct err *e)
{
    const struct server_app *app = arg;
    auto_js cJSON *body = NULL;

    if (!js_parse(req->body, req->body_len, &body, e))
        return false;
    reply->body = BUF_INIT(REPLY_MAX);
    if (cJSON_GetObjectItemCaseSensitive(body, "items"))
        return refund_batch(app, body, reply, e);
    return refund_one(app, body, reply, e);
}
