/* local_svc: pools and slices over HTTP, on a real database. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <string.h>

#include "tests/harness/local.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"

PG_SUITE();

static const struct speaker one = {.number = 1}, two = {.number = 2};

static void expect_clean_audit(struct client *c)
{
    struct err e = {0};

    cr_assert(client_audit(c, &e), "%s", e.msg);
}

Test(local_svc, a_first_topup_is_a_tenth_of_the_share_but_no_more_than_the_largest_slice)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 1000});
    struct heard heard = local_topup(c, &one, "a", &(struct said){.want = 1});

    cr_assert_eq(heard.status, 200);
    cr_assert_eq(heard.granted, 50);
    cr_assert_str_eq(heard.state, "open");
    cr_assert_eq(local_pool_i64(c, "a", "free"), 950);
    expect_clean_audit(c);
}

Test(local_svc, a_lost_answer_is_repeated_and_never_doubled)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    struct said said = {.want = 5};

    local_announce(c, "a", &(struct announced){.version = 1, .total = 1000});
    struct heard first = local_topup(c, &one, "a", &said);
    for (int i = 0; i < 5; i++) {
        struct heard again = local_topup(c, &one, "a", &said);
        cr_assert_eq(again.granted, first.granted);
    }

    said.granted_known = first.granted;
    cr_assert_gt(local_topup(c, &one, "a", &said).granted, first.granted);
    expect_clean_audit(c);
}

Test(local_svc, units_that_come_back_are_granted_to_others)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 10}).granted, 10);
    struct heard dry = local_topup(c, &two, "a", &(struct said){.want = 4});
    cr_assert_str_eq(dry.state, "dry");
    cr_assert_eq(dry.left, 10);

    struct heard keep =
        local_topup(c, &one, "a", &(struct said){.granted_known = 10, .consumed = 2});
    cr_assert_lt(keep.keep, 8, "somebody is short");
    (void)local_topup(c, &one, "a",
                      &(struct said){.granted_known = 10, .consumed = 2, .returned = 8});
    cr_assert_eq(local_topup(c, &two, "a", &(struct said){.want = 4}).granted, 4);
    expect_clean_audit(c);
}

Test(local_svc, what_is_spent_is_used_up_and_a_refund_makes_it_available)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 3});
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 3}).granted, 3);
    struct heard up =
        local_topup(c, &one, "a", &(struct said){.granted_known = 3, .consumed = 3, .want = 1});
    cr_assert_str_eq(up.state, "used_up");
    cr_assert_eq(up.left, 0);

    (void)local_topup(
        c, &one, "a",
        &(struct said){.granted_known = 3, .consumed = 3, .refunded = 1, .returned = 1});
    cr_assert_eq(local_topup(c, &two, "a", &(struct said){.want = 1}).granted, 1);
    expect_clean_audit(c);
}

Test(local_svc, a_window_that_was_never_announced_is_unknown)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct heard heard = local_topup(svc_client(l), &one, "nobody", &(struct said){.want = 1});

    cr_assert_eq(heard.status, 200);
    cr_assert_str_eq(heard.state, "unknown");
    cr_assert_eq(heard.granted, 0);
    cr_assert_eq(heard.keep, 0);
}

Test(local_svc, a_server_that_contradicts_us_is_frozen_and_others_go_on)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 1000});
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 1}).granted, 50);
    struct heard liar =
        local_topup(c, &one, "a", &(struct said){.granted_known = 50, .consumed = 51});
    cr_assert_str_eq(liar.state, "frozen");
    liar = local_topup(c, &one, "a", &(struct said){.granted_known = 50, .want = 1});
    cr_assert_str_eq(liar.state, "frozen", "also when it says nothing wrong any more");

    cr_assert_str_eq(local_topup(c, &two, "a", &(struct said){.want = 1}).state, "open");
    cr_assert_eq(local_pool_i64(c, "a", "presumed_spent"), 50);
    expect_clean_audit(c);
}

Test(local_svc, of_two_processes_with_one_ledger_the_second_is_refused)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    const struct speaker copy = {.number = 1, .process = 9};
    const struct speaker restarted = {.number = 1, .process = 9, .generation = 2};

    local_announce(c, "a", &(struct announced){.version = 1, .total = 1000});
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 1}).status, 200);
    cr_assert_eq(local_topup(c, &copy, "a", &(struct said){.want = 1}).status, 409);
    cr_assert_eq(local_topup(c, &restarted, "a", &(struct said){.want = 1}).status, 200);
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 1}).status, 409,
                 "the older generation is stale");
    cr_assert_eq(local_pool_i64(c, "a", "granted"), 50);
}

Test(local_svc, a_process_whose_ledger_knows_less_than_was_reported_from_it_is_refused)
{
    static const struct said full = {
        .granted_known = 50, .returned = 10, .consumed = 30, .refunded = 5};
    static const struct said olds[] = {
        {.granted_known = 50, .returned = 9, .consumed = 30, .refunded = 5, .want = 1},
        {.granted_known = 50, .returned = 10, .consumed = 29, .refunded = 5, .want = 1},
        {.granted_known = 50, .returned = 10, .consumed = 30, .refunded = 4, .want = 1},
    };
    const struct speaker copy = {.number = 1, .process = 9, .generation = 2};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 1000});
    (void)local_topup(c, &one, "a", &(struct said){.want = 1});
    (void)local_topup(c, &one, "a", &full);
    for (size_t i = 0; i < sizeof(olds) / sizeof(olds[0]); i++)
        cr_assert_eq(local_topup(c, &copy, "a", &olds[i]).status, 409);
    cr_assert_eq(local_pool_i64(c, "a", "granted"), 50);

    cr_assert_eq(local_topup(c, &one, "a", &full).status, 200, "nothing was changed");
    cr_assert_eq(local_topup(c, &copy, "a", &full).status, 200);
    cr_assert_eq(local_topup(c, &copy, "a", &olds[0]).status, 200, "a late report of its own");
    expect_clean_audit(c);
}

Test(local_svc, a_new_ledger_of_the_same_server_is_another_holder)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    const struct speaker reborn = {.number = 1, .incarnation = 2};

    local_announce(c, "a", &(struct announced){.version = 1, .total = 1000});
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 1}).granted, 50);
    cr_assert_eq(local_topup(c, &reborn, "a", &(struct said){.want = 1}).granted, 50);
    cr_assert_eq(local_pool_i64(c, "a", "granted"), 100);
    expect_clean_audit(c);
}

/* ---- announcements */

Test(local_svc, a_raised_total_is_minted_at_once)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 500});
    local_announce(c, "a", &(struct announced){.version = 2, .total = 1000});

    cr_assert_eq(local_pool_i64(c, "a", "minted"), 1000);
    cr_assert_eq(local_pool_i64(c, "a", "free"), 1000);
    expect_clean_audit(c);
}

Test(local_svc, a_lowered_total_burns_what_is_free_and_the_rest_as_it_comes_back)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 100});
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 80}).granted, 80);
    local_announce(c, "a", &(struct announced){.version = 2, .total = 30});
    cr_assert_eq(local_pool_i64(c, "a", "effective"), 80);
    cr_assert_eq(local_pool_i64(c, "a", "pending"), 50);

    struct heard heard =
        local_topup(c, &one, "a", &(struct said){.granted_known = 80, .consumed = 10});
    cr_assert_lt(heard.keep, 70, "it is asked to hand back");
    (void)local_topup(c, &one, "a",
                      &(struct said){.granted_known = 80, .consumed = 10, .returned = 60});
    cr_assert_eq(local_pool_i64(c, "a", "effective"), 30);
    cr_assert_eq(local_pool_i64(c, "a", "pending"), 0);
    cr_assert_eq(local_pool_i64(c, "a", "free"), 10);
    expect_clean_audit(c);
}

Test(local_svc, what_was_spent_above_a_lowered_total_is_reported)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 100});
    (void)local_topup(c, &one, "a", &(struct said){.want = 80});
    (void)local_topup(c, &one, "a", &(struct said){.granted_known = 80, .consumed = 80});
    local_announce(c, "a", &(struct announced){.version = 2, .total = 30});

    cr_assert_eq(local_pool_i64(c, "a", "overspent"), 50);
    cr_assert_str_eq(local_topup(c, &two, "a", &(struct said){.want = 1}).state, "used_up");
    expect_clean_audit(c);
}

Test(local_svc, an_older_or_equal_version_changes_nothing_and_tells_nobody)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    const char *sql = "SELECT revision FROM local.revision";

    local_announce(c, "a", &(struct announced){.version = 5, .total = 100});
    int64_t revision = pg_i64(pg_conninfo_of(db), "%s", sql);
    local_announce(c, "a", &(struct announced){.version = 5, .total = 200});
    local_announce(c, "a", &(struct announced){.version = 4, .total = 300});

    cr_assert_eq(local_pool_i64(c, "a", "requested"), 100);
    cr_assert_eq(pg_i64(pg_conninfo_of(db), "%s", sql), revision);
}

Test(local_svc, a_paused_window_grants_nothing_until_it_goes_on)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 100, .paused = true});
    struct heard paused = local_topup(c, &one, "a", &(struct said){.want = 1});
    cr_assert_str_eq(paused.state, "paused");
    cr_assert_eq(paused.keep, 0);
    local_announce(c, "a", &(struct announced){.version = 2, .total = 100});
    cr_assert_str_eq(local_topup(c, &one, "a", &(struct said){.want = 1}).state, "open");
}

Test(local_svc, a_window_closed_early_books_reports_and_never_opens_again)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 100});
    (void)local_topup(c, &one, "a", &(struct said){.want = 10});
    local_announce(c, "a", &(struct announced){.version = 2, .total = 100, .state = "closing"});
    struct heard over =
        local_topup(c, &one, "a", &(struct said){.granted_known = 10, .consumed = 4, .want = 5});
    cr_assert_str_eq(over.state, "closed");
    cr_assert_eq(over.keep, 0);
    cr_assert_eq(local_pool_i64(c, "a", "spent"), 4);

    local_announce(c, "a", &(struct announced){.version = 3, .total = 100, .state = "open"});
    cr_assert_str_eq(local_topup(c, &two, "a", &(struct said){.want = 1}).state, "closed");
    expect_clean_audit(c);
}

Test(local_svc, a_paused_window_that_is_over_says_closed)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    struct announced announced = {.version = 1, .total = 1000, .paused = true};

    local_announce(c, "a", &announced);
    cr_assert_str_eq(local_topup(c, &one, "a", &(struct said){.want = 1}).state, "paused");
    announced.version = 2;
    announced.state = "closing";
    local_announce(c, "a", &announced);
    cr_assert_str_eq(local_topup(c, &one, "a", &(struct said){.want = 1}).state, "closed");
}

Test(local_svc, a_closing_that_arrives_first_is_not_undone_by_the_opening)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 2, .total = 100, .state = "closing"});
    local_announce(c, "a", &(struct announced){.version = 1, .total = 100});

    cr_assert_str_eq(local_topup(c, &one, "a", &(struct said){.want = 1}).state, "closed");
    cr_assert_eq(local_pool_i64(c, "a", "minted"), 0);
}

/* ---- reading */

Test(local_svc, the_list_of_pools_goes_page_by_page_through_all_of_them)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    char cap[16], path[200] = "/pools?limit=3";
    struct answer answer = {0};
    struct err e = {0};
    int seen = 0;

    for (int i = 0; i < 8; i++) {
        snprintf(cap, sizeof(cap), "cap-%d", i);
        local_announce(c, cap, &(struct announced){.version = 1, .total = 10});
    }
    for (int pages = 1;; pages++) {
        cr_assert(client_expect(c, 200, "GET", path, NULL, &answer, &e), "%s", e.msg);
        seen += cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(answer.json, "pools"));
        const cJSON *next = cJSON_GetObjectItemCaseSensitive(answer.json, "next");
        if (cJSON_IsNull(next)) {
            cr_assert_eq(pages, 3);
            break;
        }
        snprintf(path, sizeof(path), "/pools?limit=3&after=%s", next->valuestring);
    }
    cr_assert_eq(seen, 8);
}

Test(local_svc, the_pools_of_a_cap_show_who_holds_how_much)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    struct answer answer = {0};
    struct err e = {0};

    local_announce(c, "a", &(struct announced){.version = 1, .total = 1000});
    (void)local_topup(c, &one, "a", &(struct said){.want = 1});
    (void)local_topup(c, &one, "a", &(struct said){.granted_known = 50, .consumed = 20});
    (void)local_topup(c, &two, "a", &(struct said){.want = 1});

    cr_assert(client_expect(c, 200, "GET", "/pools/a", NULL, &answer, &e), "%s", e.msg);
    const cJSON *pool =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer.json, "pools"), 0);
    const cJSON *slices = cJSON_GetObjectItemCaseSensitive(pool, "slices");
    cr_assert_eq(cJSON_GetArraySize(slices), 2);
    const cJSON *first = cJSON_GetArrayItem(slices, 0);
    cr_assert_eq(cJSON_GetObjectItemCaseSensitive(first, "held")->valueint, 30);
    cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(first, "server")->valuestring, "server-1");
    cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(first, "state")->valuestring, "live");
    cr_assert(client_expect(c, 404, "GET", "/pools/b", NULL, &answer, &e), "%s", e.msg);
}

Test(local_svc, the_builtin_operations_answer)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);
    struct answer answer = {0};
    struct err e = {0};

    cr_assert(client_expect(c, 200, "GET", "/livez", NULL, &answer, &e), "%s", e.msg);
    cr_assert(client_expect(c, 200, "GET", "/readyz?verbose", NULL, &answer, &e), "%s", e.msg);
    cr_assert(client_expect(c, 200, "GET", "/openapi.json", NULL, &answer, &e), "%s", e.msg);
    cr_assert_eq(local_metric(c, "volumecap_watchers"), 0);
}

/* ---- the audit */

struct awaited_metric {
    struct client *client;
    const char *name;
    int64_t value;
};

static bool is_reached(void *arg)
{
    const struct awaited_metric *a = arg;

    return local_metric(a->client, a->name) >= a->value;
}

static bool is_equal(void *arg)
{
    const struct awaited_metric *a = arg;

    return local_metric(a->client, a->name) == a->value;
}

/* One after the other: an audit that is just being written down has told some of them only. */
static void await_metric(struct client *c, const char *name, int64_t value)
{
    struct awaited_metric awaited = {c, name, value};

    cr_assert(harness_await(is_equal, &awaited, 60000), "%s is %lld", name,
              (long long)local_metric(c, name));
}

Test(local_svc, frozen_slices_are_counted)
{
    static const char *const env[] = {"LOCAL_AUDIT_MS=100", NULL};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), env);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 1000});
    (void)local_topup(c, &one, "a", &(struct said){.want = 1});
    (void)local_topup(c, &two, "a", &(struct said){.want = 1});
    (void)local_topup(c, &one, "a", &(struct said){.granted_known = 50, .consumed = 51});
    await_metric(c, "volumecap_frozen_slices", 1);
    await_metric(c, "volumecap_slices", 2);
    await_metric(c, "volumecap_audit_age_seconds", 0);
}

Test(local_svc, an_audit_that_fails_is_seen_to_grow_old)
{
    static const char *const env[] = {"LOCAL_AUDIT_MS=100", NULL};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), env);

    pg_exec(pg_conninfo_of(db), "ALTER TABLE local.slice RENAME refunded TO renamed");
    struct awaited_metric age = {svc_client(l), "volumecap_audit_age_seconds", 1};
    cr_assert(harness_await(is_reached, &age, 60000));
}

static int64_t violations_of(struct client *c, const char *id)
{
    struct answer answer = {0};
    struct err e = {0};
    const cJSON *check = NULL;

    cr_assert(client_expect(c, 200, "GET", "/audit", NULL, &answer, &e), "%s", e.msg);
    cJSON_ArrayForEach(check, cJSON_GetObjectItemCaseSensitive(answer.json, "checks"))
    {
        if (strcmp(cJSON_GetObjectItemCaseSensitive(check, "id")->valuestring, id) == 0)
            return (int64_t)cJSON_GetObjectItemCaseSensitive(check, "violations")->valuedouble;
    }
    cr_assert_fail("no check %s", id);
    return -1;
}

/* Every law is broken by hand, once, and the audit must name it. */
Test(local_svc, the_audit_finds_each_corruption_made_by_hand)
{
    /* clang-format off */
    static const struct {
        const char *id;
        const char *sql;
    } rows[] = {
        {"I1",  "UPDATE local.pool SET granted = minted + 7"},
        {"I2",  "UPDATE local.slice SET consumed = granted + 1"},
        {"I3",  "UPDATE local.pool SET consumed = consumed - 1"},
        {"I5",  "UPDATE local.slice SET granted = 500, consumed = 500, presumed = 0"},
        {"I6",  "UPDATE local.slice SET granted = granted - 1"},
        {"I7",  "UPDATE local.pool SET requested = 1"},
        {"I8",  "UPDATE local.revision SET revision = 0"},
        {"I8",  "ALTER TABLE local.slice DISABLE TRIGGER slice_only_grows"},
        {"I10", "UPDATE local.server SET silence = 2"},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        auto_pg_db struct pg_db *db = pg_fresh_db();
        const char *conninfo = pg_conninfo_of(db);
        auto_svc struct svc *l = local_start(conninfo, NULL);
        struct client *c = svc_client(l);

        local_announce(c, "a", &(struct announced){.version = 1, .total = 100});
        (void)local_topup(c, &one, "a", &(struct said){.want = 10});
        (void)local_topup(c, &one, "a", &(struct said){.granted_known = 10, .consumed = 4});
        expect_clean_audit(c);
        pg_exec(conninfo, "ALTER TABLE local.pool DROP CONSTRAINT pool_free_not_negative,"
                          "            DROP CONSTRAINT pool_spent_within_granted;"
                          "ALTER TABLE local.slice DROP CONSTRAINT slice_spent_within_granted,"
                          "            DROP CONSTRAINT slice_presumed_within_rest;"
                          "SET session_replication_role = replica;");
        pg_exec(conninfo, "SET session_replication_role = replica; %s", rows[i].sql);

        cr_assert_gt(violations_of(c, rows[i].id), 0, "%s: %s", rows[i].id, rows[i].sql);
    }
}

Test(local_svc, the_database_itself_refuses_what_goes_back)
{
    static const char *const refused[] = {
        "UPDATE local.pool SET granted = granted - 1",
        "UPDATE local.pool SET minted = minted - 1",
        "UPDATE local.pool SET version = version - 1",
        "UPDATE local.pool SET definition = definition - 1",
        "UPDATE local.pool SET state = 'planned'",
        "UPDATE local.pool SET granted = minted + 1",
        "UPDATE local.slice SET consumed = consumed - 1",
        "UPDATE local.slice SET consumed = granted + 1",
        "UPDATE local.slice SET granted = 9007199254740992",
        "UPDATE local.server SET generation = generation - 1",
        "UPDATE local.server SET process = gen_random_uuid()",
        "UPDATE local.revision SET revision = 0",
        "DELETE FROM local.revision",
        "DELETE FROM local.pool",
        "INSERT INTO local.revision (revision) VALUES (1)",
    };
    auto_pg_db struct pg_db *db = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(db);
    auto_svc struct svc *l = local_start(conninfo, NULL);
    struct client *c = svc_client(l);
    const struct speaker older = {.number = 1, .generation = 3};

    local_announce(c, "a", &(struct announced){.version = 1, .total = 100, .definition = 2});
    (void)local_topup(c, &older, "a", &(struct said){.want = 10});
    (void)local_topup(c, &older, "a", &(struct said){.granted_known = 10, .consumed = 4});
    pg_exec(conninfo, "CREATE FUNCTION is_refused(sql text) RETURNS bigint LANGUAGE plpgsql AS"
                      " $$ BEGIN EXECUTE sql; RETURN 0;"
                      " EXCEPTION WHEN integrity_constraint_violation OR check_violation OR"
                      " unique_violation THEN RETURN 1; END $$");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        cr_assert_eq(pg_i64(conninfo, "SELECT is_refused($q$%s$q$)", refused[i]), 1, "%s",
                     refused[i]);
}
