/* remote-svc: what this data centre and the others tell each other. */

#include "common/io/httpc.h"
#include "common/io/service.h"
#include "services/remote-svc/app.h"

extern const char openapi_json[]; /* made of openapi/remote-svc.yaml */

int main(int argc, char **argv)
{
    struct remote_config config = {0};
    auto_remote_app struct remote_app *app = NULL;
    struct err e = {0};
    int status = 0;

    if (!service_begin(argc, argv, &remote_config_table, &config, &status))
        return status;
    httpc_global_init();
    if (!remote_app_start(&config, openapi_json, &app, &e))
        return service_failed(&e);
    service_wait();
    return 0;
}
