#include "services/volumecap-server/app.h"

#include "common/base/clk.h"
#include "services/volumecap-server/consume.h"

/* POST /consume */

bool server_handle_consume(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                           struct err *e)
{
    struct server_app *app = arg;
    __attribute__((cleanup(consume_done))) struct consume c = {0};

    if (!consume_decode(req, &c, e))
        return false;
    if (consume_try(&c, &app->spender, clk_now_ms()) > 0 && waiting_add(app->waiting, req, &c))
        return true;
    consume_reply(&c, &app->metrics, reply);
    return true;
}
