/* local_rows: data centres that trade over real databases; the test is the transport. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "common/base/prng.h"
#include "tests/harness/local.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"

PG_SUITE();

#define DCS_MAX 3
#define BAG_MAX 4000
#define SETTLE_MS 60000
#define PATIENT "LOCAL_SUSPECT_MS=600000" /* with servers for which the test is slow to speak */

static const char *const names[DCS_MAX] = {"a", "b", "c"}; /* "a" is the home of every cap */

struct message {
    int from, to;
    char *row; /* JSON */
};

struct dc {
    struct pg_db *db;
    struct svc *svc;
    struct client *client;
    int64_t revision; /* of what it had to tell, and we know */
};

struct world {
    int count;
    struct dc dcs[DCS_MAX];
    struct message bag[BAG_MAX];
    size_t bag_count;
};

/* One server in each data centre. */
struct holder {
    int dc;
    struct said said;
    char state[16];
    int64_t left;
};

static void start(struct world *w, int count)
{
    char dc[32], peers[32];

    *w = (struct world){.count = count};
    for (int i = 0; i < count; i++) {
        size_t len = (size_t)snprintf(peers, sizeof(peers), "LOCAL_PEERS=");
        for (int j = 0; j < count; j++)
            if (j != i)
                len += (size_t)snprintf(peers + len, sizeof(peers) - len, "%s%s",
                                        peers[len - 1] == '=' ? "" : ",", names[j]);
        snprintf(dc, sizeof(dc), "LOCAL_DC=%s", names[i]);
        const char *const env[] = {dc, peers, PATIENT, NULL};
        w->dcs[i].db = pg_fresh_db();
        w->dcs[i].svc = local_start(pg_conninfo_of(w->dcs[i].db), env);
        w->dcs[i].client = svc_client(w->dcs[i].svc);
    }
}

static void stop(struct world *w)
{
    for (size_t i = 0; i < w->bag_count; i++)
        free(w->bag[i].row);
    for (int i = 0; i < w->count; i++) {
        svc_stop(w->dcs[i].svc);
        pg_db_free(w->dcs[i].db);
    }
}

#define auto_world __attribute__((cleanup(stop)))

static void announce(struct world *w, const char *cap, int64_t version, int64_t total)
{
    for (int i = 0; i < w->count; i++)
        local_announce(w->dcs[i].client, cap,
                       &(struct announced){.version = version, .total = total, .home = "a"});
}

static int64_t pool(struct world *w, int dc, const char *cap, const char *member)
{
    return local_pool_i64(w->dcs[dc].client, cap, member);
}

/* What a data centre has of the window in all, in pool, slices and spent. */
static int64_t holding(struct world *w, int dc, const char *cap)
{
    return pool(w, dc, cap, "minted") - pool(w, dc, cap, "burned") + pool(w, dc, cap, "received") -
           pool(w, dc, cap, "sent");
}

static void expect_clean_audits(struct world *w)
{
    struct err e = {0};

    for (int i = 0; i < w->count; i++)
        cr_assert(client_audit(w->dcs[i].client, &e), "%s: %s", names[i], e.msg);
}

/* ---- the transport */

static int dc_named(const char *name)
{
    for (int i = 0; i < DCS_MAX; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    cr_assert_fail("no data centre %s", name);
    return -1;
}

static const cJSON *member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

static void pack(struct world *w, int from, const cJSON *rows)
{
    const cJSON *row = NULL;

    cJSON_ArrayForEach(row, rows)
    {
        cr_assert(w->bag_count < BAG_MAX);
        w->bag[w->bag_count++] = (struct message){
            .from = from,
            .to = dc_named(member(row, "peer")->valuestring),
            .row = cJSON_PrintUnformatted(row),
        };
    }
}

static const cJSON *get(struct world *w, int dc, const char *path)
{
    struct answer answer = {0};
    struct err e = {0};

    cr_assert(client_expect(w->dcs[dc].client, 200, "GET", path, NULL, &answer, &e), "%s", e.msg);
    return answer.json;
}

/* What it has to tell since it was asked last goes into the bag. */
static void collect(struct world *w, int dc)
{
    char path[80];
    const cJSON *json = NULL;

    do {
        snprintf(path, sizeof(path), "/rows?since=%lld", (long long)w->dcs[dc].revision);
        json = get(w, dc, path);
        w->dcs[dc].revision = (int64_t)member(json, "revision")->valuedouble;
        pack(w, dc, member(json, "rows"));
    } while (cJSON_IsTrue(member(json, "more")));
}

/* Says again what may have been lost. */
static void collect_in_transit(struct world *w, int dc, const char *query)
{
    char path[80];

    for (int j = 0; j < w->count; j++) {
        if (j == dc)
            continue;
        snprintf(path, sizeof(path), "/rows?peer=%s%s", names[j], query);
        pack(w, dc, member(get(w, dc, path), "rows"));
    }
}

/* The verdict; what the receiver has to say goes into the bag. */
static const char *post_row(struct world *w, int from, int to, const char *row)
{
    static char verdict[16];
    char body[1000];
    struct answer answer = {0};
    struct err e = {0};

    snprintf(body, sizeof(body), "{\"from\":\"%s\",\"rows\":[%s]}", names[from], row);
    cr_assert(client_expect(w->dcs[to].client, 200, "POST", "/rows", body, &answer, &e), "%s",
              e.msg);
    const cJSON *result = cJSON_GetArrayItem(member(answer.json, "results"), 0);
    snprintf(verdict, sizeof(verdict), "%s", member(result, "verdict")->valuestring);
    pack(w, to, member(answer.json, "rows"));
    return verdict;
}

static struct message take(struct world *w, size_t i)
{
    struct message m = w->bag[i];

    w->bag[i] = w->bag[--w->bag_count];
    return m;
}

/* Delivers until nobody has anything to say at the moment. */
static void settle(struct world *w)
{
    int64_t until_ms = clk_now_ms() + SETTLE_MS;

    do {
        cr_assert_lt(clk_now_ms(), until_ms, "they never stop talking");
        for (int i = 0; i < w->count; i++)
            collect(w, i);
        for (size_t n = w->bag_count; n > 0; n--) {
            struct message m = take(w, 0);
            cr_assert_str_eq(post_row(w, m.from, m.to, m.row), "applied");
            free(m.row);
        }
    } while (w->bag_count > 0);
}

/* ---- servers */

static int64_t rest(const struct holder *h)
{
    return h->said.granted_known - h->said.returned - h->said.consumed;
}

static void speak(struct world *w, struct holder *h, const char *cap, int64_t want)
{
    const struct speaker server = {.number = 1 + h->dc};

    h->said.want = want;
    struct heard heard = local_topup(w->dcs[h->dc].client, &server, cap, &h->said);
    cr_assert_eq(heard.status, 200);
    h->said.granted_known = heard.granted;
    h->left = heard.left;
    snprintf(h->state, sizeof(h->state), "%s", heard.state);
    if (heard.keep < rest(h))
        h->said.returned += rest(h) - heard.keep;
}

/*
 * Wants one unit after the other and spends it, as long as there is any hope of one.  However
 * long all of them take: the next one comes.
 */
static int64_t spend_all(struct world *w, struct holder *holders, int count, const char *cap,
                         int64_t max)
{
    int64_t until_ms = clk_now_ms() + SETTLE_MS, spent = 0;
    int used_up = 0;

    while (used_up < count && spent < max) {
        cr_assert_lt(clk_now_ms(), until_ms, "after %lld units", (long long)spent);
        used_up = 0;
        const int64_t before = spent;
        for (int i = 0; i < count; i++) {
            int64_t n = rest(&holders[i]) < max - spent ? rest(&holders[i]) : max - spent;
            holders[i].said.consumed += n;
            spent += n;
            speak(w, &holders[i], cap, 1);
            used_up += strcmp(holders[i].state, "used_up") == 0 && rest(&holders[i]) == 0;
        }
        settle(w);
        if (spent > before)
            until_ms = clk_now_ms() + SETTLE_MS;
    }
    for (int i = 0; i < count; i++)
        speak(w, &holders[i], cap, 0);
    settle(w);
    return spent;
}

/* ---- totals and shares */

static const struct {
    const char *name; /* reads as a claim */
    int64_t first, then, share, slice;
} totals[] = {
    {"a total is shared evenly", 1000, 0, 500, 50},
    {"an initial total, too", 500, 0, 250, 25},
    {"what a raised total adds is shared evenly", 1000, 2000, 1000, 100},
    {"a lowered total takes from all", 1000, 500, 250, 25},
};

Test(local_rows, of_two_data_centres_each_has_its_even_share)
{
    auto_world struct world w;

    start(&w, 2);
    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
        struct holder h = {.dc = 1};
        char cap[16];

        snprintf(cap, sizeof(cap), "cap-%zu", i);
        announce(&w, cap, 1, totals[i].first);
        settle(&w);
        if (totals[i].then > 0)
            announce(&w, cap, 2, totals[i].then);
        settle(&w);
        cr_expect_eq(holding(&w, 0, cap), totals[i].share, "%s", totals[i].name);
        cr_expect_eq(holding(&w, 1, cap), totals[i].share, "%s", totals[i].name);
        speak(&w, &h, cap, 1);
        cr_expect_eq(h.said.granted_known, totals[i].slice, "%s", totals[i].name);
        cr_expect_eq(pool(&w, 1, cap, "free"), totals[i].share - totals[i].slice, "%s",
                     totals[i].name);
    }
    cr_expect_eq(pool(&w, 1, "cap-0", "minted"), 0);
    expect_clean_audits(&w);
}

Test(local_rows, what_cannot_be_shared_evenly_goes_to_the_first_by_name)
{
    auto_world struct world w;

    start(&w, 3);
    announce(&w, "odd", 1, 8);
    settle(&w);
    cr_expect_eq(holding(&w, 0, "odd"), 3);
    cr_expect_eq(holding(&w, 1, "odd"), 3);
    cr_expect_eq(holding(&w, 2, "odd"), 2);
    expect_clean_audits(&w);
}

/* The home minted, and said so, before the others had heard of the window. */
Test(local_rows, a_new_window_gets_its_share_and_asks_nobody_meanwhile)
{
    auto_world struct world w;
    struct holder h = {.dc = 1};

    start(&w, 3);
    local_announce(w.dcs[0].client, "ad",
                   &(struct announced){.version = 1, .total = 300, .home = "a"});
    collect(&w, 0);
    while (w.bag_count > 0) {
        struct message m = take(&w, 0);
        cr_assert_str_eq(post_row(&w, m.from, m.to, m.row), "unknown");
        free(m.row);
    }
    announce(&w, "ad", 1, 300);
    speak(&w, &h, "ad", 1);
    settle(&w);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(holding(&w, i, "ad"), 100, "%s", names[i]);
    speak(&w, &h, "ad", 1);
    cr_expect_eq(h.said.granted_known, 10);
    expect_clean_audits(&w);
}

/* Only the home has heard of it yet. */
static void announce_at_home(struct world *w, const char *cap, int64_t version, int64_t total)
{
    local_announce(w->dcs[0].client, cap,
                   &(struct announced){.version = version, .total = total, .home = "a"});
}

static const struct {
    const char *name; /* reads as a claim */
    int64_t totals[3];
    int heard;  /* so many of them where the share goes, before the units */
    bool again; /* ... and there the last one comes before the units of it, too */
} late_words[] = {
    {"a share that comes after its total was lowered is cut", {1000, 400}, 1, true},
    {"one of a total that was never heard of, too", {1000, 400}, 0, true},
    {"one that comes before is cut by the word", {1000, 400}, 1, false},
    {"the share of a raise that comes before its word is kept", {1000, 2000}, 1, false},
    {"also when it was lowered before", {1000, 400, 600}, 2, false},
};

#define LATE_WORDS (sizeof(late_words) / sizeof(late_words[0]))

/* No demand would ever even it out; the home, or the other one, would lack it when it is cut off.
 */
Test(local_rows, whichever_comes_first_the_total_or_the_units_each_has_its_share)
{
    auto_world struct world w;

    start(&w, 2);
    for (size_t i = 0; i < LATE_WORDS; i++) {
        const int count = late_words[i].totals[2] > 0 ? 3 : 2;
        const int64_t last = late_words[i].totals[count - 1];
        char cap[16];

        snprintf(cap, sizeof(cap), "cap-%zu", i);
        for (int v = 0; v < count; v++) {
            announce_at_home(&w, cap, v + 1, late_words[i].totals[v]);
            if (v < late_words[i].heard)
                announce(&w, cap, v + 1, late_words[i].totals[v]);
            if (late_words[i].heard == 2)
                settle(&w);
        }
        if (late_words[i].again)
            announce(&w, cap, count, last);
        settle(&w);
        announce(&w, cap, count, last);
        settle(&w);
        for (int dc = 0; dc < 2; dc++)
            cr_expect_eq(holding(&w, dc, cap), last / 2, "%s: %s has %lld", late_words[i].name,
                         names[dc], (long long)holding(&w, dc, cap));
    }
    expect_clean_audits(&w);
}

Test(local_rows, after_250_of_1000_are_spent_a_total_of_400_leaves_150_and_one_of_200_nothing)
{
    auto_world struct world w;
    struct holder holders[2] = {{.dc = 0}, {.dc = 1}};

    start(&w, 2);
    announce(&w, "ad", 1, 1000);
    settle(&w);
    cr_assert_eq(spend_all(&w, holders, 1, "ad", 250), 250);
    announce(&w, "ad", 2, 400);
    cr_expect_eq(spend_all(&w, holders, 2, "ad", 1000), 150);

    announce(&w, "ad", 3, 200);
    cr_expect_eq(spend_all(&w, holders, 2, "ad", 1000), 0);
    cr_expect_eq(pool(&w, 0, "ad", "spent") + pool(&w, 1, "ad", "spent"), 400);
    expect_clean_audits(&w);
}

Test(local_rows, of_one_hundred_units_all_are_spent_in_both_and_the_next_is_used_up)
{
    auto_world struct world w;
    struct holder holders[2] = {{.dc = 0}, {.dc = 1}};

    start(&w, 2);
    announce(&w, "ad", 1, 100);
    settle(&w);
    cr_expect_eq(spend_all(&w, holders, 2, "ad", 1000), 100);
    for (int i = 0; i < 2; i++) {
        speak(&w, &holders[i], "ad", 1);
        cr_expect_str_eq(holders[i].state, "used_up");
        cr_expect_eq(holders[i].left, 0);
    }
    expect_clean_audits(&w);
}

Test(local_rows, if_all_demand_is_in_one_of_three_it_gets_everything)
{
    auto_world struct world w;
    struct holder holder = {.dc = 1};

    start(&w, 3);
    announce(&w, "ad", 1, 300);
    settle(&w);
    cr_expect_eq(spend_all(&w, &holder, 1, "ad", 1000), 300);
    cr_expect_eq(holding(&w, 1, "ad"), 300);
    cr_expect_eq(holding(&w, 0, "ad") + holding(&w, 2, "ad"), 0);
    expect_clean_audits(&w);
}

/* ---- versions of a total */

/* One data centre's interval-svc hears of a cap's definition, and tells it as its `nth` word. */
static void hear_of(struct world *w, int dc, const char *cap, int64_t nth, int64_t definition,
                    int64_t total)
{
    local_announce(
        w->dcs[dc].client, cap,
        &(struct announced){.version = nth, .total = total, .definition = definition, .home = "a"});
}

static void expect_used_up_everywhere(struct world *w, struct holder *holders, const char *cap)
{
    for (int i = 0; i < w->count; i++) {
        speak(w, &holders[i], cap, 1);
        cr_expect_str_eq(holders[i].state, "used_up", "%s", names[holders[i].dc]);
    }
}

/* It was 1000, which the home alone has heard of; all of the 100 that it is now is spent. */
static void spend_a_lowered_total(struct world *w, struct holder *holders)
{
    start(w, 2);
    hear_of(w, 0, "ad", 1, 1, 1000);
    hear_of(w, 0, "ad", 2, 2, 100);
    hear_of(w, 1, "ad", 1, 2, 100);
    settle(w);
    cr_assert_eq(spend_all(w, holders, 2, "ad", 1000), 100);
}

Test(local_rows, who_first_hears_of_a_cap_after_its_total_was_lowered_knows_when_it_is_used_up)
{
    auto_world struct world w;
    struct holder holders[2] = {{.dc = 0}, {.dc = 1}};

    spend_a_lowered_total(&w, holders);
    expect_used_up_everywhere(&w, holders, "ad");
    expect_clean_audits(&w);
}

/* Until nothing comes any more, as far as this data centre can tell. */
static void spend_what_comes(struct world *w, struct holder *h, const char *cap)
{
    do {
        h->said.consumed += rest(h);
        speak(w, h, cap, 1);
        settle(w);
    } while (rest(h) > 0);
}

Test(local_rows, a_raise_that_only_others_have_heard_of_is_not_used_up)
{
    auto_world struct world w;
    struct holder holders[2] = {{.dc = 0}, {.dc = 1}};

    spend_a_lowered_total(&w, holders);
    hear_of(&w, 0, "ad", 3, 3, 2000);
    settle(&w);
    spend_what_comes(&w, &holders[1], "ad");
    cr_expect_str_eq(holders[1].state, "dry");
    hear_of(&w, 1, "ad", 2, 3, 2000);
    settle(&w);
    (void)spend_all(&w, holders, 2, "ad", 3000);
    cr_expect_eq(holders[0].said.consumed + holders[1].said.consumed, 2000);
    expect_used_up_everywhere(&w, holders, "ad");
    expect_clean_audits(&w);
}

Test(local_rows, a_row_says_which_total_it_knows_and_of_which_definition)
{
    auto_world struct world w;

    start(&w, 2);
    hear_of(&w, 0, "ad", 1, 7, 1000);
    collect(&w, 0);
    collect_in_transit(&w, 0, "");
    cr_assert_eq(w.bag_count, 2);
    for (size_t i = 0; i < 2; i++) {
        cJSON *row = cJSON_Parse(w.bag[i].row);

        cr_expect_eq(member(row, "total")->valuedouble, 1000);
        cr_expect_eq(member(row, "total_max")->valuedouble, 1000);
        cr_expect_eq(member(row, "definition")->valuedouble, 7);
        cJSON_Delete(row);
    }
}

/* Two that could not hear each other defined the same id; their versions have nothing in common. */
Test(local_rows, a_definition_of_another_home_is_not_that_of_the_window)
{
    auto_world struct world w;

    start(&w, 2);
    local_announce(w.dcs[1].client, "ad",
                   &(struct announced){.version = 1, .total = 100, .definition = 2, .home = "b"});
    hear_of(&w, 1, "ad", 2, 9, 100);
    cr_expect_eq(pg_i64(pg_conninfo_of(w.dcs[1].db), "SELECT definition FROM local.pool"), 2);
    /* Nor may one that is late, or of a database that went back, make it an older one. */
    hear_of(&w, 0, "ad", 1, 4, 100);
    hear_of(&w, 0, "ad", 2, 3, 100);
    cr_expect_eq(pg_i64(pg_conninfo_of(w.dcs[0].db), "SELECT definition FROM local.pool"), 4);
}

Test(local_rows, units_that_a_server_elsewhere_holds_are_recalled_for_who_is_short)
{
    auto_world struct world w;
    struct holder idle = {.dc = 0}, busy = {.dc = 1};

    start(&w, 2);
    announce(&w, "ad", 1, 4);
    settle(&w);
    for (int i = 0; i < 2; i++)
        speak(&w, &idle, "ad", 1);
    cr_assert_eq(pool(&w, 0, "ad", "free"), 0);

    int64_t until_ms = clk_now_ms() + SETTLE_MS;
    while (busy.said.consumed < 4) {
        cr_assert_lt(clk_now_ms(), until_ms);
        busy.said.consumed += rest(&busy);
        speak(&w, &busy, "ad", 1);
        settle(&w);
        speak(&w, &idle, "ad", 0);
        settle(&w);
    }
    expect_clean_audits(&w);
}

/* ---- what a pool gives */

/* Of a data centre "a" that trades with "b", which only speaks by these rows. */
static char *row_of_b(const char *home, const char *cap, int64_t sent, int64_t received,
                      int64_t want, int64_t lack, int64_t version)
{
    static char row[400];

    snprintf(row, sizeof(row),
             "{\"peer\":\"a\",\"home\":\"%s\",\"cap\":\"%s\","
             "\"starts_at\":\"" LOCAL_STARTS_AT "\",\"sent\":%lld,\"received\":%lld,\"want\":%lld,"
             "\"lack\":%lld,\"burn\":0,\"free\":0,\"spent\":0,"
             "\"rate_milli\":0,\"version\":%lld}",
             home, cap, (long long)sent, (long long)received, (long long)want, (long long)lack,
             (long long)version);
    return row;
}

static void start_with(struct world *w, const char *const *env)
{
    *w = (struct world){.count = 1};
    w->dcs[0].db = pg_fresh_db();
    w->dcs[0].svc = local_start(pg_conninfo_of(w->dcs[0].db), env);
    w->dcs[0].client = svc_client(w->dcs[0].svc);
}

static void start_a(struct world *w)
{
    static const char *const env[] = {"LOCAL_DC=a", "LOCAL_PEERS=b", PATIENT, NULL};

    start_with(w, env);
}

Test(local_rows, a_pool_without_demand_gives_what_is_asked_for_but_at_most_half)
{
    auto_world struct world w;
    struct holder h = {.dc = 0};

    start_a(&w);
    announce(&w, "much", 1, 1000);
    speak(&w, &h, "much", 1);
    cr_assert_eq(pool(&w, 0, "much", "free"), 450);
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "much", 0, 500, 50, 0, 1)), "applied");
    cr_expect_eq(pool(&w, 0, "much", "free"), 400);

    announce(&w, "little", 1, 100);
    cr_assert_eq(pool(&w, 0, "little", "free"), 50);
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "little", 0, 50, 50, 0, 1)), "applied");
    cr_expect_eq(pool(&w, 0, "little", "free"), 25);
    cr_expect_eq(w.bag_count, 2, "the asker hears of what was given at once");
    expect_clean_audits(&w);
}

Test(local_rows, a_row_that_comes_again_gives_nothing_again)
{
    auto_world struct world w;

    start_a(&w);
    announce(&w, "ad", 1, 1000);
    for (int i = 0; i < 5; i++)
        cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 100, 500, 50, 50, 7)), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "received"), 100);
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 550);
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 60, 100, 50, 50, 6)), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "received"), 100);
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 550);
    expect_clean_audits(&w);
}

/* It is heard, and nothing gets through to it. */
Test(local_rows, one_who_is_cut_off_one_way_is_sent_what_it_asks_for_once)
{
    auto_world struct world w;

    start_a(&w);
    announce(&w, "ad", 1, 1000);
    for (int version = 1; version <= 20; version++)
        cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 0, 500, 40, 40, version)),
                         "applied");
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 540);
    cr_expect_eq(pool(&w, 0, "ad", "free"), 460);
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 0, 540, 40, 40, 21)), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 580, "what it asks for after those arrived is more");
    expect_clean_audits(&w);
}

Test(local_rows, who_has_not_answered_for_long_is_sent_a_tenth_of_the_share_at_most)
{
    auto_world struct world w;

    start_a(&w);
    announce(&w, "ad", 1, 1000);
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 0, 500, 10, 10, 1)), "applied");
    cr_assert_eq(pool(&w, 0, "ad", "sent"), 510);
    pg_exec(pg_conninfo_of(w.dcs[0].db),
            "UPDATE local.peer_row SET unechoed_since_ms = unechoed_since_ms - 60000");
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 0, 500, 200, 200, 2)), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 549, "of 490, with the 10 that are under way");
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 0, 500, 200, 200, 3)), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 549);
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 0, 549, 200, 200, 4)), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 749, "when it is heard of again");
    expect_clean_audits(&w);
}

/* A machine may be so slow that the window is over too soon: then once more. */
Test(local_rows, near_the_end_all_is_given_that_has_no_demand_here)
{
    auto_world struct world w;
    bool is_seen = false;

    start_a(&w);
    for (int i = 0; i < 10 && !is_seen; i++) {
        char cap[16], ends_at[TIME_TEXT_SIZE];

        snprintf(cap, sizeof(cap), "cap-%d", i);
        time_format(clk_utc_ms() + 4500, ends_at);
        local_announce(
            w.dcs[0].client, cap,
            &(struct announced){.version = 1, .total = 100, .home = "a", .ends_at = ends_at});
        cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", cap, 0, 50, 50, 0, 1)), "applied");
        is_seen = pool(&w, 0, cap, "sent") == 100;
    }
    cr_expect(is_seen);
    expect_clean_audits(&w);
}

static bool is_told_of_units(void *arg)
{
    struct world *w = arg;
    bool is_told = false;

    collect(w, 0);
    while (w->bag_count > 0) {
        struct message m = take(w, w->bag_count - 1);
        cJSON *row = cJSON_Parse(m.row);

        is_told = is_told || member(row, "sent")->valuedouble > 5;
        cJSON_Delete(row);
        free(m.row);
    }
    return is_told;
}

Test(local_rows, what_a_server_hands_back_goes_to_who_was_left_short_without_being_asked_again)
{
    auto_world struct world w;
    struct holder h = {.dc = 0};

    start_a(&w);
    announce(&w, "ad", 1, 10);
    speak(&w, &h, "ad", 5);
    cr_assert_eq(rest(&h), 5);
    cr_assert_str_eq(post_row(&w, 1, 0, row_of_b("a", "ad", 0, 5, 3, 3, 1)), "applied");
    cr_assert_eq(pool(&w, 0, "ad", "sent"), 5, "there was nothing free");
    speak(&w, &h, "ad", 0);
    speak(&w, &h, "ad", 0);
    cr_expect_gt(pool(&w, 0, "ad", "sent"), 5);
    cr_expect(harness_await(is_told_of_units, &w, SETTLE_MS));
    expect_clean_audits(&w);
}

Test(local_rows, what_arrives_and_nobody_waits_for_any_more_goes_on_to_who_was_left_short)
{
    static const char *const env[] = {"LOCAL_DC=a", "LOCAL_PEERS=b,c", PATIENT, NULL};
    auto_world struct world w;
    char *row = NULL;

    start_with(&w, env);
    local_announce(w.dcs[0].client, "ad",
                   &(struct announced){.version = 1, .total = 10, .home = "b"});
    row = row_of_b("b", "ad", 0, 0, 3, 3, 1);
    cr_assert_str_eq(post_row(&w, 2, 0, row), "applied");
    cr_assert_eq(pool(&w, 0, "ad", "sent"), 0, "there was nothing");
    row = row_of_b("b", "ad", 4, 0, 0, 0, 1);
    cr_assert_str_eq(post_row(&w, 1, 0, row), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 2, "half of it, to c");
    expect_clean_audits(&w);
}

/* Each holds a unit that it needs, and somebody waits for another. */
Test(local_rows, two_who_are_both_short_do_not_talk_without_end)
{
    auto_world struct world w;
    struct holder holders[2] = {{.dc = 0}, {.dc = 1}};
    struct said said = {.want = 1};

    start(&w, 2);
    announce(&w, "ad", 1, 2);
    settle(&w);
    for (int i = 0; i < 2; i++)
        speak(&w, &holders[i], "ad", 1);
    for (int i = 0; i < 2; i++) {
        const struct speaker other = {.number = 8 + i};
        struct heard heard = local_topup(w.dcs[i].client, &other, "ad", &said);
        cr_assert_eq(heard.granted, 0);
    }
    settle(&w);
    cr_expect_eq(holding(&w, 0, "ad") + holding(&w, 1, "ad"), 2);
    expect_clean_audits(&w);
}

/* Two that could not hear each other have defined caps of one name. */
Test(local_rows, units_of_two_homes_never_mix)
{
    auto_world struct world w;

    start(&w, 2);
    for (int i = 0; i < 2; i++)
        local_announce(w.dcs[i].client, "ad",
                       &(struct announced){.version = 1, .total = 100, .home = names[i]});
    for (int i = 0; i < 2; i++)
        collect(&w, i);
    cr_assert_eq(w.bag_count, 2, "each sends the other its share");
    const struct message shares[] = {take(&w, 0), take(&w, 0)};
    for (int i = 0; i < 2; i++) {
        cr_expect_str_eq(post_row(&w, shares[i].from, shares[i].to, shares[i].row), "other_home");
        free(shares[i].row);
    }
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(pool(&w, i, "ad", "received"), 0);
        cr_expect_eq(holding(&w, i, "ad"), 50);
    }

    /* There will be no window for those units: they are not sent for ever. */
    cr_assert_eq(w.bag_count, 2, "both are told that they arrived");
    settle(&w);
    for (int i = 0; i < 2; i++)
        collect_in_transit(&w, i, "&in_transit=true");
    cr_expect_eq(w.bag_count, 0);

    /* When the second hears of the first, its window is over, and still not the other's. */
    local_announce(w.dcs[1].client, "ad",
                   &(struct announced){.version = 2, .total = 100, .home = "a"});
    settle(&w);
    cr_expect_eq(pool(&w, 1, "ad", "received"), 0);

    /* A window of the first that starts at another time is a window of both. */
    for (int i = 0; i < 2; i++)
        local_announce(
            w.dcs[i].client, "ad",
            &(struct announced){
                .starts_at = "2020-01-01T00:00:00.001Z", .version = 3, .total = 100, .home = "a"});
    collect(&w, 0);
    cr_assert_gt(w.bag_count, 0);
    int applied = 0;
    while (w.bag_count > 0) {
        struct message m = take(&w, w.bag_count - 1);
        applied += strcmp(post_row(&w, m.from, m.to, m.row), "applied") == 0;
        free(m.row);
    }
    cr_expect_gt(applied, 0);
    expect_clean_audits(&w);
}

static const struct {
    const char *name; /* reads as a claim */
    int64_t sent, received;
} absurd[] = {
    {"more was sent than the total", 501, 500},
};

Test(local_rows, what_no_honest_data_centre_claims_is_refused_and_changes_nothing)
{
    auto_world struct world w;

    start_a(&w);
    announce(&w, "ad", 1, 1000);
    for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
        char *row = row_of_b("a", "ad", absurd[i].sent, absurd[i].received, 10, 10, 1);
        cr_expect_str_eq(post_row(&w, 1, 0, row), "absurd", "%s", absurd[i].name);
        cr_expect_eq(pool(&w, 0, "ad", "received"), 0, "%s", absurd[i].name);
        cr_expect_eq(pool(&w, 0, "ad", "sent"), 500, "%s", absurd[i].name);
    }
    cr_expect_eq(w.bag_count, 0);
    expect_clean_audits(&w);
}

/* It ended while this data centre was away: nobody needs to be told of its units for ever. */
Test(local_rows, units_of_a_window_that_never_was_here_and_is_over_are_gone)
{
    auto_world struct world w;
    static const char row[] =
        "{\"peer\":\"a\",\"cap\":\"old\",\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":"
        "\"2020-01-02T00:00:00Z\",\"sent\":7,\"received\":0,\"want\":0,\"lack\":0,\"burn\":0,"
        "\"free\":0,\"spent\":0,\"rate_milli\":0,\"version\":1,\"echoed\":0}";

    start_a(&w);
    cr_expect_str_eq(post_row(&w, 1, 0, row), "over");
    cr_assert_eq(w.bag_count, 1);
    cJSON *answer = cJSON_Parse(w.bag[0].row);
    cr_expect_eq(member(answer, "received")->valuedouble, 7);
    cr_expect_str_eq(member(answer, "home")->valuestring, "b");
    cJSON_Delete(answer);
}

Test(local_rows, a_row_of_a_window_not_yet_known_is_to_be_told_again)
{
    auto_world struct world w;

    start_a(&w);
    cr_expect_str_eq(post_row(&w, 1, 0, row_of_b("b", "ad", 5, 0, 0, 0, 1)), "unknown");
    local_announce(w.dcs[0].client, "ad",
                   &(struct announced){.version = 1, .total = 10, .home = "b"});
    cr_expect_str_eq(post_row(&w, 1, 0, row_of_b("b", "ad", 5, 0, 0, 0, 1)), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "free"), 5);
    expect_clean_audits(&w);
}

static bool is_closed(void *arg)
{
    struct world *w = arg;
    const cJSON *json = get(w, 0, "/pools/ad");

    const cJSON *first = cJSON_GetArrayItem(member(json, "pools"), 0);
    return strcmp(member(first, "state")->valuestring, "closed") == 0;
}

Test(local_rows, a_late_row_of_a_closed_window_is_booked_and_nothing_is_given)
{
    auto_world struct world w;
    struct announced a = {.version = 1, .total = 100, .home = "b"};

    start_a(&w);
    local_announce(w.dcs[0].client, "ad", &a);
    a.version = 2;
    a.state = "closing";
    local_announce(w.dcs[0].client, "ad", &a);
    cr_assert(harness_await(is_closed, &w, SETTLE_MS));

    cr_expect_str_eq(post_row(&w, 1, 0, row_of_b("b", "ad", 50, 0, 40, 40, 1)), "applied");
    cr_expect_eq(pool(&w, 0, "ad", "received"), 50);
    cr_expect_eq(pool(&w, 0, "ad", "sent"), 0);
    cr_expect_eq(w.bag_count, 1, "its sender hears that they arrived");
    expect_clean_audits(&w);
}

Test(local_rows, a_window_whose_home_changes_is_over_and_mints_nothing)
{
    auto_world struct world w;

    start_a(&w);
    announce(&w, "ad", 1, 100);
    local_announce(w.dcs[0].client, "ad",
                   &(struct announced){.version = 2, .total = 500, .home = "b"});
    cr_assert(harness_await(is_closed, &w, SETTLE_MS));
    cr_expect_eq(pool(&w, 0, "ad", "minted"), 100);
    expect_clean_audits(&w);
}

/* ---- what is to be told */

static int64_t told_lack(struct world *w)
{
    int64_t lack = -1;

    collect(w, 0);
    while (w->bag_count > 0) {
        struct message m = take(w, w->bag_count - 1);
        cJSON *row = cJSON_Parse(m.row);

        lack = lack < 0 ? (int64_t)member(row, "lack")->valuedouble : lack;
        cJSON_Delete(row);
        free(m.row);
    }
    return lack;
}

static bool nothing_is_lacking(void *arg)
{
    return told_lack(arg) == 0;
}

static bool something_is_lacking(void *arg)
{
    return told_lack(arg) > 0;
}

Test(local_rows, who_is_short_asks_again_until_he_is_not)
{
    auto_world struct world w;
    struct holder h = {.dc = 0};

    start_a(&w);
    local_announce(w.dcs[0].client, "ad",
                   &(struct announced){.version = 1, .total = 100, .home = "b"});
    speak(&w, &h, "ad", 7);
    cr_assert_str_eq(h.state, "dry");
    cr_assert(something_is_lacking(&w), "at once");
    for (int i = 0; i < 2; i++)
        cr_assert(harness_await(something_is_lacking, &w, SETTLE_MS), "and again");
    speak(&w, &h, "ad", 0);
    cr_assert(harness_await(nothing_is_lacking, &w, SETTLE_MS), "until nobody waits");
}

Test(local_rows, what_is_in_transit_is_summed_over_all_pages)
{
    auto_world struct world w;

    start(&w, 2);
    announce(&w, "ad-1", 1, 100);
    announce(&w, "ad-2", 1, 60);
    const cJSON *json = get(&w, 0, "/rows?peer=b&in_transit=true&limit=1");
    cr_expect_eq(cJSON_GetArraySize(member(json, "rows")), 1);
    cr_expect_eq(member(json, "in_transit_rows")->valuedouble, 2);
    cr_expect_eq(member(json, "in_transit_units")->valuedouble, 80);
    collect_in_transit(&w, 0, "&in_transit=true");
    settle(&w);
    json = get(&w, 0, "/rows?peer=b&in_transit=true");
    cr_expect_eq(member(json, "in_transit_units")->valuedouble, 0);
}

Test(local_rows, a_receiver_whose_receipt_was_lost_says_it_again)
{
    auto_world struct world w;

    start(&w, 2);
    announce(&w, "ad", 1, 100);
    collect(&w, 0);
    while (w.bag_count > 0) {
        struct message m = take(&w, 0);
        if (m.from == 0)
            cr_assert_str_eq(post_row(&w, 0, 1, m.row), "applied");
        free(m.row);
    }
    collect_in_transit(&w, 0, "&in_transit=true");
    cr_assert_eq(w.bag_count, 1);
    settle(&w);
    collect_in_transit(&w, 0, "&in_transit=true");
    cr_expect_eq(w.bag_count, 0);
    expect_clean_audits(&w);
}

/* Each message may be lost, said twice, or come much later than others. */
static void misdeliver(struct world *w, struct prng *prng, int64_t count)
{
    for (int64_t i = 0; i < count && w->bag_count > 0; i++) {
        size_t at = (size_t)prng_below(prng, (int64_t)w->bag_count);
        struct message m = w->bag[at];
        int64_t luck = prng_below(prng, 10);

        if (luck >= 3)
            cr_assert_str_eq(post_row(w, m.from, m.to, m.row), "applied");
        if (luck < 7 && w->bag_count < BAG_MAX / 2)
            (void)take(w, at);
        else
            continue;
        free(m.row);
    }
}

Test(local_rows, rows_lost_repeated_late_and_out_of_order_make_and_lose_nothing)
{
    auto_world struct world w;
    struct holder holders[3] = {{.dc = 0}, {.dc = 1}, {.dc = 2}};
    struct prng prng = {.state = 20261120};
    int64_t spent = 0;

    start(&w, 3);
    announce(&w, "ad", 1, 600);
    for (int round = 0; round < 40; round++) {
        struct holder *h = &holders[prng_below(&prng, 3)];
        int64_t n = prng_below(&prng, rest(h) + 1);

        h->said.consumed += n;
        spent += n;
        speak(&w, h, "ad", 1 + prng_below(&prng, 60));
        for (int i = 0; i < 3; i++)
            collect(&w, i);
        misdeliver(&w, &prng, 6);
    }
    cr_expect_eq(pool(&w, 0, "ad", "effective"), 600);
    for (int i = 0; i < 3; i++)
        collect_in_transit(&w, i, "&in_transit=true");
    settle(&w);
    cr_expect_eq(holding(&w, 0, "ad") + holding(&w, 1, "ad") + holding(&w, 2, "ad"), 600);
    cr_expect_eq(spent + spend_all(&w, holders, 3, "ad", 1000), 600);
    expect_clean_audits(&w);
}

Test(local_rows, all_rows_for_one_data_centre_come_in_pages)
{
    auto_world struct world w;
    char cap[16], path[160] = "/rows?peer=b&limit=2", next[100];
    size_t pages = 0;

    start_a(&w);
    for (int i = 0; i < 5; i++) {
        snprintf(cap, sizeof(cap), "cap-%d", i);
        announce(&w, cap, 1, 10);
    }
    for (bool more = true; more; pages++) {
        const cJSON *json = get(&w, 0, path);
        const cJSON *cursor = member(json, "next");

        more = cJSON_IsString(cursor);
        snprintf(next, sizeof(next), "%s", more ? cursor->valuestring : "");
        pack(&w, 0, member(json, "rows"));
        snprintf(path, sizeof(path), "/rows?peer=b&limit=2&after=%s", next);
    }
    cr_expect_eq(pages, 3);
    cr_expect_eq(w.bag_count, 5);
}

Test(local_rows, a_call_that_waits_is_answered_with_news_or_when_its_time_is_over)
{
    auto_world struct world w;

    start_a(&w);
    const cJSON *json = get(&w, 0, "/rows?since=0&wait_ms=50");
    cr_expect_eq(cJSON_GetArraySize(member(json, "rows")), 0);
    announce(&w, "ad", 1, 10);
    json = get(&w, 0, "/rows?since=0&wait_ms=20000");
    cr_expect_eq(cJSON_GetArraySize(member(json, "rows")), 1);
    cr_expect_gt(member(json, "revision")->valuedouble, 0);
}

Test(local_rows, an_account_with_each_other_data_centre_is_shown)
{
    auto_world struct world w;

    start_a(&w);
    announce(&w, "ad", 1, 10);
    const cJSON *first = cJSON_GetArrayItem(member(get(&w, 0, "/pools/ad"), "pools"), 0);
    const cJSON *peer = cJSON_GetArrayItem(member(first, "peers"), 0);

    cr_expect_str_eq(member(first, "home")->valuestring, "a");
    cr_expect_str_eq(member(peer, "peer")->valuestring, "b");
    cr_expect_eq(member(peer, "sent")->valuedouble, 5);
    cr_expect_eq(member(peer, "in_transit")->valuedouble, 5);
}

/* ---- what is not understood */

#define ROW                                                                                        \
    "{\"cap\":\"ad\",\"starts_at\":\"" LOCAL_STARTS_AT "\",\"sent\":0,\"received\":0,\"want\":0,"  \
    "\"lack\":0,\"burn\":0,\"free\":0,\"spent\":0,\"rate_milli\":0,\"version\":1"

static const struct {
    const char *name; /* reads as a claim */
    const char *method, *path, *body;
} refused[] = {
    {"a stranger is refused", "POST", "/rows", "{\"from\":\"z\",\"rows\":[" ROW "}]}"},
    {"so is this data centre itself", "POST", "/rows", "{\"from\":\"a\",\"rows\":[" ROW "}]}"},
    {"a row for another is refused", "POST", "/rows",
     "{\"from\":\"b\",\"rows\":[" ROW ",\"peer\":\"c\"}]}"},
    {"no rows are no request", "POST", "/rows", "{\"from\":\"b\",\"rows\":[]}"},
    {"an unknown member is refused", "POST", "/rows",
     "{\"from\":\"b\",\"rows\":[" ROW ",\"x\":1}]}"},
    {"rows for a stranger are none", "GET", "/rows?peer=z", NULL},
    {"a bool is true or false", "GET", "/rows?peer=b&in_transit=yes", NULL},
    {"a page has at most 1000 rows", "GET", "/rows?peer=b&limit=1001", NULL},
    {"a page has no revision", "GET", "/rows?peer=b&since=1", NULL},
    {"a cursor is what was given", "GET", "/rows?peer=b&after=x", NULL},
    {"nobody waits for a day", "GET", "/rows?wait_ms=86400000", NULL},
};

Test(local_rows, what_is_not_understood_is_refused)
{
    auto_world struct world w;
    struct answer answer = {0};
    struct err e = {0};

    start_a(&w);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        cr_expect(client_expect(w.dcs[0].client, 400, refused[i].method, refused[i].path,
                                refused[i].body, &answer, &e),
                  "%s: %s", refused[i].name, e.msg);
}
