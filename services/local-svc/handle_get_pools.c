#include "services/local-svc/app.h"
#include "services/local-svc/cursor.h"
#include "services/local-svc/pool_json.h"

/* GET /pools?limit=&after= */

#define LIMIT_DEFAULT 100

static void encode(const struct pool_views *views, const char *self, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_array(&w, "pools");
    for (size_t i = 0; i < views->pools_count; i++) {
        js_object(&w, NULL);
        js_text(&w, "cap", views->pools[i].key.cap);
        pool_json(&w, &views->pools[i], self);
        js_object_end(&w);
    }
    js_array_end(&w);
    cursor_write(&w, views->more ? &views->pools[views->pools_count - 1].key : NULL);
    js_object_end(&w);
}

bool handle_get_pools(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                      struct err *e)
{
    static const char *const known[] = {"limit", "after", NULL};
    const struct local_app *app = arg;
    auto_pool_views struct pool_views views = {0};
    struct window_key after = {0};
    int64_t limit = 0;

    if (!httpd_query_only(req, known, e) ||
        !cursor_limit(req, LIMIT_DEFAULT, POOLS_LIMIT_MAX, &limit, e) ||
        !cursor_parse(req, &after, e) || !store_pools_list(app->db, &after, limit, &views, e))
        return false;
    encode(&views, app->peers.self, &reply->body);
    return true;
}
