#include "common/base/clk.h"
#include "common/base/num.h"
#include "services/meta-svc/app.h"
#include "services/meta-svc/body.h"

/* GET /definitions?since=&wait_ms=&limit= */

#define WAIT_MS_MAX 30000
#define LIMIT_DEFAULT 100

static bool parse(const struct httpd_request *http, const char *name, int64_t min, int64_t max,
                  int64_t *ret, struct err *e)
{
    const char *text = httpd_query(http, name);

    return text == NULL || num_parse_i64(text, min, max, ret, e) || err_while(e, "%s", name);
}

bool meta_handle_list_definitions(void *arg, const struct httpd_request *http,
                                  struct httpd_reply *reply, struct err *e)
{
    static const char *const known[] = {"since", "wait_ms", "limit", NULL};
    const struct meta_app *app = arg;
    struct meta_watcher asked = {.limit = LIMIT_DEFAULT};
    auto_meta_news struct meta_news *news = NULL;
    int64_t wait_ms = 0;

    if (!httpd_query_only(http, known, e) || !parse(http, "since", 0, UNITS_MAX, &asked.since, e) ||
        !parse(http, "wait_ms", 0, WAIT_MS_MAX, &wait_ms, e) ||
        !parse(http, "limit", 1, META_BATCH_MAX, &asked.limit, e))
        return false;
    if (wait_ms > 0) {
        asked.deadline_ms = clk_now_ms() + wait_ms;
        return meta_watch_suspend(app->watch, http, &asked, e);
    }
    if (!meta_store_news(&app->here, asked.since, asked.limit, &news, e))
        return false;
    meta_body_news(news, &reply->body);
    return true;
}
