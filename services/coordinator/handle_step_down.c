#include "services/coordinator/app.h"

#include <stdlib.h>

#include "common/base/check.h"

/* POST /step-down */

struct waiting {
    const struct coordinator_app *app;
    struct httpd_call *call;
};

/* On the elector's thread, when the lock is no longer held. */
static void left(void *arg, const struct standing_answer *answer)
{
    auto_free struct waiting *w = arg;
    struct httpd_reply reply = {.status = 200};

    coordinator_write_leadership(w->app, answer, &reply.body);
    httpd_complete(w->call, &reply, NULL);
}

bool coordinator_handle_step_down(void *arg, const struct httpd_request *http,
                                  struct httpd_reply *reply, struct err *e)
{
    const struct coordinator_app *app = arg;
    auto_free struct waiting *w = malloc(sizeof(*w));
    struct err why;

    (void)reply;
    CHECK(w != NULL);
    if (!httpd_query_only(http, (const char *const[]){NULL}, e))
        return false;
    /* It may be answered before we know that it will be. */
    *w = (struct waiting){.app = app, .call = httpd_defer(http)};
    if (!standing_ask_to_leave(app->standing, left, w, &why)) {
        httpd_complete(w->call, NULL, &why);
        return true;
    }
    (void)TAKE(w);
    elector_wake(app->elector);
    return true;
}
