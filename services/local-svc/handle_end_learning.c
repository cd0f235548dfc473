#include "common/base/log.h"
#include "common/io/js.h"
#include "services/local-svc/learning_json.h"

/* POST /learning/end: whoever says so must have looked, and says why. */

#define REASON_MAX 200

struct order {
    int64_t incarnation;
    char reason[REASON_MAX + 1];
};

/* clang-format off */
#define AT(member) offsetof(struct order, member)
static const struct js_field fields[] = {
    {.name = "incarnation", .kind = JS_I64,  .offset = AT(incarnation), .max = UNITS_MAX},
    {.name = "reason",      .kind = JS_TEXT, .offset = AT(reason), .min = 1, .max = REASON_MAX},
};
#undef AT
/* clang-format on */

bool handle_end_learning(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                         struct err *e)
{
    const struct local_app *app = arg;
    auto_js cJSON *body = NULL;
    struct order order = {0};

    if (!httpd_query_only(req, local_no_query, e) ||
        !js_parse(req->body, req->body_len, &body, e) ||
        !js_decode(body, "", fields, sizeof(fields) / sizeof(fields[0]), &order, e) ||
        !store_learn_end(app->db, order.incarnation, e))
        return false;
    log_event(LOG_ERROR, "learning.overruled", log_i64("incarnation", order.incarnation),
              log_str("reason", order.reason));
    return learning_json(arg, &reply->body, e);
}
