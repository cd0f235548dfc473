#include "services/local-svc/learning_json.h"

/* GET /learning */

bool handle_get_learning(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                         struct err *e)
{
    return httpd_query_only(req, local_no_query, e) && learning_json(arg, &reply->body, e);
}
