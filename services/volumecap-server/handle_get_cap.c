#include "services/volumecap-server/app.h"

#include "common/base/clk.h"
#include "common/io/js.h"

/* GET /caps/{id}: what this server knows and holds of a cap. */

static void write_view(struct js_writer *w, const struct spend_view *v)
{
    js_object(w, NULL);
    js_time(w, "starts_at", v->starts_at_ms);
    js_time(w, "ends_at", v->ends_at_ms);
    js_text(w, "state", v->state);
    js_bool(w, "current", v->current);
    js_i64(w, "granted", v->counts.granted);
    js_i64(w, "consumed", v->counts.consumed);
    js_i64(w, "refunded", v->counts.refunded);
    js_i64(w, "returned", v->counts.returned);
    js_i64(w, "rest", v->rest);
    if (v->rate_milli == RATE_UNKNOWN)
        js_null(w, "rate_milli");
    else
        js_i64(w, "rate_milli", v->rate_milli);
    js_object_end(w);
}

bool server_handle_get_cap(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                           struct err *e)
{
    static const char *const no_query[] = {NULL};
    const struct server_app *app = arg;
    const char *cap = req->params[0];
    struct spend_view views[SPEND_VIEWS_MAX];
    struct js_writer w = {.out = &reply->body};

    if (!httpd_query_only(req, no_query, e) || !name_check("the id", cap, e))
        return false;
    const size_t count = spend_look(&app->spender, cap, clk_now_ms(), views);
    if (count == 0 && !atomic_load(&app->windows->synced))
        return err_set(e, ERR_UNAVAILABLE, "this server does not know its windows yet");
    if (count == 0)
        return err_set(e, ERR_NOT_FOUND, "there is no cap %s", cap);

    js_object(&w, NULL);
    js_text(&w, "cap", cap);
    js_array(&w, "windows");
    for (size_t i = 0; i < count; i++)
        write_view(&w, &views[i]);
    js_array_end(&w);
    js_object_end(&w);
    return true;
}
