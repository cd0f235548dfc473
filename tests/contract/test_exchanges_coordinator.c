/* What the coordinator answers. */

#include <criterion/criterion.h>

#include "tests/contract/exchanges.h"
#include "tests/harness/svc.h"

/* clang-format off */
/* It is not primary while it is late with a heartbeat; once it has stepped down it rests. */
static const struct exchange primary[] = {
    {"GET", "/leadership", .status = 200, .contains = "\"state\":\"primary\""},
    {"GET", "/leadership?heard=1", .status = 200, .contains = "\"state\":\"primary\""},
    {"GET", "/members", .status = 200, .contains = "\"self\":true"},
    {"POST", "/step-down", .status = 200, .contains = "\"valid_for_ms\":0"},
    {"POST", "/step-down", .status = 409},
};

static const struct exchange list[] = {
    {"GET", "/leadership?deep=1", .status = 400},
    {"GET", "/leadership?heard=-1", .status = 400},
    {"GET", "/leadership?heard=9007199254740991", .status = 400},
    {"PUT", "/leadership", .status = 405},
    {"GET", "/members?limit=1", .status = 400},
    {"POST", "/members", .status = 405},
    {"GET", "/step-down", .status = 405},
    {"POST", "/step-down?now=1", .status = 400},
};

static const struct exchange away[] = {
    {"GET", "/members", .status = 503},
    {"GET", "/readyz?verbose", .status = 503},
    {"GET", "/leadership", .status = 200, .contains = "\"valid_for_ms\":0"},
    {"GET", "/livez", .status = 200},
};
/* clang-format on */

Test(coordinator, answers)
{
    static const char *const env[] = {"COORDINATOR_ROLE=interval-svc", "COORDINATOR_NAME=a",
                                      "COORDINATOR_SERVICE_SILENT_MS=0",
                                      "COORDINATOR_REST_MS=600000", NULL};
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(pg));
    auto_svc struct svc *s = svc_start(&(struct svc_options){
        .name = "coordinator", .prefix = "COORDINATOR", .conninfo = pg_conninfo(pg), .env = env});
    auto_wire struct wire *w = wire_new("coordinator", svc_port(s));

    wire_await(w, &primary[0]);
    exchanges_builtin(w);
    wire_expect(w, list, COUNT(list));
    for (size_t i = 0; i < COUNT(primary); i++)
        wire_await(w, &primary[i]);

    pg_kill(pg);
    for (size_t i = 0; i < COUNT(away); i++)
        wire_await(w, &away[i]);
}
