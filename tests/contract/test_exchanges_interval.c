/* What interval-svc answers. */

#include <criterion/criterion.h>

#include "tests/contract/exchanges.h"

#define DEFINITION(version, more)                                                                  \
    "{\"version\":" #version ",\"deleted\":false,\"starts_at\":\"2020-01-01T00:00:00Z\","          \
    "\"ends_at\":\"2100-01-01T00:00:00Z\",\"interval\":\"day\",\"total\":10,"                      \
    "\"time_zone\":\"America/New_York\",\"topup_fraction\":0.1,\"slice_max_fraction\":0.05,"       \
    "\"autonomy_ms\":10000,\"paused\":false" more "}"

/* clang-format off */
static const struct exchange list[] = {
    {"PUT", "/definitions/a", DEFINITION(2, ""), .status = 204},
    {"PUT", "/definitions/a", DEFINITION(2, ",\"initial_total\":null"), .status = 204},
    {"PUT", "/definitions/a", DEFINITION(1, ",\"initial_total\":3"), .status = 204},
    {"PUT", "/definitions/a", DEFINITION(1, ",\"home_version\":1"), .status = 204},
    {"PUT", "/definitions/a", DEFINITION(3, ",\"home_version\":-1"), .status = 400},
    {"PUT", "/definitions/a", DEFINITION(0, ""), .status = 400, .contains = "\"/version\""},
    {"PUT", "/definitions/a", DEFINITION(3, ",\"surprise\":3"), .status = 400},
    {"PUT", "/definitions/a", "[]", .status = 400},
    {"PUT", "/definitions/a", .status = 400},
    {"PUT", "/definitions/not%20a%20name", DEFINITION(3, ""), .status = 400},
    {"PUT", "/definitions/a", DEFINITION(3, ""), NOT_JSON, .status = 415},
    {"GET", "/definitions/a", .status = 405},
    {"GET", "/caps/nowhere/intervals", .status = 404},
    {"GET", "/caps/not%20a%20name/intervals", .status = 400},
    {"GET", "/caps/a/intervals?limit=1", .status = 400},
    {"PUT", "/caps/a/intervals", .status = 405},
};

static const struct exchange effective[] = {
    {"GET", "/caps/a/intervals", .status = 200, .contains = "\"effective\":10"},
    {"GET", "/caps/a/intervals", .status = 200, .contains = "\"effective\":null"},
};

static const struct exchange without_database[] = {
    {"PUT", "/definitions/a", DEFINITION(4, ""), .status = 503},
    {"GET", "/caps/a/intervals", .status = 503},
    {"GET", "/livez", .status = 200},
};
/* clang-format on */

static const struct exchange not_ready = {"GET", "/readyz?verbose", .status = 503};

Test(interval_svc, answers)
{
    auto_dc struct dc *dc = dc_start(&(struct dc_options){.servers = 1});
    auto_wire struct wire *w = exchanges_wire(dc, DC_INTERVAL);
    auto_free char *large = exchanges_large_body(16 << 10);

    wire_expect(w, list, COUNT(list));
    wire_expect(w, &(struct exchange){"PUT", "/definitions/a", large, .status = 413}, 1);
    wire_await(w, &effective[0]);
    exchanges_builtin(w);

    dc_kill(dc, DC_LOCAL, 0);
    wire_await(w, &effective[1]);

    pg_kill(dc_pg(dc));
    wire_expect(w, without_database, COUNT(without_database));
    wire_await(w, &not_ready);
}
