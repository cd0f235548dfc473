#include "services/meta-svc/app.h"

#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/io/js.h"
#include "services/meta-svc/body.h"
#include "services/meta-svc/store.h"

#define LIMIT_DEFAULT 100

/* GET /caps */

static bool decode(const struct httpd_request *http, const char **ret_after, int64_t *ret_limit,
                   struct err *e)
{
    const char *limit = httpd_query(http, "limit");
    const char *after = httpd_query(http, "after");

    if (!httpd_query_only(http, (const char *const[]){"limit", "after", NULL}, e))
        return false;
    if (limit != NULL && !num_parse_i64(limit, 1, META_LIST_MAX, ret_limit, e))
        return err_while(e, "limit");
    if (after != NULL && !name_is_valid(after))
        return err_set(e, ERR_INVALID, "after must be the id of a cap");
    *ret_after = after != NULL ? after : "";
    return true;
}

static void encode(const struct meta_cap *caps, size_t count, const char *next, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_array(&w, "caps");
    for (size_t i = 0; i < count; i++)
        meta_body_cap(&w, &caps[i], /* intervals= */ NULL);
    js_array_end(&w);
    js_text(&w, "next", next);
    js_object_end(&w);
}

bool meta_handle_list_caps(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                           struct err *e)
{
    const struct meta_app *app = arg;
    auto_free struct meta_cap *caps = NULL;
    const char *after = NULL;
    int64_t limit = LIMIT_DEFAULT;
    size_t count = 0;

    if (!decode(http, &after, &limit, e))
        return false;
    /* One more than asked for tells whether there is a next page. */
    caps = calloc((size_t)limit + 1, sizeof(*caps));
    if (caps == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    if (!meta_store_list(&app->here, after, limit + 1, caps, &count, e))
        return false;

    bool more = count > (size_t)limit;
    if (more)
        count = (size_t)limit;
    encode(caps, count, more ? caps[count - 1].cap.id : NULL, &reply->body);
    return true;
}
