/* local_faults: crowds, crashes, silence and time; not one unit too many, and none lost. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "tests/harness/local.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"
#include "tests/harness/promise.h"

PG_SUITE();

#define SERVERS 8
#define TOTAL 3000
#define LIMIT_MS 100000

#define PAUSE_MS 10

/*
 * 503 is "say it again", which a database that halts for seconds may bring
 * about at any time, to all that are under way.  Of the many answers of a test,
 * so many may be of that kind.
 */
#define LATER_MAX 3

static const struct speaker one = {.number = 1}, two = {.number = 2};

/* ---- servers that spend all they can get, each on a thread of its own */

struct spender {
    struct client *client;
    struct speaker speaker;
    int64_t granted, consumed;
    int later;    /* answers of 503 */
    int failures; /* others than 200, or none */
    bool is_finished;
    pthread_t thread;
};

/* Spends what it was granted, one unit in ten of it twice refunded, and asks for more. */
static void *spend(void *arg)
{
    struct spender *s = arg;
    int64_t deadline_ms = clk_now_ms() + LIMIT_MS;

    while (!s->is_finished && clk_now_ms() < deadline_ms) {
        struct heard heard = local_topup(
            s->client, &s->speaker, "a",
            &(struct said){.granted_known = s->granted, .consumed = s->consumed, .want = 7});

        s->later += heard.status == 503;
        s->failures += heard.status != 200 && heard.status != 503;
        if (heard.status != 200) {
            poll(NULL, 0, PAUSE_MS);
            continue;
        }
        s->granted = heard.granted;
        s->is_finished = s->consumed == s->granted && strcmp(heard.state, "used_up") == 0;
        s->consumed = s->granted;
    }
    return NULL;
}

static void start_spenders(struct spender *spenders, struct svc *const *replicas, int count)
{
    for (int i = 0; i < SERVERS; i++) {
        spenders[i] = (struct spender){
            .client = client_new("local-svc", svc_port(replicas[i % count])),
            .speaker.number = i,
        };
        cr_assert_eq(pthread_create(&spenders[i].thread, NULL, spend, &spenders[i]), 0);
    }
}

/* All are told that everything is spent, and everything is. */
static void expect_all_spent(struct spender *spenders, struct svc *l)
{
    int64_t consumed = 0;
    struct err e = {0};

    for (int i = 0; i < SERVERS; i++) {
        cr_assert_eq(pthread_join(spenders[i].thread, NULL), 0);
        client_free(spenders[i].client);
        cr_assert(spenders[i].is_finished, "server %d: granted %lld, consumed %lld", i,
                  (long long)spenders[i].granted, (long long)spenders[i].consumed);
        consumed += spenders[i].consumed;
    }
    cr_assert_eq(consumed, TOTAL);
    cr_assert_eq(local_pool_i64(svc_client(l), "a", "spent"), TOTAL);
    cr_assert(client_audit(svc_client(l), &e), "%s", e.msg);
}

Test(local_faults, many_servers_on_one_cap_and_two_replicas_spend_exactly_its_total)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *a = local_start(pg_conninfo_of(db), NULL);
    auto_svc struct svc *b = local_start(pg_conninfo_of(db), NULL);
    struct svc *const replicas[] = {a, b};
    struct spender spenders[SERVERS];

    local_announce(svc_client(a), "a", &(struct announced){.version = 1, .total = TOTAL});
    start_spenders(spenders, replicas, 2);
    expect_all_spent(spenders, a);
    for (int i = 0; i < SERVERS; i++) {
        cr_assert_eq(spenders[i].failures, 0);
        cr_assert_leq(spenders[i].later, LATER_MAX);
    }
}

Test(local_faults, killed_at_any_moment_it_loses_no_unit_and_makes_none)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct spender spenders[SERVERS];

    local_announce(svc_client(l), "a", &(struct announced){.version = 1, .total = TOTAL});
    start_spenders(spenders, &l, 1);
    for (int i = 0; i < 5; i++) {
        svc_kill(l);
        svc_restart(l);
    }
    expect_all_spent(spenders, l);
}

/* ---- the database goes away */

static bool is_spent_a_little(void *arg)
{
    const struct spender *s = arg;

    return __atomic_load_n(&s->consumed, __ATOMIC_RELAXED) > 0;
}

static bool is_granting(void *arg)
{
    return local_topup(arg, &one, "b", &(struct said){.want = 1}).status == 200;
}

Test(local_faults, while_the_database_is_away_topups_are_told_to_come_back_and_nothing_is_lost)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = true});
    pg_migrate(pg_conninfo(pg));
    auto_svc struct svc *l = local_start(pg_conninfo(pg), NULL);
    struct client *c = svc_client(l);
    const struct call reads[] = {
        {.method = "GET", .path = "/pools"},  {.method = "GET", .path = "/pools/a"},
        {.method = "GET", .path = "/audit"},  {.method = "GET", .path = "/watch?since=0"},
        {.method = "GET", .path = "/readyz"},
    };
    struct spender spenders[SERVERS];
    struct answer answer = {0};
    struct err e = {0};

    local_announce(c, "a", &(struct announced){.version = 1, .total = TOTAL});
    local_announce(c, "b", &(struct announced){.version = 1, .total = TOTAL});
    start_spenders(spenders, &l, 1);
    cr_assert(harness_await(is_spent_a_little, &spenders[0], LIMIT_MS));
    pg_kill(pg);
    cr_assert_eq(local_topup(c, &one, "b", &(struct said){.want = 1}).status, 503);
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        cr_assert(client_call(c, &reads[i], &answer, &e), "%s", e.msg);
        cr_assert_eq(answer.status, 503, "%s: %d", reads[i].path, answer.status);
    }

    pg_restart(pg);
    cr_assert(harness_await(is_granting, c, LIMIT_MS));
    expect_all_spent(spenders, l);
}

struct again {
    struct client *client;
    struct heard heard;
};

static bool is_granted(void *arg)
{
    struct again *a = arg;

    a->heard = local_topup(a->client, &one, "a", &(struct said){.want = 1});
    return a->heard.status == 200;
}

/* A grant that a failover would undo is no grant; asked for again it is the same one. */
Test(local_faults, a_grant_that_no_standby_has_is_told_to_nobody)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(pg));
    auto_svc struct svc *l = local_start(pg_conninfo(pg), NULL);
    struct again again = {.client = svc_client(l)};

    local_announce(svc_client(l), "a", &(struct announced){.version = 1, .total = 100});
    pg_wait_for_standby(pg, "nobody");
    for (int i = 0; i < 2; i++) {
        cr_expect_not(is_granted(&again));
        cr_expect_eq(again.heard.status, 503);
        cr_expect_geq(again.heard.retry_after_s, 1);
    }
    cr_expect_eq(pg_i64(pg_conninfo(pg), "SELECT sum(granted) FROM local.pool"), 0);

    pg_wait_for_standby(pg, "");
    cr_assert(harness_await(is_granted, &again, LIMIT_MS));
    cr_expect_eq(local_pool_i64(svc_client(l), "a", "granted"), again.heard.granted);
    cr_expect_eq(local_pool_i64(svc_client(l), "a", "free"), 100 - again.heard.granted);
}

/* Something that takes connections and never says a word. */
static int listen_silently(int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
              listen(fd, SOMAXCONN) == 0 && getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void *say_once(void *arg)
{
    (void)local_topup(arg, &one, "a", &(struct said){.want = 1});
    return NULL;
}

static void expect_stops_soon(struct svc *l)
{
    struct client *asking = client_new("local-svc", svc_port(l));
    pthread_t asker;

    cr_assert_eq(pthread_create(&asker, NULL, say_once, asking), 0);
    int64_t began_ms = clk_now_ms();
    (void)svc_stop(l);
    int64_t took_ms = clk_now_ms() - began_ms;
    cr_assert_eq(pthread_join(asker, NULL), 0);
    client_free(asking);
    cr_assert(promise_kept("a local-svc that stops without an answer", took_ms, 10000));
}

Test(local_faults, it_stops_in_ten_seconds_though_the_database_was_never_heard)
{
    char conninfo[80];
    int port = 0, fd = listen_silently(&port);

    (void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d dbname=x", port);
    expect_stops_soon(local_start(conninfo, NULL));
    cr_assert_eq(close(fd), 0);
}

static bool is_unready(void *arg)
{
    const struct call call = {.method = "GET", .path = "/readyz"};
    struct answer answer = {0};
    struct err e = {0};

    return client_call(arg, &call, &answer, &e) && answer.status == 503;
}

Test(local_faults, it_stops_in_ten_seconds_though_the_database_has_fallen_silent)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){0});
    pg_migrate(pg_conninfo(pg));
    struct svc *l = local_start(pg_conninfo(pg), NULL);

    cr_assert_eq(local_topup(svc_client(l), &one, "a", &(struct said){.want = 1}).status, 200);
    pg_freeze(pg);
    cr_assert(harness_await(is_unready, svc_client(l), LIMIT_MS));
    expect_stops_soon(l);
    pg_thaw(pg);
}

/* ---- poison */

struct awaited_silence {
    const char *conninfo;
    int64_t silence;
};

static bool is_settled(void *arg)
{
    const struct awaited_silence *a = arg;

    return pg_i64(a->conninfo, "SELECT min(silence) FROM local.server") == a->silence;
}

/* Until all servers have been silent for long, and what that means was done. */
static void await_silence(const char *conninfo, int64_t silence)
{
    struct awaited_silence awaited = {conninfo, silence};

    cr_assert(harness_await(is_settled, &awaited, LIMIT_MS));
}

struct sayer {
    struct client *client;
    struct speaker speaker;
    const char *cap;
    int count;  /* times to say it */
    int later;  /* times that it had to be said again */
    int status; /* the first that was not as expected; 0: none */
    int expected;
    pthread_t thread;
};

static void *say_often(void *arg)
{
    struct sayer *s = arg;

    for (int i = 0; i < s->count && s->status == 0; i++) {
        struct heard heard = local_topup(s->client, &s->speaker, s->cap, &(struct said){.want = 1});

        if (heard.status == 503 && s->later++ < LATER_MAX)
            i--;
        else if (heard.status != s->expected)
            s->status = heard.status ? heard.status : -1;
    }
    return NULL;
}

Test(local_faults, a_request_that_cannot_be_committed_takes_no_other_down)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct sayer sayers[6];

    local_announce(svc_client(l), "good", &(struct announced){.version = 1, .total = 1000});
    local_announce(svc_client(l), "poison", &(struct announced){.version = 1, .total = 1000});
    pg_exec(pg_conninfo_of(db), "ALTER TABLE local.slice ADD CHECK (cap <> 'poison')");
    for (int i = 0; i < 6; i++) {
        bool is_poison = i % 2 == 0;
        sayers[i] = (struct sayer){.client = client_new("local-svc", svc_port(l)),
                                   .speaker.number = i,
                                   .cap = is_poison ? "poison" : "good",
                                   .count = 40,
                                   .expected = is_poison ? 500 : 200};
        cr_assert_eq(pthread_create(&sayers[i].thread, NULL, say_often, &sayers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(pthread_join(sayers[i].thread, NULL), 0);
        client_free(sayers[i].client);
        cr_assert_eq(sayers[i].status, 0, "%s: %d", sayers[i].cap, sayers[i].status);
    }
}

/* A pool that says less than its slices do: no sum may be made of them. */
Test(local_faults, rows_damaged_by_hand_freeze_what_they_are_about_and_nothing_else)
{
    static const char *const damages[] = {"presumed = 0", "wanted = 0", "granted = 0, consumed = 0",
                                          "consumed = 0"};
    static const char *const env[] = {"LOCAL_SUSPECT_MS=200", "LOCAL_PRESUME_MS=400", NULL};

    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        auto_pg_db struct pg_db *db = pg_fresh_db();
        const char *conninfo = pg_conninfo_of(db);
        auto_svc struct svc *l = local_start(conninfo, NULL);
        struct client *c = svc_client(l);
        struct said said = {.granted_known = 10, .consumed = 4};

        local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
        local_announce(c, "b", &(struct announced){.version = 1, .total = 10});
        (void)local_topup(c, &one, "a", &(struct said){.want = 10});
        (void)local_topup(c, &one, "a", &said);
        pg_exec(conninfo,
                "SET session_replication_role = replica;"
                "UPDATE local.slice SET presumed = 6, wanted = 2;"
                "UPDATE local.pool SET presumed = 6, wanted = 2 WHERE cap = 'a';"
                "UPDATE local.pool SET %s WHERE cap = 'a'",
                damages[i]);
        struct heard heard = local_topup(c, &one, "a", &said);
        cr_assert_str_eq(heard.state, "frozen", "%s: %s", damages[i], heard.state);
        cr_assert_eq(local_topup(c, &one, "b", &(struct said){.want = 1}).granted, 1);
        auto_svc struct svc *impatient = local_start(conninfo, env);
        await_silence(conninfo, 2);
        cr_assert_eq(
            local_topup(svc_client(impatient), &two, "b", &(struct said){.want = 1}).status, 200,
            "%s", damages[i]);
    }
}

Test(local_faults, the_same_request_sent_many_times_at_once_is_one_grant)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct sayer sayers[8];

    local_announce(svc_client(l), "a", &(struct announced){.version = 1, .total = 1000});
    for (int i = 0; i < 8; i++) {
        sayers[i] = (struct sayer){.client = client_new("local-svc", svc_port(l)),
                                   .speaker = one,
                                   .cap = "a",
                                   .count = 20,
                                   .expected = 200};
        cr_assert_eq(pthread_create(&sayers[i].thread, NULL, say_often, &sayers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(pthread_join(sayers[i].thread, NULL), 0);
        client_free(sayers[i].client);
        cr_assert_eq(sayers[i].status, 0);
    }
    cr_assert_eq(local_pool_i64(svc_client(l), "a", "granted"), 50);
}

/* ---- silence */

struct awaited {
    struct client *client;
    const char *member;
    int64_t value;
};

static bool pool_has(void *arg)
{
    const struct awaited *a = arg;

    return local_pool_i64(a->client, "a", a->member) == a->value;
}

static void await_pool(struct client *c, const char *member, int64_t value)
{
    struct awaited awaited = {c, member, value};

    cr_assert(harness_await(pool_has, &awaited, LIMIT_MS), "%s is %lld, not %lld", member,
              (long long)local_pool_i64(c, "a", member), (long long)value);
}

/* It speaks, and is asked about before it has been silent again for long: in one of many tries. */
static bool is_believed_again(void *arg)
{
    struct client *c = arg;

    (void)local_topup(c, &one, "a", &(struct said){.granted_known = 10, .consumed = 3});
    return local_pool_i64(c, "a", "presumed_spent") == 0;
}

static bool is_short_of_what_the_other_holds(void *arg)
{
    struct client *c = arg;

    (void)local_topup(c, &one, "a", &(struct said){.granted_known = 10, .consumed = 3});
    return strcmp(local_topup(c, &two, "a", &(struct said){.want = 1}).state, "dry") == 0;
}

Test(local_faults, a_silent_servers_rest_is_presumed_spent_and_never_given_away)
{
    static const char *const env[] = {"LOCAL_SUSPECT_MS=200", "LOCAL_PRESUME_MS=400", NULL};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), env);
    struct client *c = svc_client(l);
    struct err e = {0};

    local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 10}).granted, 10);
    await_pool(c, "presumed_spent", 10);
    struct heard other = local_topup(c, &two, "a", &(struct said){.want = 1});
    cr_assert_str_eq(other.state, "used_up");
    cr_assert(client_audit(c, &e), "%s", e.msg);

    cr_assert(harness_await(is_believed_again, c, LIMIT_MS));
    cr_assert_eq(local_pool_i64(c, "a", "spent"), 3);
    cr_assert(harness_await(is_short_of_what_the_other_holds, c, LIMIT_MS));
}

/* Likewise. */
static bool is_wish_known(void *arg)
{
    struct client *c = arg;

    (void)local_topup(c, &two, "a", &(struct said){.want = 4});
    return local_pool_i64(c, "a", "wanted") == 4;
}

Test(local_faults, the_wish_of_a_server_that_is_gone_is_dropped)
{
    static const char *const env[] = {"LOCAL_SUSPECT_MS=200", NULL};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), env);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
    (void)local_topup(c, &one, "a", &(struct said){.want = 10});
    cr_assert(harness_await(is_wish_known, c, LIMIT_MS));
    await_pool(c, "wanted", 0);
}

static bool is_forgotten(void *arg)
{
    return pg_i64(pg_conninfo_of(arg), "SELECT count(*) FROM local.server") == 1;
}

Test(local_faults, a_server_that_holds_nothing_and_is_silent_for_an_hour_is_forgotten)
{
    static const char *const env[] = {"LOCAL_SUSPECT_MS=100", "LOCAL_PRESUME_MS=200", NULL};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), env);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
    (void)local_topup(c, &one, "a", &(struct said){.want = 1});
    (void)local_topup(c, &two, "unknown", &(struct said){.want = 1});
    await_silence(pg_conninfo_of(db), 2);
    cr_assert_eq(pg_i64(pg_conninfo_of(db), "SELECT count(*) FROM local.server"), 2);

    pg_exec(pg_conninfo_of(db), "UPDATE local.server SET seen_at = seen_at - interval '1 hour'");
    cr_assert(harness_await(is_forgotten, db, LIMIT_MS));
    cr_assert_eq(local_pool_i64(c, "a", "presumed_spent"), 1, "its slice is still known");
}

/* ---- time */

static const struct announced in_2030 = {
    .starts_at = "2030-01-01T00:00:00Z",
    .ends_at = "2030-01-01T01:00:00Z",
    .state = "planned",
    .version = 1,
    .total = 1000,
};

struct awaited_state {
    const char *conninfo, *state;
};

static bool is_in_state(void *arg)
{
    const struct awaited_state *a = arg;
    auto_free char *state =
        pg_text(a->conninfo, "SELECT coalesce(min(state), 'purged') FROM local.pool");

    return strcmp(state, a->state) == 0;
}

static void await_state(const char *conninfo, const char *state)
{
    struct awaited_state awaited = {conninfo, state};

    cr_assert(harness_await(is_in_state, &awaited, LIMIT_MS), "never %s", state);
}

Test(local_faults, a_window_opens_and_closes_by_itself_and_is_forgotten_in_the_end)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(db);
    auto_svc struct svc *l = local_start(conninfo, NULL);
    struct client *c = svc_client(l);
    struct said said = {.starts_at = in_2030.starts_at, .want = 1};

    pg_exec(conninfo, "SELECT calendar.set('2029-12-31T23:50:00Z', 1)");
    local_announce(c, "a", &in_2030);
    struct heard ahead = local_topup(c, &one, "a", &said);
    cr_assert_eq(ahead.granted, 50, "slices are fetched ahead");
    cr_assert(ahead.starts_in_ms > 300000 && ahead.starts_in_ms <= 600000);
    cr_assert(ahead.ends_in_ms > 3900000 && ahead.ends_in_ms <= 4200000);
    pg_exec(conninfo, "SELECT calendar.set('2029-12-31T23:59:59Z', 1)");
    await_state(conninfo, "open");

    pg_exec(conninfo, "SELECT calendar.set('2030-01-01T00:59:59Z', 1)");
    await_state(conninfo, "closing");
    said.granted_known = 50;
    cr_assert_str_eq(local_topup(c, &one, "a", &said).state, "closed");
    said.consumed = 30;
    said.returned = 20;
    said.want = 0;
    (void)local_topup(c, &one, "a", &said);
    await_state(conninfo, "closed");
    cr_assert_eq(local_pool_i64(c, "a", "spent"), 30);

    pg_exec(conninfo, "SELECT calendar.set('2030-01-09T00:00:00Z', 1)");
    await_state(conninfo, "purged");
    said.want = 1;
    cr_assert_str_eq(local_topup(c, &one, "a", &said).state, "unknown");
}

Test(local_faults, a_window_whose_holder_never_speaks_again_is_closed_all_the_same)
{
    static const char *const env[] = {"LOCAL_SUSPECT_MS=200", "LOCAL_PRESUME_MS=400", NULL};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(db);
    auto_svc struct svc *l = local_start(conninfo, env);
    struct client *c = svc_client(l);
    struct said said = {.starts_at = in_2030.starts_at, .want = 1};
    struct err e = {0};

    pg_exec(conninfo, "SELECT calendar.set('2030-01-01T00:30:00Z', 1)");
    local_announce(c, "a", &in_2030);
    cr_assert_eq(local_topup(c, &one, "a", &said).granted, 50);
    pg_exec(conninfo, "SELECT calendar.set('2030-01-01T00:59:59Z', 1)");
    await_state(conninfo, "closed");

    said.granted_known = 50;
    said.consumed = 20;
    (void)local_topup(c, &one, "a", &said);
    cr_assert_eq(local_pool_i64(c, "a", "spent"), 20, "a late report is booked");
    cr_assert(client_audit(c, &e), "%s", e.msg);
}

Test(local_faults, nothing_is_granted_past_the_end_even_if_nobody_has_closed_the_window)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(db);
    auto_svc struct svc *l = local_start(conninfo, NULL);
    struct client *c = svc_client(l);

    pg_exec(conninfo, "SELECT calendar.set('2030-01-01T00:30:00Z', 1)");
    local_announce(c, "a", &in_2030);
    pg_exec(conninfo, "SELECT calendar.set('2030-01-01T01:00:00Z', 1)");
    struct heard late =
        local_topup(c, &one, "a", &(struct said){.starts_at = in_2030.starts_at, .want = 1});
    cr_assert_str_eq(late.state, "closed");
    cr_assert_eq(late.granted, 0);
}
