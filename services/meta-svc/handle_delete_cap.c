#include "services/meta-svc/app.h"

#include "services/meta-svc/away.h"
#include "services/meta-svc/store.h"

/* DELETE /caps/{id} */
bool meta_handle_delete_cap(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                            struct err *e)
{
    const struct meta_app *app = arg;
    const struct condition condition = {.if_match = httpd_header(http, "If-Match")};
    const char *id = http->params[0];
    char away[NAME_SIZE] = "";

    if (!httpd_query_only(http, (const char *const[]){NULL}, e) ||
        !condition_is_wellformed(&condition, e) || !name_check("the id", id, e) ||
        !meta_store_delete(&app->here, id, &condition, away, e))
        return false;
    if (away[0] != '\0') {
        meta_away(http, id, away, reply);
        return true;
    }

    metric_add(metric_at(app->changes, "deleted", NULL, NULL), 1);
    outbox_relay_wake(app->relay);
    return true;
}
