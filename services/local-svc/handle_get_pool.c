#include "services/local-svc/app.h"
#include "services/local-svc/pool_json.h"

/* GET /pools/{cap} */

/* Both are sorted by window, newest first: `next` is the first slice not yet written. */
static size_t write_pool(struct js_writer *w, const struct pool_view *p,
                         const struct pool_views *views, size_t next,
                         const struct silence_limits *limits)
{
    js_object(w, NULL);
    pool_json(w, p);
    js_array(w, "slices");
    for (; next < views->slices_count && views->slices[next].starts_at_ms == p->key.starts_at_ms;
         next++)
        slice_json(w, &views->slices[next], limits);
    js_array_end(w);
    js_object_end(w);
    return next;
}

static void encode(const char *cap, const struct pool_views *views,
                   const struct silence_limits *limits, struct buf *out)
{
    struct js_writer w = {.out = out};
    size_t next = 0;

    js_object(&w, NULL);
    js_text(&w, "cap", cap);
    js_bool(&w, "more", views->more);
    js_array(&w, "pools");
    for (size_t i = 0; i < views->pools_count; i++)
        next = write_pool(&w, &views->pools[i], views, next, limits);
    js_array_end(&w);
    js_object_end(&w);
}

bool handle_get_pool(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                     struct err *e)
{
    const struct local_app *app = arg;
    const struct silence_limits limits = {app->config.suspect_ms, app->config.presume_ms};
    auto_pool_views struct pool_views views = {0};

    if (!httpd_query_only(req, local_no_query, e))
        return false;
    if (!name_is_valid(req->params[0]))
        return err_set(e, ERR_INVALID, "the cap in the path is not a name");
    if (!store_pools_of(app->db, req->params[0], &views, e))
        return false;
    encode(req->params[0], &views, &limits, &reply->body);
    return true;
}
