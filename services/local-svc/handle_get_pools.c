#include "services/local-svc/app.h"
#include "services/local-svc/cursor.h"
#include "services/local-svc/pool_json.h"

/* GET /pools?limit=&after=&peers= */

#define LIMIT_DEFAULT 100

static void encode(const struct pool_views *views, const char *self, bool peers, struct buf *out)
{
    struct js_writer w = {.out = out};
    size_t at = 0;

    js_object(&w, NULL);
    js_text(&w, "dc", self);
    js_array(&w, "pools");
    for (size_t i = 0; i < views->pools_count; i++) {
        js_object(&w, NULL);
        js_text(&w, "cap", views->pools[i].key.cap);
        pool_json(&w, &views->pools[i], self);
        if (peers)
            peers_json(&w, views, &views->pools[i].key, &at);
        js_object_end(&w);
    }
    js_array_end(&w);
    cursor_write(&w, views->more ? &views->pools[views->pools_count - 1].key : NULL);
    js_object_end(&w);
}

bool handle_get_pools(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                      struct err *e)
{
    static const char *const known[] = {"limit", "after", "peers", NULL};
    const struct local_app *app = arg;
    auto_pool_views struct pool_views views = {0};
    struct pools_query query = {0};

    if (!httpd_query_only(req, known, e) ||
        !cursor_limit(req, LIMIT_DEFAULT, POOLS_LIMIT_MAX, &query.limit, e) ||
        !cursor_parse(req, &query.after, e) || !httpd_query_bool(req, "peers", &query.peers, e) ||
        !store_pools_list(app->db, &query, &views, e))
        return false;
    encode(&views, app->peers.self, query.peers, &reply->body);
    return true;
}
