#include "services/interval-svc/pools.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/io/httpc.h"
#include "common/io/js.h"

#define TIMEOUT_MS 1000
#define PATH_SIZE 128

/* Every server that holds something of a window is in the answer. */
#define REPLY_MAX (INT64_C(8) * 1024 * 1024)
#define POOLS_MAX 100000

struct pool {
    int64_t starts_at_ms;
    struct interval_amounts amounts;
    int64_t spent_elsewhere;
};

static void done_reply(struct httpc_reply *reply)
{
    buf_done(&reply->body);
}

static bool decode_pool(const cJSON *object, struct pool *ret, struct err *e)
{
#define AT(member) offsetof(struct pool, member)
#define AT_HOME .kind = JS_I64, .max = UNITS_MAX, .optional = true, .nullable = true
    static const struct js_field fields[] = {
        {.name = "starts_at", .kind = JS_TIME, .offset = AT(starts_at_ms)},
        {.name = "requested", .kind = JS_I64, .offset = AT(amounts.requested), .max = UNITS_MAX},
        {.name = "effective", .offset = AT(amounts.effective), AT_HOME},
        {.name = "pending", .offset = AT(amounts.pending), AT_HOME},
        {.name = "spent", .kind = JS_I64, .offset = AT(amounts.spent), .max = UNITS_MAX},
        {.name = "spent_elsewhere",
         .kind = JS_I64,
         .offset = AT(spent_elsewhere),
         .max = UNITS_MAX,
         .optional = true},
    };
#undef AT_HOME
#undef AT

    ret->amounts.effective = ret->amounts.pending = INTERVAL_UNKNOWN;
    if (!js_decode_lax(object, "", fields, sizeof(fields) / sizeof(fields[0]), ret, e))
        return false;
    ret->amounts.spent = min_i64(ret->amounts.spent + ret->spent_elsewhere, UNITS_MAX);
    return true;
}

static void note(const struct interval_shown *shown, const struct pool *pool,
                 struct interval_amounts ret[INTERVAL_SHOWN_MAX])
{
    for (size_t i = 0; i < shown->count; i++)
        if (shown->list[i].starts_at_ms == pool->starts_at_ms)
            ret[i] = pool->amounts;
}

static bool decode(const struct buf *body, const struct interval_shown *shown,
                   struct interval_amounts ret[INTERVAL_SHOWN_MAX], struct err *e)
{
    static const struct js_field fields[] = {
        {.name = "pools", .kind = JS_ARRAY, .max = POOLS_MAX},
    };
    auto_js cJSON *json = NULL;
    const cJSON *list = NULL;
    const cJSON *object = NULL;

    if (!js_parse(buf_text(body), body->len, &json, e) ||
        !js_decode_lax(json, "", fields, 1, &list, e))
        return false;
    cJSON_ArrayForEach(object, list)
    {
        struct pool pool = {.starts_at_ms = 0};
        if (!decode_pool(object, &pool, e))
            return false;
        note(shown, &pool, ret);
    }
    return true;
}

static bool ask(struct replicas *locals, const char *cap, const struct interval_shown *shown,
                struct interval_amounts ret[INTERVAL_SHOWN_MAX], struct err *e)
{
    auto_httpc struct httpc *http = NULL;
    struct httpc_reply reply __attribute__((cleanup(done_reply))) = {0};
    char path[PATH_SIZE];

    (void)snprintf(path, sizeof(path), "/pools/%s", cap);
    return httpc_new(REPLY_MAX, &http, e) &&
           httpc_call(http,
                      &(struct httpc_request){
                          .method = "GET", .to = locals, .url = path, .timeout_ms = TIMEOUT_MS},
                      &reply, e) &&
           httpc_expect_success(&reply, e) && decode(&reply.body, shown, ret, e);
}

void interval_pools_ask(struct replicas *locals, const char *cap,
                        const struct interval_shown *shown,
                        struct interval_amounts ret[INTERVAL_SHOWN_MAX])
{
    struct err e;

    for (size_t i = 0; i < shown->count; i++)
        ret[i] = (struct interval_amounts){INTERVAL_UNKNOWN, INTERVAL_UNKNOWN, INTERVAL_UNKNOWN,
                                           INTERVAL_UNKNOWN};
    if (shown->count > 0 && !ask(locals, cap, shown, ret, &e))
        log_event(LOG_WARN, "pools.unknown", log_str("cap", cap), log_str("error", e.msg),
                  log_str("then", "answering without them"));
}
