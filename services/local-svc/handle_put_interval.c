#include <string.h>

#include "common/io/js.h"
#include "services/local-svc/app.h"
#include "services/local-svc/store_interval.h"

/* PUT /intervals/{cap}/{starts_at} */

/* Only these: "closed" is for this service to decide. */
static const char *const states[] = {"planned", "open", "closing", NULL};

/* clang-format off */
#define AT(member) offsetof(struct announcement, member)
static const struct js_field fields[] = {
    {.name = "version",            .kind = JS_I64,  .offset = AT(version), .min = 1,
     .max = UNITS_MAX},
    {.name = "ends_at",            .kind = JS_TIME, .offset = AT(ends_at_ms)},
    {.name = "state",              .kind = JS_ENUM, .offset = AT(state), .names = states},
    {.name = "total",              .kind = JS_I64,  .offset = AT(total), .max = UNITS_MAX},
    {.name = "total_max",          .kind = JS_I64,  .offset = AT(total_max), .max = UNITS_MAX, .optional = true},
    {.name = "definition",         .kind = JS_I64,  .offset = AT(definition), .max = UNITS_MAX, .optional = true},
    {.name = "home",               .kind = JS_NAME, .offset = AT(home), .optional = true},
    {.name = "paused",             .kind = JS_BOOL, .offset = AT(paused)},
    {.name = "topup_fraction",     .kind = JS_PPM,  .offset = AT(topup_ppm)},
    {.name = "slice_max_fraction", .kind = JS_PPM,  .offset = AT(slice_max_ppm)},
    {.name = "autonomy_ms",        .kind = JS_I64,  .offset = AT(autonomy_ms),
     .max = CAP_AUTONOMY_MS_MAX},
};
#undef AT
/* clang-format on */

_Static_assert(INTERVAL_PLANNED == 0 && INTERVAL_OPEN == 1 && INTERVAL_CLOSING == 2,
               "`states` in the order of enum interval_state");

static bool decode_key(const struct httpd_request *req, struct window_key *ret, struct err *e)
{
    if (!name_check("the cap", req->params[0], e))
        return false;
    memcpy(ret->cap, req->params[0], strlen(req->params[0]) + 1);
    return time_parse(req->params[1], &ret->starts_at_ms, e) ||
           err_while(e, "starts_at in the path");
}

/* What the members' types do not say. */
static bool validate(const struct announcement *a, struct err *e)
{
    if (a->ends_at_ms <= a->key.starts_at_ms)
        return err_at(e, "/ends_at", "must be after starts_at");
    if (a->topup_ppm == 0)
        return err_at(e, "/topup_fraction", "must be above 0");
    if (a->slice_max_ppm == 0)
        return err_at(e, "/slice_max_fraction", "must be above 0");
    return true;
}

static bool decode(const struct httpd_request *req, struct announcement *ret, struct err *e)
{
    auto_js cJSON *body = NULL;

    return httpd_query_only(req, local_no_query, e) && decode_key(req, &ret->key, e) &&
           js_parse(req->body, req->body_len, &body, e) &&
           js_decode(body, "", fields, sizeof(fields) / sizeof(fields[0]), ret, e) &&
           validate(ret, e);
}

bool handle_put_interval(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                         struct err *e)
{
    const struct local_app *app = arg;
    struct announcement announced = {0};
    struct units_moved moved = {0};

    (void)reply;
    if (!decode(req, &announced, e))
        return false;
    /* This data centre is "" below, so that it may be given another name. */
    if (strcmp(announced.home, app->peers.self) == 0)
        announced.home[0] = '\0';
    if (!store_interval(app->db, app->witness, &app->peers, &announced, &moved, e))
        return false;
    local_metrics_moved(&app->metrics, &moved);
    return true;
}
