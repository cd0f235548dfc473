#include "services/meta-svc/intervals.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/io/httpc.h"
#include "common/io/js.h"

#define TIMEOUT_MS 1000
#define REPLY_MAX 65536
#define PATH_SIZE 128

static void done_reply(struct httpc_reply *reply)
{
    buf_done(&reply->body);
}

static bool decode_interval(const cJSON *object, struct meta_interval *ret, struct err *e)
{
#define AT(member) offsetof(struct meta_interval, member)
#define AMOUNT .kind = JS_I64, .max = UNITS_MAX, .optional = true, .nullable = true
    static const struct js_field fields[] = {
        {.name = "starts_at", .kind = JS_TIME, .offset = AT(starts_at_ms)},
        {.name = "ends_at", .kind = JS_TIME, .offset = AT(ends_at_ms)},
        {.name = "state", .kind = JS_ENUM, .offset = AT(state), .names = interval_state_names},
        {.name = "requested", .offset = AT(requested), AMOUNT},
        {.name = "effective", .offset = AT(effective), AMOUNT},
        {.name = "pending", .offset = AT(pending), AMOUNT},
        {.name = "spent", .offset = AT(spent), AMOUNT},
    };
#undef AMOUNT
#undef AT

    ret->requested = ret->effective = ret->pending = ret->spent = META_UNKNOWN;
    return js_decode_lax(object, "", fields, sizeof(fields) / sizeof(fields[0]), ret, e);
}

static bool decode(const struct buf *body, struct meta_intervals *ret, struct err *e)
{
    static const struct js_field fields[] = {
        {.name = "intervals", .kind = JS_ARRAY, .max = META_INTERVALS_MAX},
    };
    auto_js cJSON *json = NULL;
    const cJSON *list = NULL;
    const cJSON *object = NULL;

    if (!js_parse(buf_text(body), body->len, &json, e) ||
        !js_decode_lax(json, "", fields, 1, &list, e))
        return false;
    cJSON_ArrayForEach(object, list)
    {
        if (!decode_interval(object, &ret->list[ret->count++], e))
            return false;
    }
    return true;
}

static bool ask(struct replicas *interval_svc, const char *id, struct meta_intervals *ret,
                struct err *e)
{
    auto_httpc struct httpc *http = NULL;
    struct httpc_reply reply __attribute__((cleanup(done_reply))) = {0};
    char path[PATH_SIZE];

    (void)snprintf(path, sizeof(path), "/caps/%s/intervals", id);
    if (!httpc_new(REPLY_MAX, &http, e) ||
        !httpc_call(http,
                    &(struct httpc_request){
                        .method = "GET", .to = interval_svc, .url = path, .timeout_ms = TIMEOUT_MS},
                    &reply, e))
        return false;
    /* The definition is still on its way there: it has no windows yet. */
    if (reply.status == err_http_status(ERR_NOT_FOUND))
        return true;
    return httpc_expect_success(&reply, e) && decode(&reply.body, ret, e);
}

struct meta_intervals meta_intervals_ask(struct replicas *interval_svc, const char *id)
{
    struct meta_intervals intervals = {.known = true};
    struct err e;

    if (ask(interval_svc, id, &intervals, &e))
        return intervals;
    log_event(LOG_WARN, "intervals.unknown", log_str("cap", id), log_str("error", e.msg),
              log_str("then", "answering without them"));
    return (struct meta_intervals){.known = false};
}
