#include "services/local-svc/app.h"
#include "services/local-svc/cursor.h"
#include "services/local-svc/rows_json.h"

/*
 * GET /rows?since=&wait_ms=&limit=: what other data centres are to be told now.
 * GET /rows?peer=&after=&limit=&in_transit=: all there is to be told to one of them.
 */

#define WAIT_MS_MAX 30000

static bool parse(const struct httpd_request *req, const char *name, int64_t max, int64_t *ret,
                  struct err *e)
{
    const char *text = httpd_query(req, name);

    *ret = 0;
    return !text || num_parse_i64(text, 0, max, ret, e) || err_while(e, "%s", name);
}

/* Who is behind reads the database; who is up to date waits. */
static bool get_news(struct local_app *app, const struct httpd_request *req,
                     struct httpd_reply *reply, struct err *e)
{
    static const char *const known[] = {"since", "wait_ms", "limit", NULL};
    auto_watch_page struct watch_page page = {0};
    int64_t since = 0, wait_ms = 0, limit = 0;
    bool is_suspended = false;

    if (!httpd_query_only(req, known, e) || !parse(req, "since", UNITS_MAX, &since, e) ||
        !parse(req, "wait_ms", WAIT_MS_MAX, &wait_ms, e) ||
        !cursor_limit(req, TOLD_ROWS_MAX, TOLD_ROWS_MAX, &limit, e))
        return false;
    if (wait_ms > 0 && !watch_suspend(app->rows, req, since, wait_ms, &is_suspended, e))
        return false;
    if (is_suspended)
        return true;
    if (!watch_load_rows(app->db, since, limit, &page, e))
        return false;
    buf_add(&reply->body, page.body.data, page.body.len);
    return true;
}

static bool get_page(struct local_app *app, const struct httpd_request *req,
                     struct httpd_reply *reply, struct err *e)
{
    static const char *const known[] = {"peer", "after", "limit", "in_transit", NULL};
    struct told_query query = {.peer = httpd_query(req, "peer")};
    auto_told_page struct told_page page = {0};

    if (!httpd_query_only(req, known, e) || !cursor_parse(req, &query.after, e) ||
        !cursor_limit(req, TOLD_ROWS_MAX, TOLD_ROWS_MAX, &query.limit, e) ||
        !httpd_query_bool(req, "in_transit", &query.in_transit, e))
        return false;
    if (peers_find(&app->peers, query.peer) < 0)
        return err_set(e, ERR_INVALID, "peer: is not a data centre that this one trades with");
    if (!store_told_to(app->db, &query, &page, e))
        return false;
    rows_encode_page(&page, query.in_transit, &reply->body);
    return true;
}

bool handle_get_rows(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                     struct err *e)
{
    return httpd_query(req, "peer") ? get_page(arg, req, reply, e) : get_news(arg, req, reply, e);
}
