/* coordinator: which replica of a service acts. */

#include "common/io/service.h"
#include "services/coordinator/app.h"
#include "services/coordinator/config.h"

#define BODY_MAX 1024
#define START_STANDBY_MS 30000

extern const char openapi_json[]; /* made of openapi/coordinator.yaml */

static bool is_ready(void *arg, struct buf *out)
{
    const struct coordinator_app *app = arg;
    const struct standing_answer answer = standing_look(app->standing);
    struct coordinator_sight sight;
    struct err e;
    bool ok = standing_sight(app->standing, &sight, &e);

    buf_printf(out, "database: %s\n", ok ? "ok" : e.msg);
    buf_printf(out, "leadership: %s, epoch %lld\n", standing_names[answer.state],
               (long long)answer.epoch);
    return ok && answer.state != STANDING_CONNECTING;
}

static bool start_http(const struct coordinator_config *config, struct coordinator_app *app,
                       struct metrics *metrics, struct httpd **ret, struct err *e)
{
    const struct httpd_config http = {
        .settings = config->http,
        .body_max = BODY_MAX,
        .routes = coordinator_routes,
        .routes_count = coordinator_routes_count,
        .openapi = openapi_json,
        .ready = is_ready,
        .arg = app,
        .metrics = metrics,
    };

    return httpd_start(&http, ret, e);
}

static bool serve(const struct coordinator_config *config, struct metrics *metrics, struct err *e)
{
    auto_standing struct standing *standing = standing_new();
    auto_starter struct starter *starter = NULL;
    auto_elector struct elector *elector = NULL;
    auto_httpd struct httpd *httpd = NULL;

    starter = starter_new(&(struct starter_config){.command = config->start_standby,
                                                   .missing_ms = config->standby_missing_ms,
                                                   .command_ms = START_STANDBY_MS,
                                                   .metrics = metrics});
    const struct elector_config election = {
        .conninfo = config->db,
        .role = config->role,
        .name = config->name,
        .rest_ms = config->rest_ms,
        .service_silent_ms = config->service_silent_ms,
        .standing = standing,
        .starter = starter,
        .metrics = metrics,
    };
    if (!elector_start(&election, &elector, e))
        return false;
    struct coordinator_app app = {
        .role = config->role, .name = config->name, .standing = standing, .elector = elector};
    if (!start_http(config, &app, metrics, &httpd, e))
        return false;

    service_wait();
    httpd_drain(httpd);
    /* Who asks meanwhile is told not to act any more. */
    elector_retire(elector);
    return true;
}

int main(int argc, char **argv)
{
    struct coordinator_config config = {0};
    int status = 0;
    struct err e;

    if (!service_begin(argc, argv, &coordinator_config_table, &config, &status))
        return status;

    auto_metrics struct metrics *metrics = metrics_new();
    if (!serve(&config, metrics, &e))
        return service_failed(&e);
    return 0;
}
