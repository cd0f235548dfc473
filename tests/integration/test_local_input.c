/* local_input: what is wrong is refused with its place, and changes nothing. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "tests/harness/local.h"
#include "tests/harness/pg.h"

PG_SUITE();

#define UUID "00000000-0000-4000-8000-000000000000"
#define HEAD                                                                                       \
    "{\"server\":\"s\",\"incarnation\":\"" UUID "\",\"generation\":1,\"process\":\"" UUID "\","
#define KEY "\"cap\":\"a\",\"starts_at\":\"2020-01-01T00:00:00Z\","
#define COUNTERS "\"granted_known\":0,\"returned\":0,\"consumed\":0,\"refunded\":0"
#define ONE(item) HEAD "\"items\":[" item "]}"
#define GOOD "{" KEY COUNTERS ",\"want\":1}"

struct row {
    const char *name;
    const char *path;
    const char *body;
    const char *pointer; /* NULL: none */
};

/* clang-format off */
static const struct row bad_topups[] = {
    {"not JSON",                 "/topup", "{", NULL},
    {"an empty body",            "/topup", "", NULL},
    {"not an object",            "/topup", "[]", NULL},
    {"trailing garbage",         "/topup", ONE(GOOD) "x", NULL},
    {"a duplicate member",       "/topup", "{\"server\":\"s\",\"server\":\"s\"}", NULL},
    {"no items member",          "/topup", HEAD "\"x\":1}", "/x"},
    {"items not an array",       "/topup", HEAD "\"items\":{}}", "/items"},
    {"an item not an object",    "/topup", ONE("1"), "/items/0"},
    {"an unknown member",        "/topup", ONE("{" KEY COUNTERS ",\"want\":1,\"x\":1}"), "/items/0/x"},
    {"no want",                  "/topup", ONE("{" KEY COUNTERS "}"), "/items/0/want"},
    {"a negative want",          "/topup", ONE("{" KEY COUNTERS ",\"want\":-1}"), "/items/0/want"},
    {"a fractional want",        "/topup", ONE("{" KEY COUNTERS ",\"want\":1.5}"), "/items/0/want"},
    {"a want of 2^53",           "/topup", ONE("{" KEY COUNTERS ",\"want\":9007199254740992}"), "/items/0/want"},
    {"a want of 1e400",          "/topup", ONE("{" KEY COUNTERS ",\"want\":1e400}"), "/items/0/want"},
    {"a want of text",           "/topup", ONE("{" KEY COUNTERS ",\"want\":\"1\"}"), "/items/0/want"},
    {"a want of null",           "/topup", ONE("{" KEY COUNTERS ",\"want\":null}"), "/items/0/want"},
    {"a negative want_min",      "/topup", ONE("{" KEY COUNTERS ",\"want\":1,\"want_min\":-1}"), "/items/0/want_min"},
    {"a want_min of text",       "/topup", ONE("{" KEY COUNTERS ",\"want\":1,\"want_min\":\"1\"}"), "/items/0/want_min"},
    {"a want_min of null",       "/topup", ONE("{" KEY COUNTERS ",\"want\":1,\"want_min\":null}"), "/items/0/want_min"},
    {"a want_min of 2^53",       "/topup", ONE("{" KEY COUNTERS ",\"want\":1,\"want_min\":9007199254740992}"), "/items/0/want_min"},
    {"a want_min of who returns", "/return", ONE("{" KEY COUNTERS ",\"want_min\":0}"), "/items/0/want_min"},
    {"a want_min above want",    "/topup", ONE("{" KEY COUNTERS ",\"want\":1,\"want_min\":2}"), "/items/0/want_min"},
    {"a negative counter",       "/topup", ONE("{" KEY "\"granted_known\":-1,\"returned\":0,\"consumed\":0,\"refunded\":0,\"want\":1}"), "/items/0/granted_known"},
    {"a counter of 2^53",        "/topup", ONE("{" KEY "\"granted_known\":0,\"returned\":0,\"consumed\":9007199254740992,\"refunded\":0,\"want\":1}"), "/items/0/consumed"},
    {"a rate below 0",           "/topup", ONE("{" KEY COUNTERS ",\"want\":1,\"rate_milli\":-1}"), "/items/0/rate_milli"},
    {"a cap with a slash",       "/topup", ONE("{\"cap\":\"a/b\",\"starts_at\":\"2020-01-01T00:00:00Z\"," COUNTERS ",\"want\":1}"), "/items/0/cap"},
    {"an empty cap",             "/topup", ONE("{\"cap\":\"\",\"starts_at\":\"2020-01-01T00:00:00Z\"," COUNTERS ",\"want\":1}"), "/items/0/cap"},
    {"a start that is no time",  "/topup", ONE("{\"cap\":\"a\",\"starts_at\":\"today\"," COUNTERS ",\"want\":1}"), "/items/0/starts_at"},
    {"a key twice",              "/topup", ONE(GOOD "," GOOD), "/items/1"},
    {"a key twice, spelt anew",  "/topup", ONE(GOOD ",{\"cap\":\"a\",\"starts_at\":\"2020-01-01T01:00:00+01:00\"," COUNTERS ",\"want\":1}"), "/items/1"},
    {"a server of 65",           "/topup", "{\"server\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"incarnation\":\"" UUID "\",\"generation\":1,\"process\":\"" UUID "\",\"items\":[" GOOD "]}", "/server"},
    {"a short incarnation",      "/topup", "{\"server\":\"s\",\"incarnation\":\"1\",\"generation\":1,\"process\":\"" UUID "\",\"items\":[" GOOD "]}", "/incarnation"},
    {"an incarnation of 36 x",   "/topup", "{\"server\":\"s\",\"incarnation\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"generation\":1,\"process\":\"" UUID "\",\"items\":[" GOOD "]}", "/incarnation"},
    {"generation 0",             "/topup", "{\"server\":\"s\",\"incarnation\":\"" UUID "\",\"generation\":0,\"process\":\"" UUID "\",\"items\":[" GOOD "]}", "/generation"},
    {"a process that is no UUID","/topup", "{\"server\":\"s\",\"incarnation\":\"" UUID "\",\"generation\":1,\"process\":\"000000000000400080000000000000000000\",\"items\":[" GOOD "]}", "/process"},
    {"nested too deeply",        "/topup", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", NULL},
    {"invalid UTF-8",            "/topup", "{\"server\":\"\xff\"}", NULL},
    {"a return that wants",      "/return", ONE(GOOD), "/items/0/want"},
};

#define PUT(members) "{" members "}"
#define REST "\"paused\":false,\"topup_fraction\":0.1,\"slice_max_fraction\":0.05,\"autonomy_ms\":1000"
static const struct row bad_announcements[] = {
    {"version 0",              NULL, PUT("\"version\":0,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1," REST), "/version"},
    {"it ends as it starts",   NULL, PUT("\"version\":1,\"ends_at\":\"2020-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1," REST), "/ends_at"},
    {"a state of its own",     NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"closed\",\"total\":1," REST), "/state"},
    {"a negative total",       NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":-1," REST), "/total"},
    {"a total of 2^53",        NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":9007199254740992," REST), "/total"},
    {"no total",               NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\"," REST), "/total"},
    {"a fraction of 0",        NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1,\"paused\":false,\"topup_fraction\":0,\"slice_max_fraction\":0.05,\"autonomy_ms\":1"), "/topup_fraction"},
    {"a slice of nothing",     NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1,\"paused\":false,\"topup_fraction\":0.1,\"slice_max_fraction\":0,\"autonomy_ms\":1"), "/slice_max_fraction"},
    {"a fraction above 1",     NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1,\"paused\":false,\"topup_fraction\":1.1,\"slice_max_fraction\":0.05,\"autonomy_ms\":1"), "/topup_fraction"},
    {"autonomy of a day",      NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1,\"paused\":false,\"topup_fraction\":0.1,\"slice_max_fraction\":0.05,\"autonomy_ms\":86400000"), "/autonomy_ms"},
    {"an unknown member",      NULL, PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1,\"x\":1," REST), "/x"},
    {"a path that is no cap",  "/intervals/a%20b/2020-01-01T00:00:00Z", PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1," REST), NULL},
    {"a path that is no time", "/intervals/a/today", PUT("\"version\":1,\"ends_at\":\"2030-01-01T00:00:00Z\",\"state\":\"open\",\"total\":1," REST), NULL},
};

static const struct row bad_queries[] = {
    {"a limit of 0",             "/pools?limit=0", NULL, NULL},
    {"a limit of 1001",          "/pools?limit=1001", NULL, NULL},
    {"a cursor without a slash", "/pools?after=a", NULL, NULL},
    {"a cursor without a time",  "/pools?after=a/b", NULL, NULL},
    {"a cursor without a cap",   "/pools?after=/2020-01-01T00:00:00Z", NULL, NULL},
    {"an unknown parameter",     "/pools?x=1", NULL, NULL},
    {"a parameter of none",      "/audit?x=1", NULL, NULL},
    {"a pool of no name",        "/pools/a%20b", NULL, NULL},
    {"a negative since",         "/watch?since=-1", NULL, NULL},
    {"a since of text",          "/watch?since=x", NULL, NULL},
    {"a wait of a minute",       "/watch?since=0&wait_ms=60000", NULL, NULL},
};
/* clang-format on */

static const char *pointer_of(const struct answer *answer)
{
    const cJSON *errors = cJSON_GetObjectItemCaseSensitive(answer->json, "errors");
    const cJSON *first = cJSON_GetArrayItem(errors, 0);
    const cJSON *pointer = cJSON_GetObjectItemCaseSensitive(first, "pointer");

    return cJSON_IsString(pointer) ? pointer->valuestring : NULL;
}

static void expect_refused(struct client *c, const char *method, const char *path,
                           const struct row *row)
{
    const struct call call = {.method = method, .path = path, .body = row->body};
    struct answer answer = {0};
    struct err e = {0};

    cr_assert(client_call(c, &call, &answer, &e), "%s: %s", row->name, e.msg);
    cr_expect_eq(answer.status, 400, "%s: %d %s", row->name, answer.status,
                 buf_text(&answer.reply->body));
    if (row->pointer)
        cr_expect_str_eq(pointer_of(&answer) ? pointer_of(&answer) : "(none)", row->pointer, "%s",
                         row->name);
}

Test(local_input, what_is_wrong_is_refused_with_its_place_and_changes_nothing)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    for (size_t i = 0; i < sizeof(bad_topups) / sizeof(bad_topups[0]); i++)
        expect_refused(c, "POST", bad_topups[i].path, &bad_topups[i]);
    for (size_t i = 0; i < sizeof(bad_announcements) / sizeof(bad_announcements[0]); i++) {
        const char *path = bad_announcements[i].path;
        expect_refused(c, "PUT", path ? path : "/intervals/a/2020-01-01T00:00:00Z",
                       &bad_announcements[i]);
    }
    for (size_t i = 0; i < sizeof(bad_queries) / sizeof(bad_queries[0]); i++)
        expect_refused(c, "GET", bad_queries[i].path, &bad_queries[i]);

    cr_assert_eq(pg_i64(pg_conninfo_of(db), "SELECT count(*) FROM local.pool"), 0);
    cr_assert_eq(pg_i64(pg_conninfo_of(db), "SELECT count(*) FROM local.server"), 0);
}

static void add_items(struct buf *body, int count)
{
    buf_str(body, HEAD "\"items\":[");
    for (int i = 0; i < count; i++)
        buf_printf(body,
                   "%s{\"cap\":\"cap-%d\",\"starts_at\":\"2020-01-01T00:00:00Z\"," COUNTERS
                   ",\"want\":1}",
                   i ? "," : "", i);
    buf_str(body, "]}");
}

Test(local_input, a_thousand_items_are_answered_and_one_more_is_refused)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    auto_buf struct buf most = {0}, too_many = {0};
    struct answer answer = {0};
    struct err e = {0};

    add_items(&most, 1000);
    add_items(&too_many, 1001);
    cr_assert(client_expect(svc_client(l), 200, "POST", "/topup", buf_text(&most), &answer, &e),
              "%s", e.msg);
    cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(answer.json, "items")), 1000);
    cr_assert(client_expect(svc_client(l), 400, "POST", "/topup", buf_text(&too_many), &answer, &e),
              "%s", e.msg);
    cr_assert_str_eq(pointer_of(&answer), "/items");
}

Test(local_input, a_topup_without_items_only_says_that_the_server_is_there)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct answer answer = {0};
    struct err e = {0};

    cr_assert(client_expect(svc_client(l), 200, "POST", "/topup", ONE(""), &answer, &e), "%s",
              e.msg);
    cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(answer.json, "items")), 0);
    cr_assert_eq(pg_i64(pg_conninfo_of(db), "SELECT count(*) FROM local.server"), 1);
}

Test(local_input, a_body_beyond_a_mebibyte_is_too_large_and_one_that_is_no_json_is_unsupported)
{
    static const char *const plain[] = {"Content-Type: text/plain", NULL};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    auto_buf struct buf large = {0};
    const char *const paths[] = {"/topup", "/return", "/intervals/a/2020-01-01T00:00:00Z"};
    struct answer answer = {0};
    struct err e = {0};

    for (int i = 0; i < (1 << 20) / 64 + 1; i++)
        buf_str(&large, "                                                                ");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct call call = {.method = i == 2 ? "PUT" : "POST", .path = paths[i]};

        call.body = buf_text(&large);
        cr_assert(client_call(svc_client(l), &call, &answer, &e), "%s", e.msg);
        cr_assert_eq(answer.status, 413);
        call.body = "{}";
        call.headers = plain;
        cr_assert(client_call(svc_client(l), &call, &answer, &e), "%s", e.msg);
        cr_assert_eq(answer.status, 415, "%d", answer.status);
    }
}

Test(local_input, the_largest_numbers_are_exact)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    const struct speaker one = {.number = 1};

    local_announce(c, "a", &(struct announced){.version = UNITS_MAX, .total = UNITS_MAX});
    struct heard all = local_topup(c, &one, "a", &(struct said){.want = UNITS_MAX});
    cr_assert_eq(all.granted, UNITS_MAX);
    struct heard spent = local_topup(
        c, &one, "a",
        &(struct said){.granted_known = UNITS_MAX, .consumed = UNITS_MAX - 1, .want = 1});
    cr_assert_eq(spent.status, 200);
    cr_assert_eq(local_pool_i64(c, "a", "spent"), UNITS_MAX - 1);

    struct err e = {0};
    cr_assert(client_audit(c, &e), "%s", e.msg);
}
