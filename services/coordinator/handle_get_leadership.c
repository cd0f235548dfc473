#include "services/coordinator/app.h"

#include "common/base/num.h"
#include "common/io/js.h"

/* GET /leadership[?heard=EPOCH]: only the service beside us says what it has heard. */

/* Far above what elections come to, so that there is always room for the next. */
#define EPOCH_MAX (UNITS_MAX / 2)

void coordinator_write_leadership(const struct coordinator_app *app,
                                  const struct standing_answer *answer, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_text(&w, "role", app->role);
    js_text(&w, "name", app->name);
    js_text(&w, "state", standing_names[answer->state]);
    js_i64(&w, "epoch", answer->epoch);
    js_i64(&w, "valid_for_ms", answer->valid_for_ms);
    js_text(&w, "holder", answer->holder[0] != '\0' ? answer->holder : NULL);
    if (answer->since_ms >= 0)
        js_time(&w, "since", answer->since_ms);
    else
        js_null(&w, "since");
    js_object_end(&w);
}

bool coordinator_handle_get_leadership(void *arg, const struct httpd_request *http,
                                       struct httpd_reply *reply, struct err *e)
{
    const struct coordinator_app *app = arg;
    const char *heard = httpd_query(http, "heard");
    int64_t epoch = 0;

    if (!httpd_query_only(http, (const char *const[]){"heard", NULL}, e))
        return false;
    if (heard != NULL && !num_parse_i64(heard, 0, EPOCH_MAX, &epoch, e))
        return err_while(e, "heard");
    const struct standing_answer answer =
        heard != NULL ? standing_tell_service(app->standing, epoch) : standing_tell(app->standing);
    coordinator_write_leadership(app, &answer, &reply->body);
    return true;
}
