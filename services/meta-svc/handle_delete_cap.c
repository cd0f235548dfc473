#include "services/meta-svc/app.h"

#include "services/meta-svc/store.h"

/* DELETE /caps/{id} */
bool meta_handle_delete_cap(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                            struct err *e)
{
    const struct meta_app *app = arg;
    const struct condition condition = {.if_match = httpd_header(http, "If-Match")};
    const char *id = NULL;

    (void)reply;
    if (!httpd_query_only(http, (const char *const[]){NULL}, e) ||
        !condition_is_wellformed(&condition, e) || !meta_cap_id(http, &id, e) ||
        !meta_store_delete(app->db, id, &condition, e))
        return false;

    metric_add(metric_at(app->changes, "deleted", NULL, NULL), 1);
    outbox_relay_wake(app->relay);
    return true;
}
