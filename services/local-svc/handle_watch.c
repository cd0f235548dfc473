#include "services/local-svc/app.h"

/* GET /watch?since=&wait_ms= */

#define WAIT_MS_MAX 30000

static bool parse(const struct httpd_request *req, const char *name, int64_t max, int64_t *ret,
                  struct err *e)
{
    const char *text = httpd_query(req, name);

    *ret = 0;
    return !text || num_parse_i64(text, 0, max, ret, e) || err_while(e, "%s", name);
}

/* Who is behind reads the database; who is up to date waits for what all others wait for. */
bool handle_watch(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                  struct err *e)
{
    static const char *const known[] = {"since", "wait_ms", NULL};
    const struct local_app *app = arg;
    auto_watch_page struct watch_page page = {0};
    int64_t since = 0, wait_ms = 0;
    bool is_suspended = false;

    if (!httpd_query_only(req, known, e) || !parse(req, "since", UNITS_MAX, &since, e) ||
        !parse(req, "wait_ms", WAIT_MS_MAX, &wait_ms, e))
        return false;
    if (wait_ms > 0 && !watch_suspend(app->watch, req, since, wait_ms, &is_suspended, e))
        return false;
    if (is_suspended)
        return true;
    if (!watch_load_windows(app->db, since, WATCH_ROWS_MAX, &page, e))
        return false;
    buf_add(&reply->body, page.body.data, page.body.len);
    return true;
}
