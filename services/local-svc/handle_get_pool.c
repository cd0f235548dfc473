#include "services/local-svc/app.h"
#include "services/local-svc/pool_json.h"

/* GET /pools/{cap} */

/* All are sorted by window, newest first: what is written next belongs to the next pool. */
struct cursor {
    const struct pool_views *views;
    size_t slice, peer; /* the first that is not yet written */
};

static void write_slices(struct js_writer *w, struct cursor *at, int64_t starts_at_ms,
                         const struct silence_limits *limits)
{
    const struct pool_views *v = at->views;

    js_array(w, "slices");
    for (; at->slice < v->slices_count && v->slices[at->slice].starts_at_ms == starts_at_ms;
         at->slice++)
        slice_json(w, &v->slices[at->slice], limits);
    js_array_end(w);
}

static void encode(const struct local_app *app, const char *cap, const struct pool_views *views,
                   struct buf *out)
{
    const struct silence_limits limits = {app->config.suspect_ms, app->config.presume_ms};
    struct js_writer w = {.out = out};
    struct cursor at = {.views = views};

    js_object(&w, NULL);
    js_text(&w, "cap", cap);
    js_bool(&w, "more", views->more);
    js_array(&w, "pools");
    for (size_t i = 0; i < views->pools_count; i++) {
        const struct pool_view *p = &views->pools[i];

        js_object(&w, NULL);
        pool_json(&w, p, app->peers.self);
        peers_json(&w, views, &p->key, &at.peer);
        write_slices(&w, &at, p->key.starts_at_ms, &limits);
        js_object_end(&w);
    }
    js_array_end(&w);
    js_object_end(&w);
}

bool handle_get_pool(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                     struct err *e)
{
    const struct local_app *app = arg;
    auto_pool_views struct pool_views views = {0};

    if (!httpd_query_only(req, local_no_query, e) || !name_check("the cap", req->params[0], e) ||
        !store_pools_of(app->db, req->params[0], &views, e))
        return false;
    encode(app, req->params[0], &views, &reply->body);
    return true;
}
