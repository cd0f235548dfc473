#include "services/meta-svc/app.h"

#include "common/io/js.h"
#include "services/meta-svc/body.h"
#include "services/meta-svc/intervals.h"
#include "services/meta-svc/store.h"

/* GET /caps/{id} */
bool meta_handle_get_cap(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                         struct err *e)
{
    const struct meta_app *app = arg;
    const struct condition condition = {.if_none_match = httpd_header(http, "If-None-Match")};
    struct meta_cap m = {.version = 0};
    struct js_writer w = {.out = &reply->body};
    const char *id = http->params[0];

    if (!httpd_query_only(http, (const char *const[]){NULL}, e) ||
        !condition_is_wellformed(&condition, e) || !name_check("the id", id, e) ||
        !meta_store_get(&app->here, id, &m, e))
        return false;

    httpd_reply_header(reply, "ETag", "\"%lld\"", (long long)m.version);
    if (!condition_none_match_holds(&condition, m.version)) {
        reply->status = 304;
        return true;
    }
    const struct meta_intervals intervals = meta_intervals_ask(app->intervals, id);
    meta_body_cap(&w, &m, &intervals);
    return true;
}
