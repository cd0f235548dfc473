/*
 * coordinator: real processes compete on a real database, and are killed,
 * frozen and cut off.  How long things take is printed; a test fails only far
 * beyond what is promised.  What is checked exactly: that no two are believed at
 * the same time, and that epochs only grow.
 *
 * On a machine that halts for seconds heartbeats are late, and a primary loses
 * its place though nobody did anything to it: it says so in its metrics, and
 * another epoch begins.
 */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/base/num.h"
#include "common/io/db.h"
#include "services/coordinator/starter.h"
#include "services/coordinator/terms.h"
#include "tests/harness/line.h"
#include "tests/harness/pg.h"
#include "tests/harness/promise.h"
#include "tests/harness/svc.h"

PG_SUITE();

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define WAIT_MS 60000
#define ROLE "interval-svc"

/* ---- one coordinator, and what was last heard of it */

struct seat {
    struct svc *svc;
    char state[16];
    char holder[NAME_SIZE];
    int64_t epoch;
    int64_t valid_for_ms;
    int64_t believed_until_ms; /* the latest moment at which a service beside it might act */
    int64_t heard_ms;          /* when the last answer came */
    const char *conninfo;      /* of who looks at its locks */
    int64_t beats;             /* so many are waited for */
    bool has_tried;            /* it had the lock once */
};

static struct seat seat_with(const char *conninfo, const char *role, const char *name,
                             const char *more)
{
    char role_env[100], name_env[100];
    /* Most tests look at one of them at a time: the others are not asked meanwhile. */
    const char *const env[] = {
        role_env, name_env, "COORDINATOR_REST_MS=1000", "COORDINATOR_SERVICE_SILENT_MS=0",
        more,     NULL};

    (void)snprintf(role_env, sizeof(role_env), "COORDINATOR_ROLE=%s", role);
    (void)snprintf(name_env, sizeof(name_env), "COORDINATOR_NAME=%s", name);
    return (struct seat){
        .svc = svc_start(&(struct svc_options){
            .name = "coordinator", .prefix = "COORDINATOR", .conninfo = conninfo, .env = env})};
}

static struct seat seat_new(const char *conninfo, const char *name)
{
    return seat_with(conninfo, ROLE, name, NULL);
}

static void seat_done(struct seat *s)
{
    s->svc = svc_stop(s->svc);
}
#define auto_seat __attribute__((cleanup(seat_done)))

static int64_t number_in(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);

    cr_assert(cJSON_IsNumber(item), "%s", name);
    return (int64_t)item->valuedouble;
}

static const char *text_in(const cJSON *json, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));

    return text != NULL ? text : "";
}

static struct answer expect(struct seat *s, int status, const char *method, const char *path)
{
    struct answer answer = {0};
    struct err e;

    cr_assert(client_expect(svc_client(s->svc), status, method, path, NULL, &answer, &e), "%s",
              e.msg);
    return answer;
}

static int64_t in_metrics(struct seat *s, const char *series)
{
    struct answer a = expect(s, 200, "GET", "/metrics");
    char key[120];

    (void)snprintf(key, sizeof(key), "\n%s ", series);
    const char *at = strstr(buf_text(&a.reply->body), key);
    cr_assert(at != NULL, "there is no %s", series);
    return strtoll(at + strlen(key), NULL, 10);
}

static const cJSON *member(const cJSON *list, const char *name)
{
    const cJSON *m = NULL;

    cJSON_ArrayForEach(m, list)
    {
        if (strcmp(text_in(m, "name"), name) == 0)
            return m;
    }
    cr_assert_fail("there is no member %s", name);
    return NULL;
}

/* As the service beside it does.  False if no answer came. */
static bool ask(struct seat *s)
{
    char path[64];
    const struct call call = {.method = "GET", .path = path};
    int64_t asked_ms = clk_now_ms();
    struct answer answer = {0};
    struct err e;

    (void)snprintf(path, sizeof(path), "/leadership?heard=%" PRId64, s->epoch);
    if (!client_call(svc_client(s->svc), &call, &answer, &e))
        return false;
    cr_assert(answer.status == 200);
    (void)snprintf(s->state, sizeof(s->state), "%s", text_in(answer.json, "state"));
    (void)snprintf(s->holder, sizeof(s->holder), "%s", text_in(answer.json, "holder"));
    s->epoch = number_in(answer.json, "epoch");
    s->valid_for_ms = number_in(answer.json, "valid_for_ms");
    s->heard_ms = clk_now_ms();
    s->believed_until_ms = max_i64(s->believed_until_ms, asked_ms + s->valid_for_ms);
    cr_assert((strcmp(s->state, "primary") == 0) == (s->valid_for_ms > 0), "%s for %lld ms",
              s->state, (long long)s->valid_for_ms);
    return true;
}

static bool is_primary(void *arg)
{
    return ask(arg) && ((struct seat *)arg)->valid_for_ms > 0;
}

static bool is_not_primary(void *arg)
{
    return ask(arg) && ((struct seat *)arg)->valid_for_ms == 0;
}

static bool is_standby(void *arg)
{
    return ask(arg) && strcmp(((struct seat *)arg)->state, "standby") == 0;
}

static void await(bool (*condition)(void *arg), struct seat *s, const char *what)
{
    cr_assert(harness_await(condition, s, WAIT_MS), "never %s: it is %s, epoch %" PRId64, what,
              s->state, s->epoch);
}

static void report(const char *what, int64_t since_ms, int64_t promised_ms)
{
    cr_expect(promise_kept(what, clk_now_ms() - since_ms, promised_ms));
}

/* How often it has lost its place by itself. */
static int64_t disturbances(struct seat *s)
{
    return in_metrics(s, "volumecap_leader_changes_total{reason=\"session_lost\"}") +
           in_metrics(s, "volumecap_leader_changes_total{reason=\"expired\"}");
}

/* Of one that has no rival. */
static void expect_epoch(struct seat *s, int64_t epoch)
{
    cr_expect(s->epoch >= epoch && s->epoch <= epoch + disturbances(s), "epoch %" PRId64, s->epoch);
}

/* A primary A, and a standby B. */
struct pair {
    struct seat a, b;
    int64_t epoch; /* of A */
};

static bool has_beaten_again(void *arg)
{
    struct seat *s = arg;

    return in_metrics(s, "volumecap_heartbeat_seconds_count") >= s->beats;
}

static void await_beats(struct seat *s, int64_t more)
{
    s->beats = in_metrics(s, "volumecap_heartbeat_seconds_count") + more;
    await(has_beaten_again, s, "alive");
}

/* If B has taken over meanwhile it hands over again. */
static bool a_leads(void *arg)
{
    static const struct call step_down = {.method = "POST", .path = "/step-down"};
    struct pair *p = arg;
    struct answer answer = {0};
    struct err e;

    if (!ask(&p->a) || !ask(&p->b))
        return false;
    if (p->b.valid_for_ms > 0 && !client_call(svc_client(p->b.svc), &step_down, &answer, &e))
        return false;
    return p->a.valid_for_ms > 0 && strcmp(p->b.state, "standby") == 0;
}

static void lead(struct pair *p)
{
    cr_assert(harness_await(a_leads, p, WAIT_MS), "%s and %s", p->a.state, p->b.state);
    p->epoch = p->a.epoch;
}

/* B knows by a heartbeat of A that both have their sessions on the same server. */
static struct pair pair_new(const char *conninfo_a, const char *conninfo_b)
{
    struct pair p = {.a = seat_new(conninfo_a, "a")};

    await(is_primary, &p.a, "primary");
    p.b = seat_new(conninfo_b, "b");
    lead(&p);
    await_beats(&p.a, 2); /* one may have been under way */
    await_beats(&p.b, 2);
    return p;
}

static void pair_done(struct pair *p)
{
    seat_done(&p->a);
    seat_done(&p->b);
}
#define auto_pair __attribute__((cleanup(pair_done)))

/* B becomes primary, and nobody believes A by then. */
static void expect_handover(struct pair *p)
{
    await(is_primary, &p->b, "primary");
    cr_expect(p->b.heard_ms >= p->a.believed_until_ms, "both were believed for %" PRId64 " ms",
              p->a.believed_until_ms - p->b.heard_ms);
    cr_expect(p->b.epoch > p->epoch, "epoch %" PRId64 " after %" PRId64, p->b.epoch, p->epoch);
    cr_expect(p->b.epoch <= p->epoch + 1 + disturbances(&p->b), "epoch %" PRId64, p->b.epoch);
}

/* ---- the wait of a winner */

static const struct {
    const char *name;
    struct terms_predecessor before;
    int64_t wait_ms;
} waits[] = {
    {"nobody before", {.exists = false}, 0},
    {"gave up in order", {.exists = true, .released = true, .was_seen = true}, 0},
    {"ourselves", {.exists = true, .is_us = true}, 0},
    {"on this server", {.exists = true, .was_seen = true}, TERMS_GRACE_MS},
    {"perhaps on another server", {.exists = true}, TERMS_LEASE_MS},
    {"began long ago", {.exists = true, .was_seen = true, .acts_in_ms = -86400000}, TERMS_GRACE_MS},
    {"had not begun", {.exists = true, .was_seen = true, .acts_in_ms = 1500}, 1500},
    {"had not begun, and gave up", {.exists = true, .released = true, .acts_in_ms = 600}, 600},
    {"with a clock that was set back", {.exists = true, .acts_in_ms = 86400000}, TERMS_LEASE_MS},
};

Test(terms, a_winner_waits_as_long_as_the_one_before_may_be_believed)
{
    for (size_t i = 0; i < COUNT(waits); i++) {
        int64_t wait_ms = terms_wait_ms(&waits[i].before);
        cr_expect(wait_ms == waits[i].wait_ms, "%s: %" PRId64, waits[i].name, wait_ms);
    }
}

/* ---- election */

Test(coordinator, one_alone_becomes_primary_at_once)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    int64_t start_ms = clk_now_ms();
    auto_seat struct seat a = seat_new(pg_conninfo_of(d), "a");

    await(is_primary, &a, "primary");
    report("start to primary", start_ms, 1000);
    expect_epoch(&a, 1);
    cr_expect(a.valid_for_ms <= TERMS_BELIEF_MS);
    cr_expect_str_eq(a.holder, "a");
    (void)expect(&a, 200, "GET", "/readyz");
}

static bool one_of_two(void *arg)
{
    struct pair *p = arg;

    return ask(&p->a) && ask(&p->b) && p->a.epoch >= 1 && p->b.epoch == p->a.epoch &&
           strcmp(p->a.holder, p->b.holder) == 0 &&
           (strcmp(p->a.state, "primary") == 0) + (strcmp(p->b.state, "primary") == 0) == 1 &&
           (strcmp(p->a.state, "standby") == 0) + (strcmp(p->b.state, "standby") == 0) == 1;
}

Test(coordinator, of_two_started_at_once_one_is_primary)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_pair struct pair p = {.a = seat_new(pg_conninfo_of(d), "a"),
                               .b = seat_new(pg_conninfo_of(d), "b")};

    cr_assert(harness_await(one_of_two, &p, WAIT_MS), "%s and %s", p.a.state, p.b.state);
}

Test(coordinator, roles_do_not_collide)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_seat struct seat a = seat_with(pg_conninfo_of(d), "interval-svc", "a", NULL);
    auto_seat struct seat b = seat_with(pg_conninfo_of(d), "remote-svc", "a", NULL);

    await(is_primary, &a, "primary");
    await(is_primary, &b, "primary");
    expect_epoch(&a, 1);
    expect_epoch(&b, 1);
}

static bool has_been_refused(void *arg)
{
    return in_metrics(arg, "volumecap_session_failures_total") >= 1;
}

Test(coordinator, a_lock_that_is_another_roles_is_not_taken)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(d);

    pg_exec(conninfo, "INSERT INTO coordinator.leadership (role, lock_key)"
                      " VALUES ('other', coordinator.lock_key('" ROLE "'))");
    auto_seat struct seat a = seat_new(conninfo, "a");
    cr_assert(harness_await(has_been_refused, &a, WAIT_MS));
    (void)expect(&a, 503, "GET", "/readyz?verbose");
    cr_expect(pg_i64(conninfo, "SELECT count(*) FROM coordinator.leadership") == 1);

    /* An operator who puts it right need not start anything anew. */
    pg_exec(conninfo, "ALTER TABLE coordinator.leadership DISABLE TRIGGER USER;"
                      "DELETE FROM coordinator.leadership;"
                      "ALTER TABLE coordinator.leadership ENABLE TRIGGER USER");
    await(is_primary, &a, "primary");
}

/* ---- faults */

Test(coordinator, a_killed_primary_is_replaced)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_pair struct pair p = pair_new(pg_conninfo_of(d), pg_conninfo_of(d));

    lead(&p);
    int64_t start_ms = clk_now_ms();
    svc_kill(p.a.svc);
    expect_handover(&p);
    report("killed to replaced", start_ms, 1000);

    svc_restart(p.a.svc);
    await(is_standby, &p.a, "standby");
    cr_expect_str_eq(p.a.holder, "b");
    cr_expect(p.a.epoch >= p.b.epoch);
}

Test(coordinator, a_frozen_primary_is_replaced_and_wakes_without_validity)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_pair struct pair p = pair_new(pg_conninfo_of(d), pg_conninfo_of(d));

    lead(&p);
    int64_t start_ms = clk_now_ms();
    svc_freeze(p.a.svc);
    expect_handover(&p);
    report("frozen to replaced", start_ms, 5000);

    svc_thaw(p.a.svc);
    cr_assert(ask(&p.a));
    cr_expect(p.a.valid_for_ms == 0, "it wakes as %s", p.a.state);
    await(is_standby, &p.a, "standby");
    await(is_primary, &p.b, "primary still");
}

/* "host=127.0.0.1 port=N user=volumecap dbname=x": libpq takes the last port that it is given. */
static void through(const struct line *line, const char *conninfo, char ret[256])
{
    (void)snprintf(ret, 256, "%s port=%d", conninfo, line_port(line));
}

/* Both live, so all that A says while it is cut off is heard, and must be over when B begins. */
Test(coordinator, a_primary_that_is_cut_off_stops_before_it_is_replaced)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    auto_line struct line *line = line_start((int)pg_port(pg));
    char conninfo[256];

    pg_migrate(pg_conninfo(pg));
    through(line, pg_conninfo(pg), conninfo);
    auto_pair struct pair p = pair_new(conninfo, pg_conninfo(pg));

    lead(&p);
    int64_t start_ms = clk_now_ms();
    line_cut(line);
    await(is_not_primary, &p.a, "without validity");
    report("cut off to without validity", start_ms, 2000);
    expect_handover(&p);
    report("cut off to replaced", start_ms, 5000);
    cr_expect(is_not_primary(&p.a));

    line_mend(line);
    await(is_standby, &p.a, "standby");
    await(is_primary, &p.b, "primary still");
}

/* Both live, so each answer is heard: when one is primary nobody believes the other any more. */
static void expect_one_is_believed(const struct pair *p)
{
    const struct seat *primary = p->a.valid_for_ms > 0 ? &p->a : &p->b;
    const struct seat *other = primary == &p->a ? &p->b : &p->a;

    cr_expect(primary->heard_ms >= other->believed_until_ms,
              "both were believed for %" PRId64 " ms",
              other->believed_until_ms - primary->heard_ms);
}

static bool someone_else_is_primary(void *arg)
{
    struct pair *p = arg;

    return (is_primary(&p->a) && p->a.epoch > p->epoch) ||
           (is_primary(&p->b) && p->b.epoch > p->epoch);
}

Test(coordinator, a_session_that_an_administrator_ends_is_noticed_at_once)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_pair struct pair p = pair_new(pg_conninfo_of(d), pg_conninfo_of(d));

    lead(&p);
    int64_t start_ms = clk_now_ms();
    cr_assert(pg_i64(pg_conninfo_of(d),
                     "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
                     " WHERE locktype = 'advisory' AND granted"
                     "   AND database = (SELECT oid FROM pg_database"
                     "                    WHERE datname = current_database())") == 1);
    cr_assert(harness_await(someone_else_is_primary, &p, WAIT_MS), "%s and %s", p.a.state,
              p.b.state);
    report("session ended to replaced", start_ms, 1000);
    expect_one_is_believed(&p);
}

static bool there_is_a_primary(void *arg)
{
    struct pair *p = arg;

    return is_primary(&p->a) || is_primary(&p->b);
}

static bool one_is_primary(void *arg)
{
    struct pair *p = arg;

    return ask(&p->a) && ask(&p->b) && (p->a.valid_for_ms > 0) + (p->b.valid_for_ms > 0) == 1;
}

static void expect_one_primary_again(struct pair *p, const char *what, int64_t since_ms)
{
    cr_assert(harness_await(there_is_a_primary, p, WAIT_MS), "%s and %s", p->a.state, p->b.state);
    report(what, since_ms, 5000);
    expect_one_is_believed(p);
    cr_assert(harness_await(one_is_primary, p, WAIT_MS), "%s and %s", p->a.state, p->b.state);
    expect_one_is_believed(p);
}

Test(coordinator, a_database_that_is_started_anew_has_a_primary_again)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(pg));
    auto_pair struct pair p = pair_new(pg_conninfo(pg), pg_conninfo(pg));

    lead(&p);
    pg_kill(pg);
    await(is_not_primary, &p.a, "without validity");
    pg_restart(pg);
    expect_one_primary_again(&p, "database back to primary", clk_now_ms());
    cr_expect(pg_i64(pg_conninfo(pg), "SELECT epoch FROM coordinator.leadership") > p.epoch);
}

/* If its session outlives that, nobody else can have won, and the epoch goes on. */
Test(coordinator, while_the_database_is_frozen_there_is_no_primary)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(pg));
    auto_pair struct pair p = pair_new(pg_conninfo(pg), pg_conninfo(pg));

    lead(&p);
    int64_t start_ms = clk_now_ms();
    pg_freeze(pg);
    await(is_not_primary, &p.a, "without validity");
    report("database frozen to no primary", start_ms, 2000);
    cr_expect(is_not_primary(&p.b));
    pg_thaw(pg);
    expect_one_primary_again(&p, "database thawed to primary", clk_now_ms());
}

/* ---- handing over */

Test(coordinator, a_primary_steps_down_for_its_standby)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_pair struct pair p = pair_new(pg_conninfo_of(d), pg_conninfo_of(d));

    (void)expect(&p.b, 409, "POST", "/step-down");
    lead(&p);
    int64_t start_ms = clk_now_ms();
    struct answer a = expect(&p.a, 200, "POST", "/step-down");
    cr_expect_str_eq(text_in(a.json, "state"), "resting");
    cr_expect(number_in(a.json, "valid_for_ms") == 0);
    cr_expect(clk_now_ms() >= p.a.believed_until_ms, "answered while it was still believed");
    expect_handover(&p);
    report("step-down to replaced", start_ms, 1000);
    (void)expect(&p.a, 409, "POST", "/step-down");
    cr_expect(in_metrics(&p.a, "volumecap_leader_changes_total{reason=\"stepped_down\"}") == 1);
    await(is_standby, &p.a, "standby");
    await(is_primary, &p.b, "primary still");
}

static bool has_beaten(void *arg)
{
    return in_metrics(arg, "volumecap_heartbeat_seconds_count") >= 3;
}

Test(coordinator, one_that_no_service_asks_does_not_compete)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_seat struct seat a =
        seat_with(pg_conninfo_of(d), ROLE, "a", "COORDINATOR_SERVICE_SILENT_MS=60000");

    cr_assert(harness_await(has_beaten, &a, WAIT_MS));
    cr_expect(in_metrics(&a, "volumecap_leader_epoch") == 0);
    await(is_primary, &a, "primary as soon as it is asked");
    expect_epoch(&a, 1);
}

static bool is_alive_and_no_standby(const cJSON *member)
{
    return strcmp(text_in(member, "state"), "resting") == 0 &&
           cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(member, "alive"));
}

/* B, which goes on being asked, has heard of it by a heartbeat. */
static bool knows_that_a_rests(void *arg)
{
    struct seat *b = arg;

    if (!is_primary(b) || in_metrics(b, "volumecap_standbys") != 0)
        return false;
    struct answer list = expect(b, 200, "GET", "/members");
    return is_alive_and_no_standby(
        member(cJSON_GetObjectItemCaseSensitive(list.json, "members"), "a"));
}

Test(coordinator, a_primary_whose_service_falls_silent_is_replaced)
{
    static const char silent[] = "COORDINATOR_SERVICE_SILENT_MS=1000";
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_seat struct seat a = seat_with(pg_conninfo_of(d), ROLE, "a", silent);

    await(is_primary, &a, "primary");
    auto_seat struct seat b = seat_with(pg_conninfo_of(d), ROLE, "b", silent);
    int64_t start_ms = clk_now_ms();
    await(is_primary, &b, "primary in place of one that is not asked");
    cr_expect(a.believed_until_ms <= b.heard_ms);
    report("silence of the service to replaced", start_ms, 2500);
    cr_expect(in_metrics(&a, "volumecap_leader_changes_total{reason=\"service_silent\"}") >= 1);
    await(knows_that_a_rests, &b, "primary beside one that is alive and rests");
    await(is_standby, &a, "a standby when it is asked again");
}

/* Only the service says what it has heard: a probe does not keep the primary of a dead one. */
static bool is_left_while_others_look(void *arg)
{
    struct answer answer = expect(arg, 200, "GET", "/leadership");

    return strcmp(text_in(answer.json, "state"), "resting") == 0;
}

Test(coordinator, who_only_looks_is_no_service)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_seat struct seat a =
        seat_with(pg_conninfo_of(d), ROLE, "a", "COORDINATOR_SERVICE_SILENT_MS=1000");

    await(is_primary, &a, "primary");
    cr_assert(harness_await(is_left_while_others_look, &a, WAIT_MS));
}

static bool is_primary_above_7(void *arg)
{
    return is_primary(arg) && ((struct seat *)arg)->epoch > 7;
}

/* Of a database that was set back the epochs are lower than what services have heard. */
Test(coordinator, a_service_that_has_heard_of_a_higher_epoch_gets_one_above)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_seat struct seat a = seat_new(pg_conninfo_of(d), "a");

    await(is_primary, &a, "primary");
    expect_epoch(&a, 1);
    (void)expect(&a, 200, "GET", "/leadership?heard=7");
    await(is_primary_above_7, &a, "primary of a higher epoch");
    expect_epoch(&a, 8);
    cr_expect(in_metrics(&a, "volumecap_leader_changes_total{reason=\"outranked\"}") == 1);
}

/* It has tried when the database has seen it wait for the row, and given up when nobody waits. */
static bool rests_without_the_lock(void *arg)
{
    struct seat *s = arg;
    int64_t locks = pg_i64(s->conninfo, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                                        " AND granted AND database ="
                                        " (SELECT oid FROM pg_database"
                                        "   WHERE datname = current_database())");

    s->has_tried = s->has_tried || locks > 0;
    if (!s->has_tried)
        (void)ask(s);
    return s->has_tried && locks == 0;
}

/* A transaction of the past holds the epoch's row for longer than a campaign waits for it. */
static bool campaign_fails(struct db_conn *c, void *arg, struct err *e)
{
    struct seat *s = arg;

    if (!db_query(c, "SELECT FROM coordinator.leadership FOR SHARE", DB_NO_ARGS, NULL, e))
        return false;
    /* It is asked until it tries; when it has failed its service is silent. */
    return harness_await(rests_without_the_lock, s, WAIT_MS) ||
           err_set(e, ERR_INTERNAL, "it is %s, and has the lock", s->state);
}

Test(coordinator, whoever_fails_to_be_elected_has_no_lock)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db_session struct db_session *session = NULL;
    char patient[300];
    struct err e = {0};
    auto_seat struct seat a =
        seat_with(pg_conninfo_of(d), ROLE, "a", "COORDINATOR_SERVICE_SILENT_MS=500");

    a.conninfo = pg_conninfo_of(d);
    cr_assert(harness_await(has_beaten, &a, WAIT_MS));
    /* It is idle while it has the row. */
    (void)snprintf(patient, sizeof(patient),
                   "%s options='-c idle_in_transaction_session_timeout=0'", a.conninfo);
    cr_assert(db_session_new(patient, 2 * WAIT_MS, &session, &e), "%s", e.msg);
    cr_assert(db_session_open(session, "SELECT 1", &e), "%s", e.msg);
    cr_expect(db_session_tx(session, campaign_fails, &a, &e), "%s", e.msg);
}

/* It has gone last once: it does not leave its successor without a standby. */
Test(coordinator, who_stepped_down_stands_by_as_soon_as_another_is_primary)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_seat struct seat a = seat_with(pg_conninfo_of(d), ROLE, "a", "COORDINATOR_REST_MS=60000");

    await(is_primary, &a, "primary");
    auto_seat struct seat b = seat_new(pg_conninfo_of(d), "b");
    await(is_standby, &b, "standby");
    (void)expect(&a, 200, "POST", "/step-down");
    await(is_primary, &b, "primary");
    await(is_standby, &a, "standby long before its rest is over");
}

/* With nobody to hand over to it comes back by itself. */
Test(coordinator, one_alone_that_steps_down_is_primary_again_after_a_rest)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_seat struct seat a = seat_new(pg_conninfo_of(d), "a");

    await(is_primary, &a, "primary");
    (void)expect(&a, 200, "POST", "/step-down");
    await(is_primary, &a, "primary again");
    expect_epoch(&a, 2);
}

Test(coordinator, a_primary_that_is_told_to_stop_hands_over)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_pair struct pair p = pair_new(pg_conninfo_of(d), pg_conninfo_of(d));

    lead(&p);
    int64_t start_ms = clk_now_ms();
    p.a.svc = svc_stop(p.a.svc);
    cr_expect(clk_now_ms() >= p.a.believed_until_ms, "gone while it was still believed");
    expect_handover(&p);
    report("SIGTERM to replaced", start_ms, 1000);
    cr_expect(pg_i64(pg_conninfo_of(d), "SELECT count(*) FROM coordinator.member") == 1);
}

/* ---- members */

static bool sees_a_standby(void *arg)
{
    return in_metrics(arg, "volumecap_standbys") == 1;
}

/* A heartbeat of B may be late: each of it is true again soon. */
static bool shows_both(void *arg)
{
    struct seat *a = arg;
    struct answer answer = expect(a, 200, "GET", "/members");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(answer.json, "members");

    if (cJSON_GetArraySize(list) != 2)
        return false;
    return strcmp(text_in(member(list, "a"), "state"), "primary") == 0 &&
           strcmp(text_in(member(list, "b"), "state"), "standby") == 0 &&
           strcmp(text_in(member(list, "b"), "version"), VOLUMECAP_VERSION) == 0 &&
           cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(member(list, "a"), "self")) &&
           cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(member(list, "b"), "alive")) &&
           number_in(member(list, "b"), "seen_ms_ago") < TERMS_ALIVE_MS;
}

static bool sees_none(void *arg)
{
    return in_metrics(arg, "volumecap_standbys") == 0;
}

Test(coordinator, members_see_each_other)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_pair struct pair p = pair_new(pg_conninfo_of(d), pg_conninfo_of(d));

    lead(&p);
    await(sees_a_standby, &p.a, "with a standby");
    await(shows_both, &p.a, "one that shows both");

    svc_kill(p.b.svc);
    await(sees_none, &p.a, "without its standby");
    struct answer a = expect(&p.a, 200, "GET", "/members");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(a.json, "members");
    cr_expect(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(member(list, "b"), "alive")));

    /* A successor of the same name takes its place. */
    svc_restart(p.b.svc);
    await(sees_a_standby, &p.a, "with a standby again");
    cr_expect(pg_i64(pg_conninfo_of(d), "SELECT count(*) FROM coordinator.member") == 2);
}

static int64_t lines_in(const char *path)
{
    FILE *f = fopen(path, "re");
    int64_t lines = 0;

    for (int c = f ? getc(f) : EOF; c != EOF; c = getc(f))
        lines += c == '\n';
    if (f)
        (void)fclose(f);
    return lines;
}

static bool is_twice_in_file(void *arg)
{
    return lines_in(arg) >= 2;
}

static bool two_have_ended(void *arg)
{
    return in_metrics(arg, "volumecap_standby_starts_total{outcome=\"ok\"}") >= 2;
}

static bool misses_somebody(void *arg)
{
    return in_metrics(arg, "volumecap_standby_missing") == 1;
}

static bool misses_nobody(void *arg)
{
    return in_metrics(arg, "volumecap_standby_missing") == 0;
}

Test(coordinator, a_standby_that_is_missing_is_started)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_free char *folder = folder_scratch();
    char path[200], command[300];

    (void)snprintf(path, sizeof(path), "%s/started", folder);
    (void)snprintf(command, sizeof(command), "COORDINATOR_START_STANDBY=echo again >> %s", path);
    const char *const env[] = {"COORDINATOR_ROLE=" ROLE,
                               "COORDINATOR_NAME=a",
                               "COORDINATOR_STANDBY_MISSING_MS=1000",
                               "COORDINATOR_SERVICE_SILENT_MS=0",
                               command,
                               NULL};
    auto_seat struct seat a = {.svc = svc_start(&(struct svc_options){.name = "coordinator",
                                                                      .prefix = "COORDINATOR",
                                                                      .conninfo = pg_conninfo_of(d),
                                                                      .env = env})};

    cr_assert(harness_await(is_twice_in_file, path, WAIT_MS));
    await(misses_somebody, &a, "without a standby");
    await(two_have_ended, &a, "done twice");
    auto_seat struct seat b = seat_new(pg_conninfo_of(d), "b");
    await(misses_nobody, &a, "content");
}

/* ---- the starter by itself */

struct started {
    struct metrics *metrics;
    struct starter *starter;
    const char *wanted;
};

/* Each question is a tick, too. */
static bool has_in_metrics(void *arg)
{
    struct started *s = arg;
    auto_buf struct buf text = BUF_INIT(65536);

    starter_tick(s->starter, 0);
    metrics_write(s->metrics, &text);
    return strstr(buf_text(&text), s->wanted) != NULL;
}

static void expect_outcome(const char *command, int64_t command_ms, const char *wanted)
{
    struct started s = {.metrics = metrics_new(), .wanted = wanted};

    log_level_set(LOG_WARN);
    s.starter = starter_new(&(struct starter_config){
        .command = command, .missing_ms = 1, .command_ms = command_ms, .metrics = s.metrics});
    cr_expect(harness_await(has_in_metrics, &s, WAIT_MS), "%s: %s", command, wanted);
    s.starter = starter_free(s.starter);
    cr_expect(waitpid(-1, NULL, WNOHANG) == -1, "%s: a child is left", command);
    s.metrics = metrics_free(s.metrics);
}

Test(starter, counts_how_its_commands_end_and_leaves_no_child)
{
    expect_outcome("exit 0", WAIT_MS, "volumecap_standby_starts_total{outcome=\"ok\"} 1\n");
    expect_outcome("exit 3", WAIT_MS, "volumecap_standby_starts_total{outcome=\"failed\"} 2\n");
    expect_outcome("sleep 600", 100, "volumecap_standby_starts_total{outcome=\"failed\"} 1\n");
    expect_outcome("sleep 600", WAIT_MS, "volumecap_standby_missing 1\n");
}

/* ---- what the database refuses */

Test(fence, an_epoch_only_grows_and_has_one_holder)
{
    static const char *const refused[] = {
        "UPDATE coordinator.leadership SET epoch = epoch - 1",
        "UPDATE coordinator.leadership SET holder = gen_random_uuid()",
        "UPDATE coordinator.leadership SET lock_key = lock_key + 1",
        "UPDATE coordinator.leadership SET role = 'x'",
        "UPDATE coordinator.leadership SET released = false",
        "DELETE FROM coordinator.leadership",
    };
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(d);

    pg_exec(conninfo,
            "INSERT INTO coordinator.leadership VALUES ('r', coordinator.lock_key('r'), 7,"
            " gen_random_uuid(), 'a', now(), now(), true)");
    for (size_t i = 0; i < COUNT(refused); i++) {
        auto_free char *state = pg_sqlstate(conninfo, "%s", refused[i]);
        cr_expect_str_eq(state, "23514", "%s", refused[i]);
    }
    auto_free char *same = pg_sqlstate(
        conninfo, "INSERT INTO coordinator.leadership VALUES ('s', coordinator.lock_key('r'))");
    cr_expect_str_eq(same, "23505");
}

static bool is_current(const char *conninfo, int64_t epoch)
{
    return pg_i64(conninfo, "SELECT coordinator.is_current('" ROLE "', %" PRId64 ")::int", epoch);
}

Test(fence, only_the_epoch_of_a_primary_that_has_not_given_up_is_current)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(d);

    cr_expect_not(is_current(conninfo, 0));
    auto_seat struct seat a = seat_new(conninfo, "a");
    await(is_primary, &a, "primary");
    const int64_t epoch = a.epoch;
    cr_expect(is_current(conninfo, epoch));
    cr_expect_not(is_current(conninfo, epoch - 1));
    cr_expect_not(is_current(conninfo, epoch + 1));
    (void)expect(&a, 200, "POST", "/step-down");
    cr_expect_not(is_current(conninfo, epoch));
    await(is_primary, &a, "primary again");
    cr_expect_not(is_current(conninfo, epoch));
    cr_expect(is_current(conninfo, a.epoch));
}

struct fenced {
    struct pair *pair;
    const char *conninfo;
};

#define HALT_MS 1000 /* the database ends a transaction that is silent for 1.5 s */

/* In a transaction of the primary's service, which then is silent. */
static bool hold_fence(struct db_conn *c, void *arg, struct err *e)
{
    const struct fenced *f = arg;
    auto_rows struct db_rows *rows = NULL;

    cr_assert(db_query(c, "SELECT coordinator.is_current('" ROLE "', $1)",
                       DB_ARGS(db_i64(f->pair->epoch)), &rows, e),
              "%s", e->msg);
    cr_assert(db_get_bool(rows, 0, 0));
    int64_t asked_ms = clk_now_ms();
    auto_free char *state =
        pg_sqlstate(f->conninfo, "SET lock_timeout = 100;"
                                 " UPDATE coordinator.leadership SET epoch = epoch + 1");
    cr_expect(strcmp(state, "55P03") == 0 || clk_now_ms() - asked_ms > HALT_MS,
              "another epoch began in the middle: %s", state);

    int64_t start_ms = clk_now_ms();
    svc_kill(f->pair->a.svc);
    expect_handover(f->pair);
    report("killed in a fenced transaction to replaced", start_ms, 3000);
    return db_query(c, "SELECT 1", DB_NO_ARGS, NULL, e);
}

/* What it holds up, it does not hold up for long. */
Test(fence, an_epoch_lasts_until_the_end_of_a_transaction_that_asked_for_it)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_pair struct pair p = pair_new(pg_conninfo_of(d), pg_conninfo_of(d));
    struct fenced f = {.pair = &p, .conninfo = pg_conninfo_of(d)};
    auto_db_session struct db_session *s = NULL;
    struct err e;

    lead(&p);
    cr_assert(db_session_new(pg_conninfo_of(d), 60000, &s, &e), "%s", e.msg);
    cr_assert(db_session_open(s, "SELECT 1", &e), "%s", e.msg);
    cr_expect_not(db_session_tx(s, hold_fence, &f, &e),
                  "the transaction of the past was committed");
}

/* ---- settings, metrics */

static const struct {
    const char *name;
    const char *env[4];
} bad[] = {
    {"no role", {"COORDINATOR_DB=host=127.0.0.1"}},
    {"no database", {"COORDINATOR_ROLE=a"}},
    {"a role that is none", {"COORDINATOR_ROLE=a b", "COORDINATOR_DB=host=127.0.0.1"}},
    {"a conninfo that is none", {"COORDINATOR_ROLE=a", "COORDINATOR_DB=host"}},
    {"a name that is none",
     {"COORDINATOR_ROLE=a", "COORDINATOR_DB=host=127.0.0.1", "COORDINATOR_NAME=/"}},
    {"a rest below 0",
     {"COORDINATOR_ROLE=a", "COORDINATOR_DB=host=127.0.0.1", "COORDINATOR_REST_MS=-1"}},
    {"a setting that is none",
     {"COORDINATOR_ROLE=a", "COORDINATOR_DB=host=127.0.0.1", "COORDINATOR_LEASE_MS=1"}},
};

Test(coordinator, settings_that_are_no_good_stop_the_start)
{
    static const char *const argv[] = {VOLUMECAP_BIN "/coordinator", NULL};

    for (size_t i = 0; i < COUNT(bad); i++) {
        auto_proc struct proc *p =
            proc_start(&(struct proc_options){.argv = argv, .env = bad[i].env});
        int status = 0;
        cr_assert(proc_wait(p, WAIT_MS, &status), "%s: it starts", bad[i].name);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%s", bad[i].name);
    }
}

static bool says_that_it_leads(void *arg)
{
    struct seat *s = arg;

    return ask(s) && in_metrics(s, "volumecap_leader") == 1 &&
           in_metrics(s, "volumecap_leader_epoch") == s->epoch;
}

Test(coordinator, has_metrics_that_promtool_likes)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_seat struct seat a = seat_new(pg_conninfo_of(d), "a");

    await(is_primary, &a, "primary");
    await(says_that_it_leads, &a, "primary by its metrics");
    expect_epoch(&a, in_metrics(&a, "volumecap_leader_changes_total{reason=\"won\"}"));
    cr_expect(in_metrics(&a, "volumecap_heartbeat_seconds_count") >= 1);

    cr_assert(system("command -v promtool > /dev/null") == 0, "promtool is not installed");
    struct answer m = expect(&a, 200, "GET", "/metrics");
    FILE *promtool = popen("promtool check metrics", "w");
    cr_assert_not_null(promtool);
    cr_assert(fputs(buf_text(&m.reply->body), promtool) >= 0);
    cr_assert(pclose(promtool) == 0);
}
