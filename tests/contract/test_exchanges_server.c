/* What volumecap-server answers. */

#include <criterion/criterion.h>

#include "tests/contract/exchanges.h"

#define CAP(total, more)                                                                           \
    "{\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","                \
    "\"interval\":\"single\",\"total\":" #total more "}"
#define LATER                                                                                      \
    "{\"starts_at\":\"2099-01-01T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","                \
    "\"interval\":\"single\",\"total\":10}"
#define ASK(cap, more) "{\"cap\":\"" cap "\"" more "}"

/* clang-format off */
static const struct exchange caps[] = {
    {"PUT", "/caps/a", CAP(1000, ""), .status = 201},
    {"PUT", "/caps/none", CAP(0, ""), .status = 201},
    {"PUT", "/caps/paused", CAP(10, ",\"paused\":true"), .status = 201},
    {"PUT", "/caps/later", LATER, .status = 201},
};

static const struct exchange known[] = {
    {"POST", "/consume", ASK("a", ""), .status = 200},
    {"POST", "/consume", ASK("none", ""), .status = 429},
    {"POST", "/consume", ASK("paused", ""), .status = 409},
    {"POST", "/consume", ASK("later", ""), .status = 409},
};

static const struct exchange list[] = {
    {"POST", "/consume", ASK("a", ",\"amount\":3,\"mode\":\"all\""), .status = 200},
    {"POST", "/consume", ASK("a", ",\"amount\":5,\"mode\":\"best_effort\""), .status = 200},
    {"POST", "/consume", ASK("a", ",\"amount\":1,\"mode\":\"check\""), .status = 200},
    {"POST", "/consume", ASK("none", ",\"mode\":\"check\""), .status = 429},
    {"POST", "/consume", ASK("nowhere", ""), .status = 404},
    {"POST", "/consume",
     "{\"items\":[" ASK("a", "") "," ASK("none", "") "," ASK("paused", "") "," ASK("later", "") ","
     ASK("nowhere", ",\"amount\":2") "]}", .status = 200, .contains = "\"verdict\":\"unknown\""},
    {"POST", "/consume", ASK("a", ",\"amount\":0"), .status = 400, .contains = "\"/amount\""},
    {"POST", "/consume", ASK("a", ",\"mode\":\"some\""), .status = 400, .contains = "\"/mode\""},
    {"POST", "/consume", ASK("a", ",\"surprise\":1"), .status = 400},
    {"POST", "/consume", "{\"items\":[]}", .status = 400},
    {"POST", "/consume", "{\"items\":[{}]}", .status = 400, .contains = "\"/items/0"},
    {"POST", "/consume", "\"a\"", .status = 400},
    {"POST", "/consume", ASK("a", ""), NOT_JSON, .status = 415},
    {"GET",  "/consume", .status = 405},

    {"POST", "/refund", ASK("a", ",\"amount\":1"), .status = 200},
    {"POST", "/refund", ASK("a", ",\"amount\":1,\"starts_at\":\"2020-01-01T01:00:00+01:00\""),
     .status = 200},
    {"POST", "/refund", ASK("a", ",\"amount\":1000"), .status = 409},
    {"POST", "/refund", ASK("a", ",\"amount\":1,\"starts_at\":\"2020-01-02T00:00:00Z\""),
     .status = 409},
    {"POST", "/refund", ASK("later", ",\"amount\":1"), .status = 409},
    {"POST", "/refund", ASK("nowhere", ",\"amount\":1"), .status = 404},
    {"POST", "/refund",
     "{\"items\":[" ASK("a", ",\"amount\":1") "," ASK("a", ",\"amount\":1000") ","
     ASK("nowhere", ",\"amount\":1") "," ASK("later", ",\"amount\":1") "]}", .status = 200},
    {"POST", "/refund", ASK("a", ""), .status = 400},
    {"POST", "/refund", ASK("a", ",\"amount\":1"), NOT_JSON, .status = 415},
    {"GET",  "/refund", .status = 405},

    {"GET",  "/caps/a", .status = 200, .contains = "\"current\":true"},
    {"GET",  "/caps/later", .status = 200, .contains = "\"current\":false"},
    {"GET",  "/caps/nowhere", .status = 404},
    {"GET",  "/caps/not%20a%20name", .status = 400},
    {"POST", "/caps/a", .status = 405},
};

static const struct exchange without_local[] = {
    {"POST", "/consume", ASK("a", ",\"amount\":900"), .status = 503},
    {"POST", "/consume", ASK("a", ""), .status = 200},
    {"GET",  "/readyz?verbose", .status = 200},
};

/* A server that has just been started and has heard nothing yet, not even on an old ledger. */
static const struct exchange alive = {"GET", "/livez", .status = 200};
static const struct exchange unaware[] = {
    {"POST", "/consume", ASK("new", ""), .status = 503},
    {"POST", "/refund", ASK("new", ",\"amount\":1"), .status = 503},
    {"GET",  "/caps/new", .status = 503},
    {"GET",  "/readyz", .status = 503},
};
/* clang-format on */

static void await_all(struct wire *w, const struct exchange *each, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wire_await(w, &each[i]);
}

static void expect_too_large(struct wire *w, const char *body)
{
    const struct exchange too_large[] = {
        {"POST", "/consume", body, .status = 413},
        {"POST", "/refund", body, .status = 413},
    };

    wire_expect(w, too_large, COUNT(too_large));
}

Test(volumecap_server, answers)
{
    auto_dc struct dc *dc = dc_start(&(struct dc_options){.servers = 1});
    auto_wire struct wire *meta = exchanges_wire(dc, DC_META);
    auto_wire struct wire *w = exchanges_wire(dc, DC_SERVER);
    auto_free char *large = exchanges_large_body(256 << 10);

    wire_expect(meta, caps, COUNT(caps));
    await_all(w, known, COUNT(known));
    wire_expect(w, list, COUNT(list));
    expect_too_large(w, large);
    exchanges_builtin(w);

    dc_kill(dc, DC_LOCAL, 0);
    wire_expect(w, without_local, COUNT(without_local));

    dc_kill(dc, DC_SERVER, 0);
    dc_launch(dc, DC_SERVER, 0);
    wire_await(w, &alive);
    wire_expect(w, unaware, COUNT(unaware));
}
