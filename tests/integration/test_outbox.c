/* outbox: what was committed arrives, at least once, whoever is away for a while. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/io/db.h"
#include "common/io/httpd.h"
#include "common/io/outbox.h"
#include "common/io/outbox_internal.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"

PG_SUITE();

#define WAIT_MS 60000
#define SEND_TIMEOUT_MS 3000 /* of outbox.c */
#define DELIVERIES_MAX 2000

struct delivery {
    char id[HTTPD_PARAM_SIZE];
    char body[64];
    char request_id[64];
};

/* A service that notes what it gets, and answers as it is told. */
static struct receiver {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct delivery deliveries[DELIVERIES_MAX];
    size_t count;
    int status;      /* of every answer; 0: success */
    size_t refusals; /* so many times only; the id "poison" always */
    bool held;       /* answers wait */
    struct httpd_call *stuck;
    struct metrics *metrics;
} receiver = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void take_note(const struct httpd_request *req)
{
    struct delivery *d = &receiver.deliveries[receiver.count++];

    cr_assert_lt(receiver.count, DELIVERIES_MAX);
    snprintf(d->id, sizeof(d->id), "%s", req->params[0]);
    snprintf(d->body, sizeof(d->body), "%s", req->body);
    snprintf(d->request_id, sizeof(d->request_id), "%s", req->request_id);
    pthread_cond_broadcast(&receiver.changed);
}

/* The status to refuse with, or 0. */
static int refusal(const char *id)
{
    bool poison = strcmp(id, "poison") == 0;

    if (!poison && receiver.refusals == 0)
        return 0;
    receiver.refusals -= !poison;
    return receiver.status;
}

static bool take(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                 struct err *e)
{
    (void)arg;
    (void)e;
    pthread_mutex_lock(&receiver.mutex);
    take_note(req);
    while (receiver.held)
        pthread_cond_wait(&receiver.changed, &receiver.mutex);
    reply->status = refusal(req->params[0]);
    pthread_mutex_unlock(&receiver.mutex);
    return true;
}

/* Never answers. */
static bool get_stuck(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                      struct err *e)
{
    (void)arg;
    (void)reply;
    (void)e;
    struct httpd_call *call = httpd_defer(req);
    struct httpd_reply late = {.status = 503};

    pthread_mutex_lock(&receiver.mutex);
    take_note(req);
    struct httpd_call *before = receiver.stuck;
    receiver.stuck = call;
    pthread_mutex_unlock(&receiver.mutex);
    if (before)
        httpd_complete(before, &late, NULL);
    return true;
}

static bool ready(void *arg, struct buf *out)
{
    (void)arg;
    (void)out;
    return true;
}

static const struct httpd_route routes[] = {
    {"PUT", "/messages/{id}", "putMessage", 204, take, true},
    {"PUT", "/stuck/{id}", "getStuck", 204, get_stuck, true},
};

static struct httpd *receive(int64_t port)
{
    receiver.metrics = metrics_new();
    const struct httpd_config config = {
        .settings = {.address = "127.0.0.1",
                     .port = port,
                     .threads = 2,
                     .connections_max = 64,
                     .request_timeout_ms = 10000},
        .body_max = 65536,
        .routes = routes,
        .routes_count = sizeof(routes) / sizeof(routes[0]),
        .openapi = "{}",
        .ready = ready,
        .metrics = receiver.metrics,
    };
    struct httpd *h = NULL;
    struct err e = {0};

    log_level_set(LOG_ERROR);
    cr_assert(httpd_start(&config, &h, &e), "%s", e.msg);
    return h;
}

static void receiver_stop(struct httpd *h)
{
    struct httpd_reply late = {.status = 503};

    if (receiver.stuck)
        httpd_complete(TAKE(receiver.stuck), &late, NULL);
    httpd_stop(h);
    metrics_free(receiver.metrics);
}

static bool has_count(void *arg)
{
    pthread_mutex_lock(&receiver.mutex);
    bool enough = receiver.count >= *(const size_t *)arg;
    pthread_mutex_unlock(&receiver.mutex);
    return enough;
}

static void await_deliveries(size_t count)
{
    cr_assert(harness_await(has_count, &count, WAIT_MS), "%zu of %zu came", receiver.count, count);
}

static void hold_answers(bool held)
{
    pthread_mutex_lock(&receiver.mutex);
    receiver.held = held;
    pthread_cond_broadcast(&receiver.changed);
    pthread_mutex_unlock(&receiver.mutex);
}

/* The sending side. */

struct sender {
    struct pg_db *fresh;
    const char *conninfo;
    struct db *db;
    struct metrics *metrics;
    struct replicas target;
};

static struct sender sender_on(const char *conninfo, int64_t port)
{
    struct sender s = {.conninfo = conninfo, .metrics = metrics_new()};
    struct err e = {0};
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%lld", (long long)port);
    cr_assert(replicas_parse("target", url, &s.target, &e), "%s", e.msg);
    cr_assert(db_open(&(struct db_pool_settings){conninfo, 4, 5000}, NULL, &s.db, &e), "%s", e.msg);
    return s;
}

static struct sender sender_to(int64_t port)
{
    struct pg_db *fresh = pg_fresh_db();
    struct sender s = sender_on(pg_conninfo_of(fresh), port);

    s.fresh = fresh;
    return s;
}

static void sender_done(struct sender *s)
{
    db_close(s->db);
    metrics_free(s->metrics);
    pg_db_free(s->fresh);
}

/* Who is the only one that sends has a leader that says so. */
static struct outbox_relay *relay_of(struct sender *s, struct leader *leader)
{
    const struct outbox_config config = {.db = s->db,
                                         .schema = "meta",
                                         .target = &s->target,
                                         .metrics = s->metrics,
                                         .leader = leader};
    struct outbox_relay *r = NULL;
    struct err e = {0};

    cr_assert(outbox_relay_start(&config, &r, &e), "%s", e.msg);
    return r;
}

static struct outbox_relay *relay(struct sender *s)
{
    return relay_of(s, NULL);
}

struct message {
    const char *path;
    const char *body;
    bool fails;
};

static bool put_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct message *m = arg;

    if (!outbox_put(c, "meta", m->path, m->body, e))
        return false;
    return !m->fails || err_set(e, ERR_CONFLICT, "rolled back");
}

static void put(struct sender *s, const char *path, const char *body)
{
    struct message m = {.path = path, .body = body};
    struct err e = {0};

    cr_assert(db_tx(s->db, put_tx, &m, &e), "%s", e.msg);
}

/* "/messages/1" to "/messages/<count>", in order. */
static void put_many(struct sender *s, int count)
{
    pg_exec(s->conninfo,
            "INSERT INTO meta.outbox (path, body)"
            " SELECT '/messages/' || n, '{\"n\":' || n || '}' FROM generate_series(1, %d) AS n"
            " ORDER BY n",
            count);
}

static bool is_empty(void *arg)
{
    const struct sender *s = arg;

    return pg_i64(s->conninfo, "SELECT count(*) FROM meta.outbox WHERE parked_at IS NULL") == 0;
}

static void await_empty(struct sender *s)
{
    cr_assert(harness_await(is_empty, s, WAIT_MS), "messages are left in the outbox");
}

static int64_t metric_of(const struct sender *s, const char *name)
{
    auto_buf struct buf text = BUF_INIT(0);
    char line[100];
    long long n = -1;

    metrics_write(s->metrics, &text);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *found = strstr(buf_text(&text), line);
    cr_assert_not_null(found, "%s", name);
    cr_assert_eq(sscanf(found + strlen(line), "%lld", &n), 1);
    return n;
}

/*
 * As many as there were messages.  One whose answer comes too late, on a machine that halts for
 * seconds, is sent again; the relay knows that.
 */
static void expect_received(const struct sender *s, size_t count)
{
    const size_t again = (size_t)metric_of(s, "volumecap_outbox_retries_total");

    cr_assert(receiver.count >= count && receiver.count <= count + again, "%zu of %zu, %zu again",
              receiver.count, count, again);
}

Test(outbox, delivers_what_was_committed_byte_for_byte)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));
    struct outbox_relay *r = relay(&s);

    log_request_id_set("request-7");
    put(&s, "/messages/a", "{\"b\": 9007199254740991,  \"a\":\"\xc3\xbc\"}");
    outbox_relay_wake(r);
    await_deliveries(1);
    await_empty(&s);
    outbox_relay_stop(r);

    expect_received(&s, 1);
    cr_assert_str_eq(receiver.deliveries[0].id, "a");
    cr_assert_str_eq(receiver.deliveries[0].body, "{\"b\": 9007199254740991,  \"a\":\"\xc3\xbc\"}");
    cr_assert_str_eq(receiver.deliveries[0].request_id, "request-7");
    cr_assert_eq(metric_of(&s, "volumecap_outbox_delivered_total"), 1);
    sender_done(&s);
    receiver_stop(h);
}

/* Or the relay would ask again and again at full speed. */
Test(outbox, an_empty_outbox_has_nothing_due)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));
    struct outbox_depth depth = {0};
    struct err e = {0};

    cr_assert(outbox_measure(s.db, outbox_sql_of("meta"), &depth, &e), "%s", e.msg);
    cr_expect_eq(depth.rows, 0);
    cr_expect_eq(depth.next_due_ms, -1);
    put(&s, "/messages/one", "{}");
    cr_assert(outbox_measure(s.db, outbox_sql_of("meta"), &depth, &e), "%s", e.msg);
    cr_expect_eq(depth.rows, 1);
    cr_expect_eq(depth.next_due_ms, 0);
    sender_done(&s);
    receiver_stop(h);
}

Test(outbox, nothing_is_sent_of_a_transaction_that_rolled_back)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));
    struct message m = {.path = "/messages/never", .body = "{}", .fails = true};
    struct err e = {0};

    cr_assert_not(db_tx(s.db, put_tx, &m, &e));
    put(&s, "/messages/after", "{}");
    struct outbox_relay *r = relay(&s);
    await_empty(&s);
    outbox_relay_stop(r);

    expect_received(&s, 1);
    cr_assert_str_eq(receiver.deliveries[0].id, "after");
    sender_done(&s);
    receiver_stop(h);
}

Test(outbox, five_hundred_arrive_in_order_and_once)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));

    put_many(&s, 500);
    struct outbox_relay *r = relay(&s);
    await_empty(&s);
    outbox_relay_stop(r);

    expect_received(&s, 500);
    /* Whoever comes again comes out of order. */
    bool in_order = metric_of(&s, "volumecap_outbox_retries_total") == 0;
    for (int i = 0; in_order && i < 500; i++)
        cr_assert_eq(atoi(receiver.deliveries[i].id), i + 1);
    sender_done(&s);
    receiver_stop(h);
}

Test(outbox, a_message_replaced_while_it_waits_is_sent_once_and_new)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));

    put(&s, "/messages/a", "{\"version\":1}");
    put(&s, "/messages/a", "{\"version\":2}");
    struct outbox_relay *r = relay(&s);
    await_empty(&s);
    outbox_relay_stop(r);

    expect_received(&s, 1);
    cr_assert_str_eq(receiver.deliveries[0].body, "{\"version\":2}");
    sender_done(&s);
    receiver_stop(h);
}

Test(outbox, a_message_replaced_while_it_is_sent_is_not_lost)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));

    hold_answers(true);
    put(&s, "/messages/a", "{\"version\":1}");
    struct outbox_relay *r = relay(&s);
    await_deliveries(1);
    put(&s, "/messages/a", "{\"version\":2}");
    hold_answers(false);
    await_empty(&s);
    outbox_relay_stop(r);

    expect_received(&s, 2);
    cr_assert_str_eq(receiver.deliveries[0].body, "{\"version\":1}");
    cr_assert_str_eq(receiver.deliveries[receiver.count - 1].body, "{\"version\":2}");
    sender_done(&s);
    receiver_stop(h);
}

Test(outbox, a_message_refused_for_good_is_parked_and_holds_up_nobody)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));

    receiver.status = 422;
    put(&s, "/messages/poison", "{}");
    put(&s, "/messages/good", "{}");
    struct outbox_relay *r = relay(&s);
    await_empty(&s);
    outbox_relay_stop(r);

    expect_received(&s, 2);
    cr_assert_eq(metric_of(&s, "volumecap_outbox_parked_total"), 1);
    auto_free char *left = pg_text(s.conninfo, "SELECT path FROM meta.outbox"
                                               " WHERE parked_at IS NOT NULL"
                                               "   AND last_error LIKE 'answered 422%%'");
    cr_assert_str_eq(left, "/messages/poison");
    sender_done(&s);
    receiver_stop(h);
}

Test(outbox, a_parked_message_is_sent_again_when_it_is_replaced)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));

    receiver.status = 400;
    receiver.refusals = 1;
    put(&s, "/messages/a", "{\"version\":1}");
    struct outbox_relay *r = relay(&s);
    await_empty(&s);
    put(&s, "/messages/a", "{\"version\":2}");
    outbox_relay_wake(r);
    await_deliveries(2);
    await_empty(&s);
    outbox_relay_stop(r);

    cr_assert_eq(pg_i64(s.conninfo, "SELECT count(*) FROM meta.outbox"), 0);
    sender_done(&s);
    receiver_stop(h);
}

static void answers_then_succeeds(int status)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));

    receiver.status = status;
    receiver.refusals = 3;
    put(&s, "/messages/a", "{}");
    struct outbox_relay *r = relay(&s);
    await_empty(&s);
    outbox_relay_stop(r);

    expect_received(&s, 1);
    cr_assert_geq(receiver.count, 4);
    cr_assert_geq(metric_of(&s, "volumecap_outbox_retries_total"), 3);
    cr_assert_eq(metric_of(&s, "volumecap_outbox_parked_total"), 0);
    sender_done(&s);
    receiver_stop(h);
}

Test(outbox, a_receiver_that_is_overloaded_is_asked_again)
{
    answers_then_succeeds(503);
}

Test(outbox, a_receiver_that_says_too_many_requests_is_asked_again)
{
    answers_then_succeeds(429);
}

Test(outbox, a_receiver_that_is_down_gets_all_of_it_when_it_is_up)
{
    int64_t port = port_free();
    struct sender s = sender_to(port);

    log_level_set(LOG_ERROR);
    put_many(&s, 150);
    struct outbox_relay *r = relay(&s);
    cr_assert_eq(pg_i64(s.conninfo, "SELECT count(*) FROM meta.outbox"), 150);
    struct httpd *h = receive(port);
    await_empty(&s);
    outbox_relay_stop(r);

    expect_received(&s, 150);
    sender_done(&s);
    receiver_stop(h);
}

/* Each of them, whatever else came, and came again. */
static bool has_others(void *arg)
{
    const size_t wanted = *(const size_t *)arg;
    bool came[10] = {false};
    size_t others = 0;

    pthread_mutex_lock(&receiver.mutex);
    for (size_t i = 0; i < receiver.count; i++)
        if (strcmp(receiver.deliveries[i].id, "stuck") != 0)
            came[atoi(receiver.deliveries[i].id)] = true;
    pthread_mutex_unlock(&receiver.mutex);
    for (size_t i = 0; i < sizeof(came); i++)
        others += came[i];
    return others == wanted;
}

Test(outbox, a_message_that_is_never_answered_does_not_stop_the_others)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));
    size_t others = 5;

    put(&s, "/stuck/stuck", "{}");
    for (int i = 0; i < 5; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/messages/%d", i);
        put(&s, path, "{}");
    }
    struct outbox_relay *r = relay(&s);
    cr_assert(harness_await(has_others, &others, WAIT_MS), "%zu came", receiver.count);
    outbox_relay_stop(r);

    cr_assert_eq(pg_i64(s.conninfo, "SELECT count(*) FROM meta.outbox WHERE path = '/stuck/stuck'"),
                 1);
    sender_done(&s);
    receiver_stop(h);
}

#define TRIES 5

/* A machine that halts for seconds, so that the wait is over, does not do so each time. */
Test(outbox, stopping_does_not_wait_for_an_answer)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));

    int64_t took_ms = SEND_TIMEOUT_MS;

    for (int i = 0; i < TRIES && took_ms >= SEND_TIMEOUT_MS; i++) {
        size_t count = receiver.count;

        pg_exec(s.conninfo, "DELETE FROM meta.outbox");
        put(&s, "/stuck/1", "{}");
        int64_t began_ms = clk_now_ms();
        struct outbox_relay *r = relay(&s);
        await_deliveries(count + 1);
        outbox_relay_stop(r);
        took_ms = clk_now_ms() - began_ms;
    }

    cr_assert_lt(took_ms, SEND_TIMEOUT_MS, "nothing else ends the wait");
    cr_assert_eq(pg_i64(s.conninfo, "SELECT attempts FROM meta.outbox WHERE due_at <= now()"), 0,
                 "given back at once, and as it was");
    sender_done(&s);
    receiver_stop(h);
}

#define ROUNDS_MAX 50
#define ROUND 20

/* An idle relay looks once a second: as long as there comes more, both find some. */
Test(outbox, two_relays_share_the_work_and_send_nothing_twice)
{
    static const char delivered[] = "volumecap_outbox_delivered_total";
    static const char retried[] = "volumecap_outbox_retries_total";
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));
    struct sender t = sender_on(s.conninfo, httpd_port(h));
    struct outbox_relay *a = relay(&s);
    struct outbox_relay *b = relay(&t);
    int rounds = 0;

    while (rounds < ROUNDS_MAX &&
           (metric_of(&s, delivered) == 0 || metric_of(&t, delivered) == 0)) {
        put_many(&s, ROUND);
        await_empty(&s);
        rounds++;
    }
    outbox_relay_stop(a);
    outbox_relay_stop(b);

    const size_t put = (size_t)rounds * ROUND;
    const size_t again = (size_t)(metric_of(&s, retried) + metric_of(&t, retried));
    cr_assert(receiver.count >= put && receiver.count <= put + again, "%zu of %zu, %zu again",
              receiver.count, put, again);
    cr_assert_gt(metric_of(&s, delivered), 0);
    cr_assert_gt(metric_of(&t, delivered), 0);
    sender_done(&t);
    sender_done(&s);
    receiver_stop(h);
}

static bool lease(struct sender *s, int64_t epoch, struct outbox_batch *ret, struct err *e)
{
    const struct outbox_term term = {.role = "a-role", .epoch = epoch};

    return outbox_lease(s->db, outbox_sql_of("meta"), &term, ret, e);
}

Test(outbox, a_relay_whose_epoch_is_over_takes_nothing)
{
    struct sender s = sender_to(1);
    struct outbox_batch batch = {0};
    struct err e = {0};

    put_many(&s, 3);
    pg_exec(s.conninfo,
            "INSERT INTO coordinator.leadership (role, lock_key, epoch, holder, holder_name, since,"
            "    acts_at) VALUES ('a-role', 1, 2, gen_random_uuid(), 'a', now(), now())");
    cr_expect_not(lease(&s, 1, &batch, &e));
    cr_expect(e.kind == ERR_PRECONDITION, "%s", e.msg);
    cr_expect(pg_i64(s.conninfo, "SELECT count(*) FROM meta.outbox WHERE due_at > now()") == 0);
    cr_assert(lease(&s, 2, &batch, &e), "%s", e.msg);
    cr_expect(batch.count == 3);
    outbox_batch_done(&batch);
    sender_done(&s);
}

Test(outbox, what_a_dead_relay_had_taken_is_due_again_when_its_lease_ends)
{
    struct sender s = sender_to(1);
    struct outbox_batch batch = {0}, again = {0};
    struct err e = {0};

    put_many(&s, 3);
    cr_assert(lease(&s, LEADER_ALONE, &batch, &e), "%s", e.msg);
    cr_assert(lease(&s, LEADER_ALONE, &again, &e), "%s", e.msg);
    cr_assert_eq(batch.count, 3);
    cr_assert_eq(again.count, 0);
    cr_assert_eq(pg_i64(s.conninfo,
                        "SELECT count(*) FROM meta.outbox WHERE due_at > now()"
                        "   AND due_at <= clock_timestamp() + %d * interval '1 ms'",
                        OUTBOX_LEASE_MS),
                 3);
    pg_exec(s.conninfo, "UPDATE meta.outbox SET due_at = due_at - %d * interval '1 ms'",
            OUTBOX_LEASE_MS);
    outbox_batch_done(&again);
    cr_assert(lease(&s, LEADER_ALONE, &again, &e), "%s", e.msg);
    cr_assert_eq(again.count, 3);
    outbox_batch_done(&batch);
    outbox_batch_done(&again);
    sender_done(&s);
}

/* More than a batch, which would not be due for an hour. */
Test(outbox, who_alone_may_send_takes_at_once_what_a_dead_relay_had_taken)
{
    struct httpd *h = receive(0);
    struct sender s = sender_to(httpd_port(h));
    const struct leader_config config = {.role = "a-role",
                                         .settings = {.coordinator_url = "", .alone = true},
                                         .prefix = "TEST_",
                                         .metrics = s.metrics};
    auto_leader struct leader *alone = NULL;
    struct err e = {0};

    put_many(&s, 3 * OUTBOX_BATCH_MAX);
    pg_exec(s.conninfo, "UPDATE meta.outbox SET due_at = now() + interval '1 hour'");
    cr_assert(leader_start(&config, &alone, &e), "%s", e.msg);
    struct outbox_relay *r = relay_of(&s, alone);
    await_empty(&s);

    outbox_relay_stop(r);
    expect_received(&s, 3 * OUTBOX_BATCH_MAX);
    sender_done(&s);
    receiver_stop(h);
}

Test(outbox, survives_a_database_that_is_killed)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = true});
    struct httpd *h = receive(0);

    pg_migrate(pg_conninfo(pg));
    log_level_set(LOG_ERROR);
    struct sender s = sender_on(pg_conninfo(pg), httpd_port(h));
    put_many(&s, 300);
    struct outbox_relay *r = relay(&s);
    await_deliveries(50);
    pg_kill(pg);
    pg_restart(pg);
    await_empty(&s);
    outbox_relay_stop(r);

    bool arrived[301] = {false};
    int distinct = 0;
    for (size_t i = 0; i < receiver.count; i++) {
        int id = atoi(receiver.deliveries[i].id);
        distinct += !arrived[id];
        arrived[id] = true;
    }
    cr_assert_eq(distinct, 300);
    sender_done(&s);
    receiver_stop(h);
}
