/* local_learn: a database that goes back, and what those say who know better. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "common/base/buf.h"
#include "common/io/db.h"
#include "services/local-svc/store_learn.h"
#include "services/local-svc/witness.h"
#include "tests/harness/local.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"

PG_SUITE();

#define SOON_MS 30000
#define LEARN "LOCAL_LEARN_MS=300"
#define PATIENT "LOCAL_SUSPECT_MS=600000" /* with servers for which the test is slow to speak */

static const struct speaker one = {.number = 1}, two = {.number = 2};

static const cJSON *call(struct client *c, const char *method, const char *path, const char *body)
{
    struct answer answer = {0};
    struct err e = {0};

    cr_assert(client_expect(c, 200, method, path, body, &answer, &e), "%s %s: %s", method, path,
              e.msg);
    return answer.json;
}

static int64_t learning(struct client *c, const char *member)
{
    const cJSON *value =
        cJSON_GetObjectItemCaseSensitive(call(c, "GET", "/learning", NULL), member);

    return cJSON_IsNumber(value) ? (int64_t)value->valuedouble : cJSON_IsTrue(value);
}

struct awaited {
    struct client *client;
    const char *member;
    int64_t value;
};

static bool is_so(void *arg)
{
    const struct awaited *a = arg;

    return learning(a->client, a->member) == a->value;
}

static void await(struct client *c, const char *member, int64_t value)
{
    struct awaited awaited = {c, member, value};

    cr_assert(harness_await(is_so, &awaited, SOON_MS), "%s: not %" PRId64, member, value);
}

/* A server that has heard of the incarnation, and says that it has told all it holds. */
static void tell_all(struct client *c, int server, int64_t incarnation)
{
    char body[400];

    (void)snprintf(body, sizeof(body),
                   "{\"server\":\"server-%d\",\"incarnation\":\"00000000-0000-4000-8000-%012d\","
                   "\"generation\":9,\"process\":\"00000000-0000-4000-8000-000000000009\","
                   "\"heard\":%" PRId64 ",\"all_told\":true,\"items\":[]}",
                   server, server, incarnation);
    (void)call(c, "POST", "/topup", body);
}

/* Whatever ledgers the harness gives its servers: they all say so. */
static void all_servers_tell(const char *conninfo, struct client *c)
{
    int64_t incarnation = learning(c, "incarnation");
    int64_t servers = pg_i64(conninfo, "SELECT count(*) FROM local.server");

    for (int64_t i = 0; i < servers; i++) {
        auto_free char *body = pg_text(
            conninfo,
            "SELECT json_build_object('server', name, 'incarnation', incarnation, 'generation',"
            "       generation, 'process', process, 'heard', %" PRId64 "::bigint, 'all_told', true,"
            "       'items', json_build_array())"
            "  FROM local.server ORDER BY name, incarnation OFFSET %" PRId64 " LIMIT 1",
            incarnation, i);
        (void)call(c, "POST", "/topup", body);
    }
}

static const char *const alone[] = {LEARN, PATIENT, NULL};

Test(local_learn, who_was_granted_more_than_is_known_puts_it_in_doubt)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), alone);
    struct client *c = svc_client(l);

    local_announce(c, "ad", &(struct announced){.version = 1, .total = 1000});
    (void)local_topup(c, &one, "ad", &(struct said){.want = 1});
    (void)local_topup(c, &two, "ad", &(struct said){.want = 1});
    cr_expect_eq(learning(c, "learning"), 0);

    struct heard heard = local_topup(
        c, &one, "ad", &(struct said){.granted_known = 400, .consumed = 390, .want = 1});
    cr_expect_eq(heard.granted, 400);
    cr_expect_str_eq(heard.state, "dry");
    cr_expect_gt(heard.left, 0);
    cr_expect_eq(learning(c, "is_lost"), 1);
    heard = local_topup(c, &two, "ad", &(struct said){.granted_known = 50, .want = 5});
    cr_expect_eq(heard.granted, 50, "nothing is granted while somebody is silent");
    cr_expect_gt(local_pool_i64(c, "ad", "frozen"), 0);

    all_servers_tell(pg_conninfo_of(db), c);
    await(c, "learning", 0);
    heard = local_topup(c, &two, "ad", &(struct said){.granted_known = 50, .want = 5});
    cr_expect_gt(heard.granted, 50);
    cr_expect_eq(local_pool_i64(c, "ad", "frozen"), 0);
}

/* It could have been here before, with grants of which nobody has told since. */
Test(local_learn, a_window_that_is_new_while_it_learns_is_in_doubt_and_all_must_speak_again)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), alone);
    struct client *c = svc_client(l);

    local_announce(c, "ad", &(struct announced){.version = 1, .total = 1000});
    (void)local_topup(c, &one, "ad", &(struct said){.want = 1});
    (void)local_topup(c, &one, "ad", &(struct said){.granted_known = 400});
    int64_t first = learning(c, "incarnation");
    local_announce(c, "new", &(struct announced){.version = 1, .total = 1000});
    cr_expect_gt(learning(c, "incarnation"), first);
    cr_expect_eq(learning(c, "windows"), 2);
    struct heard heard =
        local_topup(c, &one, "new", &(struct said){.granted_known = 70, .want = 1});
    cr_expect_eq(heard.granted, 70);

    all_servers_tell(pg_conninfo_of(db), c);
    await(c, "learning", 0);
    cr_expect_eq(local_pool_i64(c, "new", "granted"), 70);
    cr_expect_eq(local_pool_i64(c, "new", "free"), 930);
}

/* What was said in an earlier incarnation does not count. */
Test(local_learn, only_what_is_said_in_this_incarnation_ends_the_doubt)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), alone);
    struct client *c = svc_client(l);

    local_announce(c, "ad", &(struct announced){.version = 1, .total = 1000});
    (void)local_topup(c, &one, "ad", &(struct said){.want = 1});
    (void)local_topup(c, &one, "ad", &(struct said){.granted_known = 400});
    int64_t first = learning(c, "incarnation");
    tell_all(c, 3, first);
    tell_all(c, 3, first - 1);
    cr_expect_eq(learning(c, "silent_servers"), 1, "the third has spoken, the first has not");
    tell_all(c, 4, first + (INT64_C(5) << 20));
    cr_expect_gt(learning(c, "incarnation"), first, "somebody has heard of a later one");
    cr_expect_gt(learning(c, "silent_servers"), 1);
}

Test(local_learn, a_new_life_in_which_all_processes_find_what_they_did_frees_everything)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){0});
    pg_migrate(pg_conninfo(pg));
    auto_svc struct svc *a = local_start(pg_conninfo(pg), alone);
    auto_svc struct svc *b = local_start(pg_conninfo(pg), alone);
    struct client *c = svc_client(a);

    local_announce(c, "ad", &(struct announced){.version = 1, .total = 1000});
    (void)local_topup(c, &one, "ad", &(struct said){.want = 1});
    (void)local_topup(svc_client(b), &two, "ad", &(struct said){.want = 1});

    /* Both servers are silent from here on; the processes' word is enough. */
    pg_restart(pg);
    struct awaited raised = {c, "learning", 0};
    cr_assert(harness_await(is_so, &raised, SOON_MS));
    (void)local_topup(c, &(struct speaker){.number = 3}, "ad", &(struct said){.want = 1});
    await(c, "learning", 0);
    cr_expect_eq(learning(c, "is_lost"), 0);
    cr_expect_gt(learning(c, "incarnation"), 0);
    cr_expect_gt(
        local_topup(c, &(struct speaker){.number = 3}, "ad", &(struct said){.want = 1}).granted, 0);
}

/* ---- a process by itself */

static struct db *database_of(struct pg_db *d)
{
    const struct db_pool_settings settings = {
        .conninfo = pg_conninfo_of(d), .conns_max = 2, .acquire_timeout_ms = 30000};
    struct db *db = NULL;
    struct err e = {0};

    cr_assert(db_open(&settings, NULL, &db, &e), "%s", e.msg);
    return db;
}

struct alone {
    struct pg_db *d;
    struct db *db;
    struct witness *w;
    struct learn_others others;
};

static void look(struct alone *a, int64_t now_ms)
{
    struct err e = {0};

    cr_assert(store_learn_look(a->db, a->w, &a->others, now_ms, &e), "%s", e.msg);
}

/* A process that is registered. */
static void arrive(struct alone *a)
{
    a->d = pg_fresh_db();
    a->db = database_of(a->d);
    a->w = witness_new();
    look(a, 0);
}

static void depart(struct alone *a)
{
    witness_free(a->w);
    db_close(a->db);
    pg_db_free(a->d);
}
#define auto_alone __attribute__((cleanup(depart)))

static int64_t writers(struct alone *a)
{
    return pg_i64(pg_conninfo_of(a->d), "SELECT count(*) FROM local.writer");
}

/* A request that comes while it ends finds that it is not on the list: that is no loss. */
Test(local_learn, a_process_that_has_left_does_nothing_and_misses_nothing)
{
    auto_alone struct alone a = {0};
    struct err e = {0};

    arrive(&a);
    cr_expect_eq(writers(&a), 1);
    cr_assert(store_learn_leave(a.db, a.w, &e), "%s", e.msg);
    cr_expect_eq(writers(&a), 0);
    cr_expect_not(store_learn_look(a.db, a.w, &a.others, 0, &e));
    cr_expect(e.kind == ERR_UNAVAILABLE, "%s", e.msg);
    cr_expect_eq(writers(&a), 0);
    cr_expect_eq(pg_i64(pg_conninfo_of(a.d), "SELECT count(*) FROM local.dc WHERE in_doubt"), 0);
}

/* What others may be doing meanwhile is seen in the number of their commits. */
static void join(struct alone *first, struct alone *ret)
{
    *ret = (struct alone){.db = database_of(first->d), .w = witness_new()};
    look(ret, 0);
    look(first, 0);
    cr_assert_eq(writers(first), 2);
}

static void part(struct alone *a)
{
    witness_free(a->w);
    db_close(a->db);
}
#define auto_joined __attribute__((cleanup(part)))

Test(local_learn, who_commits_nothing_for_a_minute_is_struck_off_by_the_others)
{
    auto_alone struct alone a = {0};
    auto_joined struct alone b = {0};

    arrive(&a);
    join(&a, &b);
    look(&a, WITNESS_STRUCK_MS - 1);
    cr_expect_eq(writers(&a), 2);
    look(&b, 0);
    look(&a, WITNESS_STRUCK_MS);
    cr_expect_eq(writers(&a), 2, "it has committed something");
    look(&a, 2 * WITNESS_STRUCK_MS - 1);
    cr_expect_eq(writers(&a), 2);
    look(&a, 2 * WITNESS_STRUCK_MS);
    cr_expect_eq(writers(&a), 1);
}

/* Then everybody looks old, by the time at which he was there last. */
Test(local_learn, nobody_is_struck_off_because_the_databases_clock_was_set_forward)
{
    auto_alone struct alone a = {0};
    auto_joined struct alone b = {0};

    arrive(&a);
    join(&a, &b);
    pg_exec(pg_conninfo_of(a.d), "UPDATE local.writer SET seen_at = now() - interval '1 hour'");
    look(&a, 1000);
    cr_expect_eq(writers(&a), 2);
    look(&b, 1000);
    cr_expect_eq(pg_i64(pg_conninfo_of(a.d), "SELECT count(*) FROM local.dc WHERE in_doubt"), 0);
}

/* What this process logs from now on. */
static int capture(void)
{
    int pair[2];

    cr_assert(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
    cr_assert(dup2(pair[0], STDERR_FILENO) >= 0);
    (void)close(pair[0]);
    return pair[1];
}

static int64_t count_lines(int fd, const char *with)
{
    char line[2048];
    int64_t found = 0;
    ssize_t len = 0;

    while ((len = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT)) >= 0) {
        line[len] = '\0';
        found += strstr(line, with) != NULL;
    }
    return found;
}

/* They hold units of which no other data centre has said that it sent them. */
static void doubt_for_ever(struct alone *a, int count)
{
    pg_exec(pg_conninfo_of(a->d),
            "INSERT INTO local.pool (cap, home, starts_at, ends_at, state, paused, version,"
            "       topup_ppm, slice_max_ppm, autonomy_ms, requested, requested_max, granted,"
            "       in_doubt)"
            "SELECT 'ad' || i, 'elsewhere', '2020-01-01Z', '2090-01-01Z', 'open', false, 1,"
            "       100000, 100000, 0, 1000, 1000, 400, true"
            "  FROM generate_series(1, %d) i",
            count);
    pg_exec(pg_conninfo_of(a->d),
            "UPDATE local.dc SET in_doubt = true, is_lost = true, has_heard = true");
}

/* True if there is another page. */
static bool step(struct alone *a, struct learn_round *round)
{
    const struct peers none = {0};
    bool more = false;
    struct err e = {0};

    cr_assert(store_learn_step(a->db, &none, 0, round, &more, &e), "%s", e.msg);
    return more;
}

Test(local_learn, that_a_window_stays_in_doubt_though_all_have_spoken_is_logged_now_and_then)
{
    auto_alone struct alone a = {0};
    struct learn_round round = {0};

    arrive(&a);
    doubt_for_ever(&a, 1);
    int log = capture();
    for (int i = 0; i < 2; i++)
        cr_expect_not(step(&a, &round));
    cr_expect_eq(count_lines(log, "learning.not_trusted windows=1 cap=ad1 "), 1);
    cr_expect_eq(pg_i64(pg_conninfo_of(a.d), "SELECT count(*) FROM local.pool WHERE in_doubt"), 1);
}

/* The first of them is damaged: it has spent more than was ever granted. */
Test(local_learn, all_windows_that_stay_in_doubt_are_counted_also_the_damaged_and_those_far_down)
{
    auto_alone struct alone a = {0};
    struct learn_round round = {0};

    arrive(&a);
    doubt_for_ever(&a, LEARN_POOLS_MAX + 1);
    pg_exec(pg_conninfo_of(a.d),
            "ALTER TABLE local.pool DROP CONSTRAINT pool_spent_within_granted");
    pg_exec(pg_conninfo_of(a.d), "UPDATE local.pool SET consumed = 401 WHERE cap = 'ad1'");

    int log = capture();
    cr_expect(step(&a, &round));
    cr_expect_eq(count_lines(log, "learning.not_trusted"), 0, "there is another page");
    cr_expect_not(step(&a, &round));
    cr_expect_eq(count_lines(log, "learning.not_trusted windows=501 cap=ad1 "), 1);
}

/* Until the table is there, nobody can look: whoever looks locks the row first. */
static void *keep_others_from_looking(void *conninfo)
{
    pg_exec(conninfo, "DO $$ BEGIN"
                      "  PERFORM FROM local.dc FOR KEY SHARE;"
                      "  PERFORM pg_advisory_xact_lock(1);"
                      "  FOR i IN 1..3000 LOOP"
                      "      EXIT WHEN to_regclass('now_look') IS NOT NULL;"
                      "      PERFORM pg_sleep(0.01);"
                      "  END LOOP;"
                      "END $$");
    return NULL;
}

static bool holds_its_locks(void *conninfo)
{
    return pg_i64(conninfo, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                            "   AND database = (SELECT oid FROM pg_database"
                            "                    WHERE datname = current_database())") > 0;
}

static bool metric_says_so(void *client)
{
    return local_metric(client, "volumecap_learning") == 1;
}

static bool is_said_to_operators(struct client *c)
{
    const struct call call = {.method = "GET", .path = "/readyz?verbose"};
    struct answer answer = {0};
    struct err e = {0};

    cr_assert(client_call(c, &call, &answer, &e), "%s", e.msg);
    return strstr(buf_text(&answer.reply->body), "learning: " LEARN_OTHER_LIFE) != NULL;
}

Test(local_learn, another_life_at_which_nobody_has_looked_yet_is_learning_wherever_it_is_said)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), alone);
    struct client *c = svc_client(l);
    char *conninfo = (char *)(uintptr_t)pg_conninfo_of(db);
    pthread_t thread;

    local_announce(c, "ad", &(struct announced){.version = 1, .total = 1000});
    cr_assert_eq(pthread_create(&thread, NULL, keep_others_from_looking, conninfo), 0);
    cr_assert(harness_await(holds_its_locks, conninfo, SOON_MS));
    pg_exec(conninfo, "UPDATE local.dc SET life = 'another'");

    cr_expect(harness_await(metric_says_so, c, SOON_MS));
    cr_expect_eq(learning(c, "learning"), 1);
    cr_expect(is_said_to_operators(c));

    pg_exec(conninfo, "CREATE TABLE now_look ()");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    await(c, "learning", 0);
    cr_expect_not(is_said_to_operators(c));
}

/* ---- two data centres */

struct pair {
    struct pg *pg; /* of a, which goes back */
    struct pg_db *db;
    struct svc *a, *b;
};

static void begin(struct pair *p)
{
    static const char *const env_a[] = {"LOCAL_DC=a", "LOCAL_PEERS=b", LEARN, PATIENT, NULL};
    static const char *const env_b[] = {"LOCAL_DC=b", "LOCAL_PEERS=a", LEARN, PATIENT, NULL};

    p->pg = pg_start(&(struct pg_options){0});
    pg_migrate(pg_conninfo(p->pg));
    p->db = pg_fresh_db();
    p->a = local_start(pg_conninfo(p->pg), env_a);
    p->b = local_start(pg_conninfo_of(p->db), env_b);
    for (int i = 0; i < 2; i++)
        local_announce(svc_client(i == 0 ? p->a : p->b), "ad",
                       &(struct announced){.version = 1, .total = 1000, .home = "a"});
}

static void end(struct pair *p)
{
    svc_stop(p->a);
    svc_stop(p->b);
    pg_db_free(p->db);
    pg_free(p->pg);
}
#define auto_pair __attribute__((cleanup(end)))

/* What one has to tell the other of the window; free() it. */
static char *row_of(struct svc *from, const char *to)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/rows?peer=%s", to);
    const cJSON *rows =
        cJSON_GetObjectItemCaseSensitive(call(svc_client(from), "GET", path, NULL), "rows");
    cr_assert_eq(cJSON_GetArraySize(rows), 1);
    return cJSON_PrintUnformatted(cJSON_GetArrayItem(rows, 0));
}

/* The verdict; valid until the next call of this client. */
static const char *deliver(struct svc *to, const char *from, const char *row)
{
    auto_buf struct buf body = {0};

    buf_printf(&body, "{\"from\":\"%s\",\"rows\":[%s]}", from, row);
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(
        call(svc_client(to), "POST", "/rows", buf_text(&body)), "results");
    return cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(results, 0), "verdict"));
}

static void carry(struct pair *p, bool from_a)
{
    struct svc *from = from_a ? p->a : p->b, *to = from_a ? p->b : p->a;
    auto_free char *row = row_of(from, from_a ? "b" : "a");

    cr_expect_str_eq(deliver(to, from_a ? "a" : "b", row), "applied");
}

static int64_t at(struct svc *l, const char *member)
{
    return local_pool_i64(svc_client(l), "ad", member);
}

/* b lacks units, asks a for them, and is sent some. */
static void b_asks(struct pair *p, int64_t want)
{
    static struct heard last; /* of the one server there: it takes what is free, then lacks more */

    for (int i = 0; i < 2; i++)
        last = local_topup(
            svc_client(p->b), &one, "ad",
            &(struct said){.granted_known = last.granted, .consumed = last.granted, .want = want});
    carry(p, /* from_a= */ false);
}

Test(local_learn, what_was_sent_to_another_is_learned_from_it_and_not_sent_twice)
{
    auto_pair struct pair p = {0};

    begin(&p);
    carry(&p, true);
    cr_assert_eq(at(p.b, "received"), 500);
    carry(&p, false);
    pg_back_up(p.pg);

    /* b spends its 500 and gets more; then a forgets that; a last row is still under way. */
    b_asks(&p, 500);
    carry(&p, true);
    int64_t received = at(p.b, "received");
    cr_assert_gt(received, 500);
    b_asks(&p, 300);
    auto_free char *under_way = row_of(p.a, "b");
    cr_assert_gt(at(p.a, "sent"), received);

    pg_go_back(p.pg);
    cr_assert_eq(at(p.a, "sent"), 500);
    (void)local_topup(svc_client(p.a), &two, "ad", &(struct said){.want = 400});
    await(svc_client(p.a), "learning", 1);
    all_servers_tell(pg_conninfo(p.pg), svc_client(p.a));
    await(svc_client(p.a), "servers_have_spoken", 1);
    cr_expect_gt(at(p.a, "frozen"), 0);
    cr_expect_eq(at(p.a, "granted"), 0);

    /* b hears of the new life; from then on it takes nothing of the one before. */
    carry(&p, true);
    cr_expect_str_eq(deliver(p.b, "a", under_way), "stale");
    cr_expect_eq(at(p.b, "received"), received);
    carry(&p, false);
    await(svc_client(p.a), "learning", 0);
    cr_expect_eq(at(p.a, "sent"), received);
    cr_expect_eq(at(p.a, "minted") - at(p.a, "sent") + at(p.b, "received"), 1000);
}

/* What `from` has to tell the other, with one number changed; free() it. */
static char *claim_of(struct svc *from, const char *to, const char *member, double value)
{
    auto_free char *row = row_of(from, to);
    cJSON *changed = cJSON_Parse(row);

    cJSON_SetNumberHelper(cJSON_GetObjectItemCaseSensitive(changed, member), value);
    char *claim = cJSON_PrintUnformatted(changed);
    cJSON_Delete(changed);
    return claim;
}

Test(local_learn, who_echoes_what_is_not_known_to_be_sent_puts_it_in_doubt)
{
    auto_pair struct pair p = {0};

    begin(&p);
    carry(&p, true);
    auto_free char *claim = claim_of(p.b, "a", "received", 620);

    cr_expect_str_eq(deliver(p.a, "b", claim), "applied");
    cr_expect_eq(learning(svc_client(p.a), "learning"), 1);
    cr_expect_eq(at(p.a, "sent"), 620);
}

/* Doubt begins in a transaction that ends as soon as somebody waits for one of its locks. */
static void *doubt_when_awaited(void *conninfo)
{
    pg_exec(conninfo, "DO $$ BEGIN"
                      "  UPDATE local.dc SET incarnation = incarnation + 1048576, in_doubt = true,"
                      "         is_lost = true, has_heard = false, since = clock_timestamp(),"
                      "         since_calendar = calendar.now();"
                      "  UPDATE local.pool SET in_doubt = true;"
                      "  PERFORM pg_advisory_xact_lock(1);"
                      "  FOR i IN 1..3000 LOOP"
                      "      EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted);"
                      "      PERFORM pg_sleep(0.01);"
                      "  END LOOP;"
                      "END $$");
    return NULL;
}

/* A row that was made before it, and may be of a life of b that is over. */
Test(local_learn, who_waits_for_a_lock_while_doubt_begins_decides_by_the_new_incarnation)
{
    auto_pair struct pair p = {0};
    pthread_t doubt;

    begin(&p);
    carry(&p, true);
    auto_free char *claim = claim_of(p.b, "a", "sent", 100);
    char *conninfo = (char *)(uintptr_t)pg_conninfo(p.pg);

    cr_assert_eq(pthread_create(&doubt, NULL, doubt_when_awaited, conninfo), 0);
    cr_assert(harness_await(holds_its_locks, conninfo, SOON_MS));
    cr_expect_str_eq(deliver(p.a, "b", claim), "applied");
    cr_assert_eq(pthread_join(doubt, NULL), 0);
    cr_expect_eq(learning(svc_client(p.a), "learning"), 1);
    cr_expect_eq(at(p.a, "received"), 0);
}
