#include "services/meta-svc/app.h"

#include <string.h>

#include "common/io/js.h"
#include "services/meta-svc/away.h"
#include "services/meta-svc/body.h"
#include "services/meta-svc/fields.h"
#include "services/meta-svc/store.h"

/* PUT /caps/{id} */

static const char *const outcome_names[] = {
    [META_PUT_CREATED] = "created",
    [META_PUT_CHANGED] = "changed",
    [META_PUT_SAME] = "same",
    [META_PUT_AWAY] = "away",
};

static bool decode(const struct httpd_request *http, struct cap *ret, struct err *e)
{
#define AT(member) offsetof(struct cap, member)
    static const struct js_field fields[] = {
        META_DEFINITION_FIELDS(AT),
    };
#undef AT
    auto_js cJSON *body = NULL;
    const char *id = http->params[0];

    *ret = cap_defaults();
    if (http->body_len > META_BODY_MAX)
        return err_set(e, ERR_TOO_LARGE, "the body is larger than %d bytes", META_BODY_MAX);
    if (!name_check("the id", id, e) || !js_parse(http->body, http->body_len, &body, e) ||
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
        !meta_store_put(&app->here, &cap, &condition, &stored, &outcome, e))
        return false;

    metric_add(metric_at(app->changes, outcome_names[outcome], NULL, NULL), 1);
    if (outcome == META_PUT_AWAY) {
        meta_away(http, cap.id, stored.origin.home, reply);
        return true;
    }
    if (outcome != META_PUT_SAME)
        outbox_relay_wake(app->relay);
    encode(&stored, outcome, reply);
    return true;
}
