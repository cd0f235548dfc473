/* What local-svc answers. */

#include <criterion/criterion.h>

#include "tests/contract/exchanges.h"

#define WINDOW "/intervals/a/2020-01-01T00:00:00Z"
#define STARTS_AT "\"starts_at\":\"2020-01-01T00:00:00Z\""

#define ANNOUNCEMENT(version, more)                                                                \
    "{\"version\":" #version ",\"ends_at\":\"2100-01-01T00:00:00Z\",\"state\":\"open\","           \
    "\"total\":1000,\"topup_fraction\":0.1,\"slice_max_fraction\":0.05,\"autonomy_ms\":10000,"     \
    "\"paused\":false" more "}"

#define SAYS(server, generation, process, items)                                                   \
    "{\"server\":\"" server "\",\"incarnation\":\"00000000-0000-4000-8000-000000000001\","         \
    "\"generation\":" #generation ",\"process\":\"00000000-0000-4000-9000-00000000000" #process    \
    "\",\"items\":[" items "]}"

#define ITEM(cap, known, consumed, want)                                                           \
    "{\"cap\":\"" cap "\"," STARTS_AT ",\"granted_known\":" #known                                 \
    ",\"returned\":0,\"consumed\":" #consumed ",\"refunded\":0" want "}"

#define ROWS(from)                                                                                 \
    "{\"from\":\"" from "\",\"rows\":[{\"cap\":\"a\"," STARTS_AT ",\"home\":\"local\","            \
    "\"sent\":0,\"received\":0,\"want\":0,\"lack\":0,\"burn\":0,\"free\":0,\"spent\":0,"           \
    "\"rate_milli\":0,\"version\":1}]}"

#define REPORT ITEM("a", 0, 0, "")
#define WISH ITEM("a", 0, 0, ",\"want\":5,\"rate_milli\":1500")

/* clang-format off */
static const struct exchange list[] = {
    {"GET",  "/pools/a", .status = 404},
    {"PUT",  WINDOW, ANNOUNCEMENT(2, ""), .status = 204},
    {"PUT",  WINDOW, ANNOUNCEMENT(1, ",\"definition\":7"), .status = 204},
    {"PUT",  WINDOW, ANNOUNCEMENT(3, ",\"definition\":-1"), .status = 400, .contains = "\"/definition\""},
    {"PUT",  "/intervals/a/2099-01-01T00%3A00%3A00Z",
     "{\"version\":1,\"ends_at\":\"2100-01-01T00:00:00Z\",\"state\":\"planned\",\"total\":0,"
     "\"topup_fraction\":1,\"slice_max_fraction\":0.000001,\"autonomy_ms\":0,\"paused\":true}",
     .status = 204},
    {"PUT",  WINDOW, ANNOUNCEMENT(0, ""), .status = 400, .contains = "\"/version\""},
    {"PUT",  WINDOW, ANNOUNCEMENT(3, ",\"surprise\":1"), .status = 400},
    {"PUT",  WINDOW, .status = 400},
    {"PUT",  "/intervals/a/yesterday", ANNOUNCEMENT(3, ""), .status = 400},
    {"PUT",  "/intervals/not%20a%20name/2020-01-01T00:00:00Z", ANNOUNCEMENT(3, ""), .status = 400},
    {"PUT",  WINDOW, ANNOUNCEMENT(3, ""), NOT_JSON, .status = 415},
    {"GET",  WINDOW, .status = 405},

    {"POST", "/topup", SAYS("s", 2, 1, ""), .status = 200, .contains = "\"items\":[]"},
    {"POST", "/topup", SAYS("s", 2, 1, WISH), .status = 200, .contains = "\"state\":\"open\""},
    {"POST", "/topup", SAYS("s", 2, 1, ITEM("x", 0, 0, ",\"want\":1")), .status = 200,
     .contains = "\"state\":\"unknown\""},
    {"POST", "/topup", SAYS("s", 2, 1, WISH "," WISH), .status = 400},
    {"POST", "/topup", SAYS("s", 0, 1, WISH), .status = 400, .contains = "\"/generation\""},
    {"POST", "/topup", SAYS("s", 2, 1, ITEM("a", 0, 0, ",\"surprise\":1")), .status = 400,
     .contains = "\"/items/0/surprise\""},
    {"POST", "/topup", "null", .status = 400},
    {"POST", "/topup", SAYS("s", 1, 1, WISH), .status = 409},
    {"POST", "/topup", SAYS("s", 2, 2, WISH), .status = 409},
    {"POST", "/topup", SAYS("s", 2, 1, WISH), NOT_JSON, .status = 415},
    {"GET",  "/topup", .status = 405},

    {"POST", "/return", SAYS("s", 2, 1, REPORT), .status = 200},
    {"POST", "/return", SAYS("s", 2, 1, WISH), .status = 400, .contains = "/items/0/want"},
    {"POST", "/return", SAYS("s", 1, 1, REPORT), .status = 409},
    {"POST", "/return", SAYS("s", 2, 1, REPORT), NOT_JSON, .status = 415},
    {"GET",  "/return", .status = 405},

    {"GET",  "/watch", .status = 200, .contains = "\"cap\":\"a\""},
    {"GET",  "/watch?since=9007199254740991&wait_ms=10", .status = 200},
    {"GET",  "/watch?since=-1", .status = 400},
    {"GET",  "/watch?wait_ms=30001", .status = 400},
    {"POST", "/watch", .status = 405},

    {"GET",  "/pools", .status = 200, .contains = "\"next\":null"},
    {"GET",  "/pools?limit=1", .status = 200, .contains = "\"next\":\"a/"},
    {"GET",  "/pools?limit=1&after=a/2020-01-01T00:00:00Z", .status = 200},
    {"GET",  "/pools?peers=false", .status = 200, .contains = "\"dc\":\"local\""},
    {"GET",  "/pools?peers=yes", .status = 400},
    {"GET",  "/pools?limit=0", .status = 400},
    {"GET",  "/pools?after=a", .status = 400},
    {"POST", "/pools", .status = 405},
    {"GET",  "/pools/a", .status = 200, .contains = "\"server\":\"s\""},
    {"GET",  "/pools/not%20a%20name", .status = 400},
    {"POST", "/pools/a", .status = 405},

    {"POST", "/rows", ROWS("paris"), .status = 200, .contains = "\"applied\""},
    {"POST", "/rows", ROWS("nowhere"), .status = 400, .contains = "\"/from\""},
    {"POST", "/rows", ROWS("paris"), NOT_JSON, .status = 415},
    {"GET",  "/rows", .status = 200},
    {"GET",  "/rows?since=0&wait_ms=10&limit=5", .status = 200},
    {"GET",  "/rows?peer=paris", .status = 200, .contains = "\"peer\":\"paris\""},
    {"GET",  "/rows?peer=paris&in_transit=true&limit=1", .status = 200,
     .contains = "\"in_transit_units\":"},
    {"GET",  "/rows?peer=nowhere", .status = 400},
    {"GET",  "/pools?peers=true", .status = 200, .contains = "\"peers\":[{\"peer\":\"paris\""},
    {"PUT",  "/rows", ROWS("paris"), .status = 405},

    {"GET",  "/audit", .status = 200, .contains = "\"clean\":true"},
    {"GET",  "/audit?deep=1", .status = 400},
    {"POST", "/audit", .status = 405},

    {"GET",  "/learning", .status = 200, .contains = "\"learning\":false"},
    {"GET",  "/learning?deep=1", .status = 400},
    {"POST", "/learning", .status = 405},
    {"POST", "/learning/end", "{\"incarnation\":7,\"reason\":\"so\"}", .status = 409},
    {"POST", "/learning/end", "{\"incarnation\":7}", .status = 400, .contains = "/reason"},
    {"POST", "/learning/end", "{}", NOT_JSON, .status = 415},
    {"GET",  "/learning/end", .status = 405},
};

/* A report that contradicts the pool freezes that slice alone. */
static const struct exchange contradiction[] = {
    {"POST", "/topup", SAYS("s", 2, 1, ITEM("a", 50, 900, ",\"want\":1")), .status = 200,
     .contains = "\"state\":\"frozen\""},
    {"GET",  "/pools/a", .status = 200, .contains = "\"state\":\"frozen\""},
};

/* A database that refuses to book it is no reason to refuse the others. */
static const struct exchange broken[] = {
    {"POST", "/topup", SAYS("unlucky", 1, 1, WISH), .status = 500},
    {"POST", "/return", SAYS("unlucky", 1, 1, REPORT), .status = 500},
    {"POST", "/topup", SAYS("s", 2, 1, ""), .status = 200},
};

/* An incarnation that nobody has spoken in. */
static const struct exchange in_doubt[] = {
    {"GET",  "/learning", .status = 200, .contains = "\"learning\":true"},
    {"POST", "/learning/end", "{\"incarnation\":7,\"reason\":\"so\"}", .status = 200},
};

static const struct exchange without_database[] = {
    {"PUT",  WINDOW, ANNOUNCEMENT(9, ""), .status = 503},
    {"POST", "/topup", SAYS("s", 2, 1, WISH), .status = 503},
    {"POST", "/return", SAYS("s", 2, 1, REPORT), .status = 503},
    {"GET",  "/rows", .status = 503},
    {"POST", "/rows", ROWS("paris"), .status = 503},
    {"GET",  "/watch", .status = 503},
    {"GET",  "/pools", .status = 503},
    {"GET",  "/pools/a", .status = 503},
    {"GET",  "/audit", .status = 503},
    {"GET",  "/learning", .status = 503},
    {"POST", "/learning/end", "{\"incarnation\":7,\"reason\":\"so\"}", .status = 503},
    {"GET",  "/livez", .status = 200},
};
/* clang-format on */

static const struct exchange not_ready = {"GET", "/readyz?verbose", .status = 503};

static void expect_too_large(struct wire *w, const char *body)
{
    const struct exchange too_large[] = {
        {"PUT", WINDOW, body, .status = 413},           {"POST", "/topup", body, .status = 413},
        {"POST", "/return", body, .status = 413},       {"POST", "/rows", body, .status = 413},
        {"POST", "/learning/end", body, .status = 413},
    };

    wire_expect(w, too_large, COUNT(too_large));
}

Test(local_svc, answers)
{
    static const char *const env[] = {"LOCAL_PEERS=paris", NULL};
    auto_dc struct dc *dc = dc_start(&(struct dc_options){.servers = 1, .env = env});
    auto_wire struct wire *w = exchanges_wire(dc, DC_LOCAL);
    auto_free char *large = exchanges_large_body(1 << 20);

    wire_expect(w, list, COUNT(list));
    expect_too_large(w, large);
    wire_expect(w, contradiction, COUNT(contradiction));
    exchanges_builtin(w);

    pg_exec(dc_conninfo(dc), "ALTER TABLE local.server ADD CHECK (name <> 'unlucky')");
    wire_expect(w, broken, COUNT(broken));

    pg_exec(dc_conninfo(dc), "UPDATE local.dc SET incarnation = 7, in_doubt = true, is_lost = true,"
                             "       has_heard = false, since = clock_timestamp()");
    wire_expect(w, in_doubt, COUNT(in_doubt));

    pg_kill(dc_pg(dc));
    wire_expect(w, without_database, COUNT(without_database));
    wire_await(w, &not_ready);
}
