#include "services/meta-svc/app.h"

#include <string.h>

#include "common/io/js.h"
#include "services/meta-svc/body.h"
#include "services/meta-svc/store.h"

/* PUT /caps/{id} */

static const char *const outcome_names[] = {
    [META_PUT_CREATED] = "created", [META_PUT_CHANGED] = "changed", [META_PUT_SAME] = "same"};

static bool decode(const struct httpd_request *http, struct cap *ret, struct err *e)
{
#define AT(member) offsetof(struct cap, member)
    static const struct js_field fields[] = {
        {.name = "starts_at", .kind = JS_TIME, .offset = AT(starts_at_ms)},
        {.name = "ends_at", .kind = JS_TIME, .offset = AT(ends_at_ms)},
        {.name = "interval", .kind = JS_ENUM, .offset = AT(interval), .names = cap_interval_names},
        {.name = "total", .kind = JS_I64, .offset = AT(total), .max = UNITS_MAX},
        {.name = "initial_total",
         .kind = JS_I64,
         .offset = AT(initial_total),
         .max = UNITS_MAX,
         .optional = true,
         .nullable = true},
        {.name = "time_zone",
         .kind = JS_TEXT,
         .offset = AT(time_zone),
         .min = 1,
         .max = CAP_TIME_ZONE_SIZE - 1,
         .optional = true},
        {.name = "topup_fraction", .kind = JS_PPM, .offset = AT(topup_ppm), .optional = true},
        {.name = "slice_max_fraction",
         .kind = JS_PPM,
         .offset = AT(slice_max_ppm),
         .optional = true},
        {.name = "autonomy_ms",
         .kind = JS_I64,
         .offset = AT(autonomy_ms),
         .max = CAP_AUTONOMY_MS_MAX,
         .optional = true},
        {.name = "paused", .kind = JS_BOOL, .offset = AT(paused), .optional = true},
    };
#undef AT
    auto_js cJSON *body = NULL;
    const char *id = NULL;

    *ret = cap_defaults();
    if (!meta_cap_id(http, &id, e) || !js_parse(http->body, http->body_len, &body, e) ||
        !js_decode(body, "", fields, sizeof(fields) / sizeof(fields[0]), ret, e))
        return false;
    memcpy(ret->id, id, strlen(id) + 1);
    return cap_validate(ret, e);
}

static void encode(const struct meta_cap *m, enum meta_put_outcome outcome,
                   struct httpd_reply *reply)
{
    struct js_writer w = {.out = &reply->body};

    if (outcome == META_PUT_CREATED)
        reply->status = 201;
    httpd_reply_header(reply, "ETag", "\"%lld\"", (long long)m->version);
    meta_body_cap(&w, m, /* intervals= */ NULL);
}

bool meta_handle_put_cap(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                         struct err *e)
{
    const struct meta_app *app = arg;
    const struct condition condition = {
        .if_match = httpd_header(http, "If-Match"),
        .if_none_match = httpd_header(http, "If-None-Match"),
    };
    struct cap cap;
    struct meta_cap stored = {.version = 0};
    enum meta_put_outcome outcome = META_PUT_SAME;

    if (!httpd_query_only(http, (const char *const[]){NULL}, e) ||
        !condition_is_wellformed(&condition, e) || !decode(http, &cap, e) ||
        !zones_require(app->zones, cap.time_zone, "/time_zone", e) ||
        !meta_store_put(app->db, &cap, &condition, &stored, &outcome, e))
        return false;

    metric_add(metric_at(app->changes, outcome_names[outcome], NULL, NULL), 1);
    if (outcome != META_PUT_SAME)
        outbox_relay_wake(app->relay);
    encode(&stored, outcome, reply);
    return true;
}
