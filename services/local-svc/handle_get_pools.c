#include <stdio.h>
#include <string.h>

#include "services/local-svc/app.h"
#include "services/local-svc/pool_json.h"

/* GET /pools?limit=&after= */

#define LIMIT_DEFAULT 100

static bool parse_limit(const struct httpd_request *req, int64_t *ret, struct err *e)
{
    const char *text = httpd_query(req, "limit");

    *ret = LIMIT_DEFAULT;
    return !text || num_parse_i64(text, 1, POOLS_LIMIT_MAX, ret, e) || err_while(e, "limit");
}

/* "cap/starts_at", as `next` of an earlier page said. */
static bool parse_after(const struct httpd_request *req, struct window_key *ret, struct err *e)
{
    const char *text = httpd_query(req, "after");
    const char *slash = text ? strchr(text, '/') : NULL;

    if (!text)
        return true;
    if (!slash || slash - text >= NAME_SIZE)
        return err_set(e, ERR_INVALID, "after: must be what an earlier answer gave as next");
    memcpy(ret->cap, text, (size_t)(slash - text));
    if (!name_is_valid(ret->cap) || !time_parse(slash + 1, &ret->starts_at_ms, e))
        return err_set(e, ERR_INVALID, "after: must be what an earlier answer gave as next");
    return true;
}

static void write_next(struct js_writer *w, const struct pool_views *views)
{
    char starts_at[TIME_TEXT_SIZE], cursor[NAME_SIZE + TIME_TEXT_SIZE];

    if (!views->more) {
        js_null(w, "next");
        return;
    }
    const struct window_key *last = &views->pools[views->pools_count - 1].key;
    time_format(last->starts_at_ms, starts_at);
    (void)snprintf(cursor, sizeof(cursor), "%s/%s", last->cap, starts_at);
    js_text(w, "next", cursor);
}

static void encode(const struct pool_views *views, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_array(&w, "pools");
    for (size_t i = 0; i < views->pools_count; i++) {
        js_object(&w, NULL);
        js_text(&w, "cap", views->pools[i].key.cap);
        pool_json(&w, &views->pools[i]);
        js_object_end(&w);
    }
    js_array_end(&w);
    write_next(&w, views);
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

    if (!httpd_query_only(req, known, e) || !parse_limit(req, &limit, e) ||
        !parse_after(req, &after, e) || !store_pools_list(app->db, &after, limit, &views, e))
        return false;
    encode(&views, &reply->body);
    return true;
}
