#include <stdatomic.h>

#include "common/base/log.h"
#include "common/io/httpc.h"
#include "common/io/service.h"
#include "services/volumecap-server/app.h"

extern const char openapi_json[]; /* made of openapi/volumecap-server.yaml */

static atomic_bool is_refused;

/*
 * Another process has the pool's trust for this ledger.  Which of the two is
 * right is not for a program to say, so this one ends, and an operator looks.
 */
static void refused(void *arg, const struct err *e)
{
    (void)arg;
    (void)e;
    atomic_store(&is_refused, true);
    service_stop();
}

int main(int argc, char **argv)
{
    struct server_config config = {0};
    struct err e = {0};
    int status = 0;

    if (!service_begin(argc, argv, &server_config_table, &config, &status))
        return status;
    httpc_global_init();

    auto_server_app struct server_app *app = NULL;
    if (!server_app_start(&config, openapi_json, refused, &app, &e))
        return service_failed(&e);
    service_wait();
    app = server_app_stop(app);
    log_event(LOG_INFO, "service.stopped");
    return atomic_load(&is_refused) ? 1 : 0;
}
