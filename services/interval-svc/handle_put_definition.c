#include "services/interval-svc/app.h"

#include <string.h>

#include "common/io/js.h"
#include "services/interval-svc/store.h"

/*
 * PUT /definitions/{id}
 *
 * Any replica takes a definition: the version decides, so it may arrive anywhere,
 * and twice.  Only the primary cuts windows from it.
 */

static bool decode(const struct httpd_request *http, struct interval_definition *ret, struct err *e)
{
#define AT(member) offsetof(struct interval_definition, member)
    static const struct js_field fields[] = {
        {.name = "version", .kind = JS_I64, .offset = AT(version), .min = 1, .max = UNITS_MAX},
        {.name = "home_version",
         .kind = JS_I64,
         .offset = AT(home_version),
         .max = UNITS_MAX,
         .optional = true},
        {.name = "deleted", .kind = JS_BOOL, .offset = AT(deleted)},
        {.name = "starts_at", .kind = JS_TIME, .offset = AT(cap.starts_at_ms)},
        {.name = "ends_at", .kind = JS_TIME, .offset = AT(cap.ends_at_ms)},
        {.name = "interval",
         .kind = JS_ENUM,
         .offset = AT(cap.interval),
         .names = cap_interval_names},
        {.name = "total", .kind = JS_I64, .offset = AT(cap.total), .max = UNITS_MAX},
        {.name = "initial_total",
         .kind = JS_I64,
         .offset = AT(cap.initial_total),
         .max = UNITS_MAX,
         .optional = true,
         .nullable = true},
        {.name = "time_zone",
         .kind = JS_TEXT,
         .offset = AT(cap.time_zone),
         .min = 1,
         .max = CAP_TIME_ZONE_SIZE - 1},
        {.name = "topup_fraction", .kind = JS_PPM, .offset = AT(cap.topup_ppm)},
        {.name = "slice_max_fraction", .kind = JS_PPM, .offset = AT(cap.slice_max_ppm)},
        {.name = "autonomy_ms",
         .kind = JS_I64,
         .offset = AT(cap.autonomy_ms),
         .max = CAP_AUTONOMY_MS_MAX},
        {.name = "paused", .kind = JS_BOOL, .offset = AT(cap.paused)},
        {.name = "home", .kind = JS_NAME, .offset = AT(origin.home), .optional = true},
        {.name = "changed_at",
         .kind = JS_TIME,
         .offset = AT(origin.changed_at_ms),
         .optional = true},
        {.name = "grid_since",
         .kind = JS_TIME,
         .offset = AT(origin.grid_since_ms),
         .optional = true,
         .nullable = true},
    };
#undef AT
    auto_js cJSON *body = NULL;
    const char *id = http->params[0];

    *ret = (struct interval_definition){
        .cap = cap_defaults(),
        .origin = {.changed_at_ms = INTERVAL_NOW, .grid_since_ms = CAP_GRID_ALWAYS},
    };
    if (!name_check("the id", id, e) || !js_parse(http->body, http->body_len, &body, e) ||
        !js_decode(body, "", fields, sizeof(fields) / sizeof(fields[0]), ret, e))
        return false;
    memcpy(ret->cap.id, id, strlen(id) + 1);
    return cap_validate(&ret->cap, e);
}

/*
 * A meta-svc has found the zone in its database, that of another data centre,
 * maybe: after an update it is known here, too.  So the definition must come
 * again, and not be given up.
 */
static bool require_zone(const struct interval_app *app, const struct cap *cap, struct err *e)
{
    if (zones_require(app->zones, cap->time_zone, "/time_zone", e))
        return true;
    if (e->kind != ERR_INVALID)
        return false;
    metric_add(metric_at(app->definitions, "zone_unknown", NULL, NULL), 1);
    return err_set(e, ERR_UNAVAILABLE, "the database does not know the time zone %s yet",
                   cap->time_zone);
}

bool interval_handle_put_definition(void *arg, const struct httpd_request *http,
                                    struct httpd_reply *reply, struct err *e)
{
    const struct interval_app *app = arg;
    struct interval_definition d;
    bool is_new = false;
    int64_t epoch = 0;

    (void)reply;
    if (!httpd_query_only(http, (const char *const[]){NULL}, e) || !decode(http, &d, e))
        return false;
    /* Deleting a cap must not fail because its zone is no more. */
    if (!d.deleted && !require_zone(app, &d.cap, e))
        return false;
    bool is_primary = leader_epoch(app->leader, &epoch);
    if (!interval_store_put(app->db, &d, !is_primary, &is_new, e))
        return false;

    metric_add(metric_at(app->definitions, is_new ? "applied" : "old", NULL, NULL), 1);
    if (is_new)
        interval_worker_wake(app->worker);
    return true;
}
