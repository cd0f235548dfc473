/* What meta-svc answers. */

#include <criterion/criterion.h>

#include "tests/contract/exchanges.h"

#define CAP(total)                                                                                 \
    "{\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","                \
    "\"interval\":\"single\",\"total\":" #total "}"

#define THEIRS(home)                                                                               \
    "{\"id\":\"theirs\",\"revision\":3,\"version\":1,\"deleted\":false,\"home\":\"" home "\","     \
    "\"created_at\":\"2020-01-01T00:00:00Z\",\"changed_at\":\"2020-01-01T00:00:00Z\","             \
    "\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","                 \
    "\"interval\":\"single\",\"total\":1}"

/* clang-format off */
static const struct exchange list[] = {
    {"PUT",    "/caps/a", CAP(10), .status = 201},
    {"PUT",    "/caps/a", CAP(10), .status = 200},
    {"PUT",    "/caps/a", CAP(11), .status = 428},
    {"PUT",    "/caps/a", CAP(11), {"If-Match: \"7\""}, .status = 412},
    {"PUT",    "/caps/a", CAP(11), {"If-Match: \"1\""}, .status = 200, .contains = "\"version\":2"},
    {"PUT",    "/caps/a", CAP(12), {"If-None-Match: *"}, .status = 412},
    {"PUT",    "/caps/a", CAP(12), {"If-Match: *"}, .status = 200},
    {"PUT",    "/caps/b",
     "{\"starts_at\":\"2020-01-01T00:00:00+01:00\",\"ends_at\":\"2100-01-01T00:00:00Z\","
     "\"interval\":\"day\",\"total\":9007199254740991,\"initial_total\":0,"
     "\"time_zone\":\"Europe/Berlin\",\"topup_fraction\":0.000001,\"slice_max_fraction\":1,"
     "\"autonomy_ms\":0,\"paused\":true}", {"If-None-Match: *"}, .status = 201},
    {"PUT",    "/caps/c", CAP(-1), .status = 400, .contains = "\"/total\""},
    {"PUT",    "/caps/c", CAP(1.5), .status = 400},
    {"PUT",    "/caps/c", CAP(9007199254740992), .status = 400},
    {"PUT",    "/caps/c", "{", .status = 400},
    {"PUT",    "/caps/c", "{\"surprise\":1}", .status = 400, .contains = "\"/surprise\""},
    {"PUT",    "/caps/c", NULL, .status = 400},
    {"PUT",    "/caps/c", CAP(1), NOT_JSON, .status = 415},
    {"PUT",    "/caps/not%20a%20name", CAP(1), .status = 400},
    {"PUT",    "/caps/c", CAP(1), {"If-Match: 1"}, .status = 400},
    {"POST",   "/caps/c", .status = 405},
    {"GET",    "/caps/a", .status = 200},
    {"GET",    "/caps/a", .headers = {"If-None-Match: \"3\""}, .status = 304},
    {"GET",    "/caps/a", .headers = {"If-None-Match: \"2\""}, .status = 200},
    {"GET",    "/caps/a?verbose=1", .status = 400},
    {"GET",    "/caps/not%20a%20name", .status = 400},
    {"GET",    "/caps/nowhere", .status = 404},
    {"GET",    "/caps", .status = 200, .contains = "\"next\":null"},
    {"GET",    "/caps?limit=1", .status = 200, .contains = "\"next\":\"a\""},
    {"GET",    "/caps?limit=1&after=a", .status = 200, .contains = "\"id\":\"b\""},
    {"GET",    "/caps?limit=0", .status = 400},
    {"GET",    "/caps?limit=1001", .status = 400},
    {"GET",    "/caps?after=%20", .status = 400},
    {"GET",    "/caps?limit=1&limit=2", .status = 400},
    {"POST",   "/caps", .status = 405},
    {"DELETE", "/caps/a", .headers = {"If-Match: 1"}, .status = 400},
    {"DELETE", "/caps/a", .headers = {"If-Match: \"1\""}, .status = 412},
    {"DELETE", "/caps/nowhere", .status = 404},
    {"DELETE", "/caps/a", .headers = {"If-Match: \"3\""}, .status = 204},
    {"DELETE", "/caps/a", .status = 404},
    {"DELETE", "/caps/b", .status = 204},
    {"PUT",    "/caps/a", CAP(10), .status = 201, .contains = "\"version\":5"},
    {"GET",    "/definitions?since=0&limit=1", .status = 200, .contains = "\"more\":true"},
    {"GET",    "/definitions?since=1000000&wait_ms=1", .status = 200},
    {"GET",    "/definitions?limit=201", .status = 400},
    {"POST",   "/definitions", .status = 405},
    {"PUT",    "/peers/aa/definitions",
     "{\"from_revision\":0,\"to_revision\":3,\"definitions\":[" THEIRS("aa") "]}",
     .status = 200, .contains = "{\"applied_revision\":3}"},
    {"PUT",    "/peers/ab/definitions",
     "{\"from_revision\":0,\"to_revision\":3,\"definitions\":[" THEIRS("aa") "]}",
     .status = 400, .contains = "\"/definitions/0/home\""},
    {"PUT",    "/peers/aa/definitions", NULL, .status = 400},
    {"PUT",    "/peers/aa/definitions", "{}", NOT_JSON, .status = 415},
    {"DELETE", "/peers/aa/definitions", .status = 405},
    {"GET",    "/peers/aa/definitions", .status = 200},
    {"GET",    "/peers/not%20a%20name/definitions", .status = 400},
    {"GET",    "/caps/theirs", .status = 200, .contains = "\"home\":\"aa\""},
    {"PUT",    "/caps/theirs", CAP(1), .status = 409, .contains = "\"home\":\"aa\""},
    {"DELETE", "/caps/theirs", .status = 409, .contains = "\"home\":\"aa\""},
};

static const struct exchange effective[] = {
    {"GET", "/caps/a", .status = 200, .contains = "\"effective\":10"},
    {"GET", "/caps/a", .status = 200, .contains = "\"intervals\":null"},
};

static const struct exchange without_database[] = {
    {"GET",    "/caps", .status = 503},
    {"GET",    "/caps/a", .status = 503},
    {"PUT",    "/caps/a", CAP(10), .status = 503},
    {"DELETE", "/caps/a", .status = 503},
    {"GET",    "/definitions", .status = 503},
    {"GET",    "/peers/aa/definitions", .status = 503},
    {"PUT",    "/peers/aa/definitions",
     "{\"from_revision\":0,\"to_revision\":0,\"definitions\":[]}", .status = 503},
    {"GET",    "/livez", .status = 200},
};
/* clang-format on */

static const struct exchange not_ready = {"GET", "/readyz?verbose", .status = 503};

Test(meta_svc, answers)
{
    auto_dc struct dc *dc = dc_start(&(struct dc_options){.servers = 1});
    auto_wire struct wire *w = exchanges_wire(dc, DC_META);
    auto_free char *large = exchanges_large_body(16 << 10);
    auto_free char *very_large = exchanges_large_body(512 << 10);
    const struct exchange too_large[] = {
        {"PUT", "/caps/c", large, .status = 413},
        {"PUT", "/peers/aa/definitions", very_large, .status = 413},
    };

    wire_expect(w, list, COUNT(list));
    wire_expect(w, too_large, COUNT(too_large));
    wire_await(w, &effective[0]);
    exchanges_builtin(w);

    dc_kill(dc, DC_INTERVAL, 0);
    wire_await(w, &effective[1]);

    pg_kill(dc_pg(dc));
    wire_expect(w, without_database, COUNT(without_database));
    wire_await(w, &not_ready);
}
