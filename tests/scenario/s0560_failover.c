/*
 * s056x: the database's primary is killed under load, and its synchronous
 * standby takes over: PostgreSQL under Patroni, as operators run it.  Servers
 * go on with what they hold; nothing that was answered is lost.
 *
 * A cluster that fails over is dear to start: one test, which kills the
 * primary twice, and the claims are functions.
 */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "tests/harness/local.h"
#include "tests/harness/patroni.h"
#include "tests/harness/promise.h"
#include "tests/scenario/scene.h"

#define SERVERS 2
#define WRITERS 4
#define WRITES_MAX 4000 /* of each writer */
#define STORED 1000
#define FAILOVER_MS 6000 /* noticed after 5 s, then promoted */
#define RETRY_MS 20
#define TOTAL 1000000

/* ---- topups, asked for all the time, by a server of this test's own */

struct asker {
    pthread_t thread;
    struct client *local;
    atomic_bool stop;
    atomic_int_fast64_t granted, refused, odd;
    atomic_int_fast64_t again_at_ms; /* the first grant after the latest refusal; 0: none yet */
};

static void note_heard(struct asker *a, struct said *said, const struct heard *h)
{
    if (h->status == 200 && h->granted > said->granted_known) {
        said->granted_known = h->granted;
        atomic_fetch_add(&a->granted, 1);
        if (atomic_load(&a->again_at_ms) == 0)
            atomic_store(&a->again_at_ms, clk_now_ms());
    } else if (h->status == 0 || (h->status == 503 && h->retry_after_s >= 1)) {
        atomic_fetch_add(&a->refused, 1);
        atomic_store(&a->again_at_ms, 0);
    } else {
        atomic_fetch_add(&a->odd, 1);
    }
}

static void *ask(void *arg)
{
    static const struct speaker speaker = {.number = 561, .incarnation = 1, .process = 1};
    struct asker *a = arg;
    struct said said = {.want = 1, .starts_at = TODAY};

    while (!atomic_load(&a->stop)) {
        const struct heard h = local_topup(a->local, &speaker, "s0561-asked", &said);
        note_heard(a, &said, &h);
        poll(NULL, 0, RETRY_MS);
    }
    return NULL;
}

static void asker_start(struct asker *a, const struct scene *s)
{
    *a = (struct asker){.local = dc_client(s->dc, DC_LOCAL, 0)};
    cr_assert_eq(pthread_create(&a->thread, NULL, ask, a), 0);
}

static void asker_stop(struct asker *a)
{
    atomic_store(&a->stop, true);
    cr_assert_eq(pthread_join(a->thread, NULL), 0);
    client_free(a->local);
}

/* ---- a failover */

/* A coordinator's session dies with the primary, and so does its lock, but not the epoch. */
static int64_t epoch_of_primary(struct client *coordinator)
{
    static const struct call call = {.method = "GET", .path = "/leadership"};
    struct answer answer = {0};
    struct err e;

    if (!client_call(coordinator, &call, &answer, &e) || answer.status != 200)
        return 0;
    const char *state =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer.json, "state"));
    if (!state || strcmp(state, "primary") != 0)
        return 0;
    return cJSON_GetObjectItemCaseSensitive(answer.json, "epoch")->valueint;
}

/* "Cannot be reached right now, try again in so many seconds." */
static bool is_put_off(struct client *c, const char *path)
{
    const struct call call = {.method = "GET", .path = path};
    struct answer answer = {0};
    struct err e;

    return client_call(c, &call, &answer, &e) && answer.status == 503 &&
           answer.reply->retry_after_s >= 1;
}

/* Until another takes writes; when that was. */
static int64_t fail_over(struct patroni *p, const struct scene *s, const char *scenario)
{
    int64_t killed_at_ms = clk_now_ms();
    char what[64];

    patroni_kill_primary(p);
    cr_expect(is_put_off(s->meta, "/caps") || patroni_has_primary(p));
    cr_expect(is_put_off(s->local, "/pools") || patroni_has_primary(p));
    patroni_await_primary(p);
    int64_t now_ms = clk_now_ms();
    (void)snprintf(what, sizeof(what), "%s: kill to writable again", scenario);
    cr_expect(promise_kept(what, now_ms - killed_at_ms, FAILOVER_MS));
    return now_ms;
}

/* ---- servers go on */

static struct hammer *hammer_at(const struct scene *s, int server)
{
    return hammer_start_paced(dc_port(s->dc, DC_SERVER, server), "s0561", /* pause_ms= */ 5);
}

#define HALF_AUTONOMY_MS 60000 /* ten times what a failover should take */

/* For that long, at the speed that this machine has had so far: 200 a second at the most. */
static bool has_half_autonomy(const struct scene *s, int server, const struct hammer *h,
                              int64_t since_ms)
{
    int64_t granted = hammer_granted(h);

    return since_ms > 1000 && granted > 0 &&
           at_server(s, server, "s0561", TODAY, "rest") * since_ms > granted * HALF_AUTONOMY_MS;
}

/*
 * Slices follow the demand: the first one lasts for a moment.  They are asked
 * for again when they are down to half of the autonomy, so that half of it is
 * what surely covers a failover.
 */
static void open_and_know_the_demand(const struct scene *s, struct hammer *hammers[SERVERS],
                                     int64_t *ret_granted)
{
    static const char slices[] = "\"topup_fraction\":0.0001,\"autonomy_ms\":120000";

    cap_open(s, (struct cap){"s0561", .total = TOTAL, .more = slices}, TODAY);
    cap_open(s, (struct cap){"s0561-asked", .total = TOTAL, .more = slices}, TODAY);
    int64_t began_ms = clk_now_ms();
    for (int i = 0; i < SERVERS; i++)
        hammers[i] = hammer_at(s, i);
    for (int i = 0; i < SERVERS; i++)
        eventually(has_half_autonomy(s, i, hammers[i], clk_now_ms() - began_ms));
    /* Whom the first slice did not last is not counted. */
    for (int i = 0; i < SERVERS; i++) {
        struct hammered done = hammer_stop(hammers[i]);
        cr_expect_eq(done.unanswered, 0);
        *ret_granted += done.granted;
        hammers[i] = hammer_at(s, i);
    }
}

/* Both servers give back what they hold: then what was spent is what was answered. */
static void expect_exact_accounts(const struct scene *s, int64_t granted)
{
    for (int i = 0; i < SERVERS; i++)
        cr_expect_eq(dc_terminate(s->dc, DC_SERVER, i), 0);
    eventually(is_at_rest(s, "s0561", TODAY));
    cr_expect_eq(at_pool(s, "s0561", TODAY, "spent"), granted);
    cr_expect_lt(granted, TOTAL);
    cr_expect(audit_is_clean(s));
}

static void s0561_no_one_is_refused_who_has_a_slice(struct patroni *p, const struct scene *s)
{
    struct hammer *hammers[SERVERS];
    struct asker asker;
    int64_t granted = 0;

    open_and_know_the_demand(s, hammers, &granted);
    asker_start(&asker, s);
    eventually(atomic_load(&asker.granted) > 0);
    int64_t back_at_ms = fail_over(p, s, "s0561");
    cr_expect(atomic_load(&asker.refused) > 0, "there was no failover");
    eventually(atomic_load(&asker.again_at_ms) > 0);
    int64_t took_ms = atomic_load(&asker.again_at_ms) - back_at_ms;
    cr_expect(promise_kept("s0561: writable to the first topup", took_ms, 1000));
    asker_stop(&asker);
    cr_expect_eq(atomic_load(&asker.odd), 0, "200, or 503 with Retry-After");

    for (int i = 0; i < SERVERS; i++) {
        struct hammered done = hammer_stop(hammers[i]);
        cr_expect_eq(done.refused, 0, "the slice did not last");
        cr_expect_eq(done.unanswered, 0);
        granted += done.granted;
    }
    expect_exact_accounts(s, granted);
}

/* ---- definitions are there */

struct writer {
    pthread_t thread;
    struct client *meta;
    int number;
    atomic_bool stop;
    atomic_int stored;      /* answered 2xx, one after the other */
    atomic_int repeated;    /* after 503, or no answer */
    atomic_int odd;         /* whatever else was answered */
    atomic_int not_put_off; /* 503 without Retry-After */
};

static void name_of(char ret[NAME_SIZE], int writer, int i)
{
    (void)snprintf(ret, NAME_SIZE, "s0562-%d-%d", writer, i);
}

static int64_t total_of(int writer, int i)
{
    return 1 + writer + WRITERS * i;
}

/* One PUT; its status, 0 if no answer came. */
static int put(struct writer *w, int i)
{
    char id[NAME_SIZE], path[NAME_SIZE + 8], body[200];
    const struct call call = {.method = "PUT", .path = path, .body = body};
    struct answer answer = {0};
    struct err e;

    name_of(id, w->number, i);
    (void)snprintf(path, sizeof(path), "/caps/%s", id);
    (void)snprintf(body, sizeof(body),
                   "{\"starts_at\":\"2015-01-01T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","
                   "\"interval\":\"day\",\"total\":%" PRId64 "}",
                   total_of(w->number, i));
    if (!client_call(w->meta, &call, &answer, &e))
        return 0;
    if (answer.status == 503 && answer.reply->retry_after_s < 1)
        atomic_fetch_add(&w->not_put_off, 1);
    return answer.status;
}

/* The same again is no change: 201 the first time, 200 if it had been stored after all. */
static void *write_definitions(void *arg)
{
    struct writer *w = arg;

    for (int i = 0; i < WRITES_MAX && !atomic_load(&w->stop);) {
        int status = put(w, i);
        if (status == 201 || status == 200) {
            atomic_store(&w->stored, ++i);
            continue;
        }
        atomic_fetch_add(status == 0 || status == 503 ? &w->repeated : &w->odd, 1);
        poll(NULL, 0, RETRY_MS);
    }
    return NULL;
}

static int stored_by(struct writer writers[WRITERS])
{
    int sum = 0;

    for (int k = 0; k < WRITERS; k++)
        sum += atomic_load(&writers[k].stored);
    return sum;
}

static void stop_writers(struct writer writers[WRITERS])
{
    int repeated = 0;

    for (int k = 0; k < WRITERS; k++) {
        atomic_store(&writers[k].stop, true);
        cr_assert_eq(pthread_join(writers[k].thread, NULL), 0);
        client_free(writers[k].meta);
        repeated += atomic_load(&writers[k].repeated);
        cr_expect_eq(atomic_load(&writers[k].odd), 0);
        cr_expect_eq(atomic_load(&writers[k].not_put_off), 0);
    }
    cr_expect_gt(repeated, 0, "nobody met the failover");
    (void)fprintf(stderr, "s0562: %d definitions stored, %d asked for again\n", stored_by(writers),
                  repeated);
}

/* A window of today, as its definition has it. */
struct tally {
    int64_t right, wrong;
};

static void tally(void *arg, const struct pool_row *row)
{
    struct tally *t = arg;
    int writer = 0, i = 0;
    int64_t today_ms = 0;
    struct err e;

    if (sscanf(row->cap, "s0562-%d-%d", &writer, &i) != 2 || !time_parse(TODAY, &today_ms, &e) ||
        row->starts_at_ms != today_ms)
        return;
    if (row->requested == total_of(writer, i))
        t->right++;
    else
        t->wrong++;
}

static int64_t windows_there(const struct scene *s)
{
    struct tally t = {0};
    struct err e;

    if (!client_pools(s->local, tally, &t, &e))
        return -1;
    cr_expect_eq(t.wrong, 0);
    return t.right;
}

/*
 * However long it takes, as long as it becomes more.  There may be one more of each writer: what it
 * asked for last, and had no answer to.
 */
static void await_windows(const struct scene *s, int64_t count)
{
    int64_t now = 0;

    while (now < count) {
        int64_t before = now;
        eventually((now = windows_there(s)) > before);
    }
    cr_expect_leq(now, count + WRITERS);
}

static void expect_definitions(const struct scene *s, int writer, int count)
{
    char id[NAME_SIZE], path[NAME_SIZE + 8];

    for (int i = 0; i < count; i++) {
        name_of(id, writer, i);
        (void)snprintf(path, sizeof(path), "/caps/%s", id);
        cr_expect_eq(status_of(s->meta, "GET", path, NULL), 200, "%s is lost", id);
    }
}

/* A thousand just before, and all that came meanwhile and after. */
static void s0562_every_definition_that_was_answered_is_there(struct patroni *p,
                                                              const struct scene *s)
{
    static struct writer writers[WRITERS];

    for (int k = 0; k < WRITERS; k++) {
        writers[k] = (struct writer){.number = k, .meta = dc_client(s->dc, DC_META, 0)};
        cr_assert_eq(pthread_create(&writers[k].thread, NULL, write_definitions, &writers[k]), 0);
    }
    eventually(stored_by(writers) >= STORED);
    (void)fail_over(p, s, "s0562");
    int before = stored_by(writers);
    eventually(stored_by(writers) >= before + 4 * WRITERS);
    stop_writers(writers);

    for (int k = 0; k < WRITERS; k++)
        expect_definitions(s, k, atomic_load(&writers[k].stored));
    await_windows(s, stored_by(writers));
    cr_expect(audit_is_clean(s));
}

/* ---- somebody acts */

/* Of the coordinators beside interval-svc; 0: none of them is primary. */
static int64_t epoch_in_force(const struct scene *s)
{
    int64_t epoch = 0;

    for (int i = 0; i < dc_count(s->dc, DC_COORDINATOR); i++) {
        auto_client struct client *coordinator = dc_client(s->dc, DC_COORDINATOR, i);
        epoch = max_i64(epoch, epoch_of_primary(coordinator));
    }
    return epoch;
}

/* In a later epoch than before: what is defined from now on is in force soon. */
static void expect_that_windows_open(const struct scene *s, const char *cap, int64_t epoch)
{
    eventually(epoch_in_force(s) > epoch);
    cap_put(s, (struct cap){cap, .total = TOTAL});
    eventually(pool_is(s, cap, TODAY, "open"));
}

Test(scenario, s0560_a_failover_to_the_synchronous_standby_loses_nothing)
{
    auto_patroni struct patroni *p = patroni_start();
    auto_scene struct scene *s = scene_start(
        &(struct dc_options){.servers = SERVERS, .standby = true, .conninfo = patroni_conninfo(p)});

    int64_t epoch = 0;

    eventually((epoch = epoch_in_force(s)) > 0);
    s0561_no_one_is_refused_who_has_a_slice(p, s);
    expect_that_windows_open(s, "s0561-after", epoch);
    patroni_revive(p);
    eventually((epoch = epoch_in_force(s)) > 0);
    s0562_every_definition_that_was_answered_is_there(p, s);
    expect_that_windows_open(s, "s0562-after", epoch);
}
