/* meta-svc, the real program on a real database: definitions, versions, conditions. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/io/httpd.h"
#include "common/io/js.h"
#include "services/meta-svc/condition.h"
#include "tests/harness/pg.h"
#include "tests/harness/stand_in.h"
#include "tests/harness/svc.h"

PG_SUITE();

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define WAIT_MS 40000

#define CAP(more)                                                                                  \
    "{\"starts_at\":\"2026-11-01T00:00:00Z\",\"ends_at\":\"2027-01-01T00:00:00Z\","                \
    "\"interval\":\"day\",\"total\":1000" more "}"

/* Nobody listens on port 9 of this host. */
static struct svc *start(const char *conninfo, const char *interval_url)
{
    char upstream[128];
    const char *const env[] = {upstream, NULL};

    (void)snprintf(upstream, sizeof(upstream), "META_INTERVAL_URL=%s",
                   interval_url != NULL ? interval_url : "http://127.0.0.1:9");
    return svc_start(&(struct svc_options){
        .name = "meta-svc", .prefix = "META", .conninfo = conninfo, .env = env});
}

/* One call; its status must be as expected.  `header` NULL: none. */
static struct answer expect(struct client *c, int status, const char *method, const char *path,
                            const char *body, const char *header)
{
    const char *const headers[] = {header, NULL};
    const struct call call = {
        .method = method, .path = path, .body = body, .headers = header != NULL ? headers : NULL};
    struct answer answer = {0};
    struct err e;

    cr_assert(client_call(c, &call, &answer, &e), "%s %s: %s", method, path, e.msg);
    cr_assert(answer.status == status, "%s %s: %d, not %d: %s", method, path, answer.status, status,
              buf_text(&answer.reply->body));
    return answer;
}

static const cJSON *member(const cJSON *json, const char *name)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(json, name);

    cr_assert(found != NULL, "no member %s", name);
    return found;
}

static void expect_version(const struct answer *a, int version)
{
    char etag[16];

    (void)snprintf(etag, sizeof(etag), "\"%d\"", version);
    cr_expect(strcmp(a->reply->etag, etag) == 0, "ETag %s, not %s", a->reply->etag, etag);
    if (a->json != NULL)
        cr_expect(member(a->json, "version")->valueint == version);
}

static const char *pointer_of(const struct answer *a)
{
    return member(cJSON_GetArrayItem(member(a->json, "errors"), 0), "pointer")->valuestring;
}

Test(meta_svc, a_cap_is_created_read_changed_and_deleted)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct client *c = svc_client(s);

    struct answer a = expect(c, 201, "PUT", "/caps/a", CAP(), NULL);
    expect_version(&a, 1);
    cr_expect(strcmp(member(a.json, "time_zone")->valuestring, "UTC") == 0);
    cr_expect(member(a.json, "topup_fraction")->valuedouble == 0.1);
    cr_expect(member(a.json, "slice_max_fraction")->valuedouble == 0.05);
    cr_expect(member(a.json, "autonomy_ms")->valueint == 10000);
    cr_expect(cJSON_IsNull(member(a.json, "initial_total")));
    cr_expect(cJSON_IsFalse(member(a.json, "paused")));

    a = expect(c, 200, "PUT", "/caps/a", CAP(",\"paused\":true"), "If-Match: \"1\"");
    expect_version(&a, 2);
    a = expect(c, 200, "GET", "/caps/a", NULL, NULL);
    expect_version(&a, 2);
    cr_expect(cJSON_IsTrue(member(a.json, "paused")));
    expect(c, 204, "DELETE", "/caps/a", NULL, "If-Match: \"2\"");
    expect(c, 404, "GET", "/caps/a", NULL, NULL);
    expect(c, 404, "DELETE", "/caps/a", NULL, NULL);
}

Test(meta_svc, the_same_definition_again_is_no_new_version_and_no_message)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct client *c = svc_client(s);

    expect(c, 201, "PUT", "/caps/a", CAP(), NULL);
    pg_exec(pg_conninfo_of(d), "DELETE FROM meta.outbox");

    /* The defaults, spelt out, are the same definition. */
    struct answer a = expect(c, 200, "PUT", "/caps/a",
                             CAP(",\"time_zone\":\"UTC\",\"topup_fraction\":0.1,\"paused\":false,"
                                 "\"initial_total\":null"),
                             NULL);
    expect_version(&a, 1);
    a = expect(c, 200, "PUT", "/caps/a", CAP(), "If-Match: \"1\"");
    expect_version(&a, 1);
    cr_expect(pg_i64(pg_conninfo_of(d), "SELECT count(*) FROM meta.outbox") == 0);
}

Test(meta_svc, each_change_leaves_the_newest_definition_in_the_outbox)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    const char *body = "SELECT body FROM meta.outbox WHERE path = '/definitions/a'";

    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(",\"initial_total\":500"), NULL);
    auto_free char *created = pg_text(pg_conninfo_of(d), "%s", body);
    expect(svc_client(s), 204, "DELETE", "/caps/a", NULL, NULL);
    auto_free char *deleted = pg_text(pg_conninfo_of(d), "%s", body);

    const char *expected = "{\"version\":1,\"deleted\":false,"
                           "\"starts_at\":\"2026-11-01T00:00:00Z\","
                           "\"ends_at\":\"2027-01-01T00:00:00Z\",\"interval\":\"day\","
                           "\"total\":1000,\"initial_total\":500,\"time_zone\":\"UTC\","
                           "\"topup_fraction\":0.1,\"slice_max_fraction\":0.05,"
                           "\"autonomy_ms\":10000,\"paused\":false,\"home\":\"local\",";
    cr_expect(strncmp(created, expected, strlen(expected)) == 0, "%s", created);
    cr_expect(strstr(created, ",\"grid_since\":null,\"home_version\":1}") != NULL, "%s", created);
    cr_expect(strncmp(deleted, "{\"version\":2,\"deleted\":true,", 28) == 0, "%s", deleted);
}

static const struct condition_row {
    const char *name, *method, *body, *header;
    int status;
} condition_rows[] = {
    {"a change without If-Match", "PUT", CAP(",\"paused\":true"), NULL, 428},
    {"an old version", "PUT", CAP(",\"paused\":true"), "If-Match: \"1\"", 412},
    {"a weak tag", "PUT", CAP(",\"paused\":true"), "If-Match: W/\"2\"", 412},
    {"the same definition, but an old version", "PUT", CAP(), "If-Match: \"1\"", 412},
    {"creating only", "PUT", CAP(), "If-None-Match: *", 412},
    {"a form that is none", "PUT", CAP(), "If-Match: 2", 400},
    {"another form that is none", "PUT", CAP(), "If-None-Match: \"2", 400},
    {"one of several versions", "PUT", CAP(), "If-Match: \"1\", \"2\"", 200},
    {"any version", "PUT", CAP(), "If-Match: *", 200},
    {"deleting an old version", "DELETE", NULL, "If-Match: \"1\"", 412},
    {"reading what is known", "GET", NULL, "If-None-Match: \"2\"", 304},
    {"reading what is known weakly", "GET", NULL, "If-None-Match: \"1\", W/\"2\"", 304},
    {"reading anything at all", "GET", NULL, "If-None-Match: *", 304},
    {"reading something newer", "GET", NULL, "If-None-Match: \"1\"", 200},
};

/* The cap is at version 2. */
Test(meta_svc, conditions_decide)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct client *c = svc_client(s);

    expect(c, 412, "PUT", "/caps/a", CAP(), "If-Match: *");
    expect(c, 201, "PUT", "/caps/a", CAP(",\"paused\":true"), "If-None-Match: *");
    expect(c, 200, "PUT", "/caps/a", CAP(), "If-Match: \"1\"");
    for (size_t i = 0; i < COUNT(condition_rows); i++) {
        const struct condition_row *r = &condition_rows[i];
        expect(c, r->status, r->method, "/caps/a", r->body, r->header);
    }
    struct answer a = expect(c, 304, "GET", "/caps/a", NULL, "If-None-Match: \"2\"");
    cr_expect(a.reply->body.len == 0);
    expect_version(&a, 2);
}

static const struct advice_row {
    const char *name, *method, *path, *header;
    int status;
    const char *advice;
} advice_rows[] = {
    {"changing what is not there", "PUT", "/caps/b", "If-Match: *", 412,
     "there is no cap b: create it without If-Match"},
    {"creating what is there", "PUT", "/caps/a", "If-None-Match: *", 412,
     "there is a cap a, with the ETag \"2\": change it with If-Match"},
    {"changing an old version", "PUT", "/caps/a", "If-Match: \"1\"", 412,
     "the ETag of cap a is \"2\", which If-Match does not name: read it again"},
    {"changing without saying what", "PUT", "/caps/a", NULL, 428,
     "changing a cap needs If-Match, with its ETag or *"},
    {"a version without quotes", "PUT", "/caps/a", "If-Match: 2", 400,
     "If-Match must be * or a list of ETags, in quotes: \"3\""},
    {"deleting an old version", "DELETE", "/caps/a", "If-Match: \"1\"", 412,
     "the ETag of cap a is \"2\", which If-Match does not name: read it again"},
    {"deleting what is not there", "DELETE", "/caps/b", "If-Match: *", 404, "there is no cap b"},
};

Test(meta_svc, who_is_refused_hears_what_to_do)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct client *c = svc_client(s);

    expect(c, 201, "PUT", "/caps/a", CAP(), NULL);
    expect(c, 200, "PUT", "/caps/a", CAP(",\"initial_total\":1"), "If-Match: *");
    for (size_t i = 0; i < COUNT(advice_rows); i++) {
        const struct advice_row *r = &advice_rows[i];
        const char *body = strcmp(r->method, "PUT") == 0 ? CAP(",\"paused\":true") : NULL;
        struct answer a = expect(c, r->status, r->method, r->path, body, r->header);
        const char *detail = cJSON_GetStringValue(member(a.json, "detail"));
        cr_expect(detail != NULL && strcmp(detail, r->advice) == 0, "%s: %s", r->name, detail);
    }
    /* Whoever deletes need not have read it. */
    expect(c, 204, "DELETE", "/caps/a", NULL, NULL);
}

Test(meta_svc, versions_go_on_growing_over_a_deletion)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct client *c = svc_client(s);

    expect(c, 201, "PUT", "/caps/a", CAP(), NULL);
    expect(c, 204, "DELETE", "/caps/a", NULL, NULL);
    expect(c, 412, "PUT", "/caps/a", CAP(), "If-Match: *");
    struct answer a = expect(c, 201, "PUT", "/caps/a", CAP(), "If-None-Match: *");
    expect_version(&a, 3);
}

#define BODY(starts, ends, interval, rest)                                                         \
    "{\"starts_at\":" starts ",\"ends_at\":" ends ",\"interval\":" interval "," rest "}"
#define BERLIN "\"2026-11-01T00:00:00Z\""
#define LATER "\"2027-11-01T00:00:00Z\""

static const struct invalid_row {
    const char *name, *body, *pointer;
} invalid_rows[] = {
    {"no total", BODY(BERLIN, LATER, "\"day\"", "\"paused\":false"), "/total"},
    {"no start", "{\"ends_at\":" LATER ",\"interval\":\"day\",\"total\":1}", "/starts_at"},
    {"no end", "{\"starts_at\":" BERLIN ",\"interval\":\"day\",\"total\":1}", "/ends_at"},
    {"no interval", "{\"starts_at\":" BERLIN ",\"ends_at\":" LATER ",\"total\":1}", "/interval"},
    {"a negative total", BODY(BERLIN, LATER, "\"day\"", "\"total\":-1"), "/total"},
    {"a fraction of a unit", BODY(BERLIN, LATER, "\"day\"", "\"total\":1.5"), "/total"},
    {"2^53", BODY(BERLIN, LATER, "\"day\"", "\"total\":9007199254740992"), "/total"},
    {"a total as text", BODY(BERLIN, LATER, "\"day\"", "\"total\":\"1\""), "/total"},
    {"a total that is null", BODY(BERLIN, LATER, "\"day\"", "\"total\":null"), "/total"},
    {"a negative initial total", CAP(",\"initial_total\":-1"), "/initial_total"},
    {"an end at the start", BODY(BERLIN, BERLIN, "\"day\"", "\"total\":1"), "/ends_at"},
    {"an end before the start", BODY(LATER, BERLIN, "\"day\"", "\"total\":1"), "/ends_at"},
    {"a start before 1970", BODY("\"1969-12-31T23:59:59Z\"", LATER, "\"day\"", "\"total\":1"),
     "/starts_at"},
    {"a day without a time", BODY("\"2026-11-01\"", LATER, "\"day\"", "\"total\":1"), "/starts_at"},
    {"a time as a number", BODY("1", LATER, "\"day\"", "\"total\":1"), "/starts_at"},
    {"an unknown kind", BODY(BERLIN, LATER, "\"year\"", "\"total\":1"), "/interval"},
    {"a kind in capitals", BODY(BERLIN, LATER, "\"Day\"", "\"total\":1"), "/interval"},
    {"a first slice of nothing", CAP(",\"topup_fraction\":0"), "/topup_fraction"},
    {"a first slice of more than all", CAP(",\"topup_fraction\":1.1"), "/topup_fraction"},
    {"a fraction that is too fine", CAP(",\"slice_max_fraction\":0.1234567"),
     "/slice_max_fraction"},
    {"more than an hour of autonomy", CAP(",\"autonomy_ms\":3600001"), "/autonomy_ms"},
    {"a pause that is a number", CAP(",\"paused\":1"), "/paused"},
    {"an unknown member", CAP(",\"totl\":1"), "/totl"},
    {"an id in the body", CAP(",\"id\":\"a\""), "/id"},
    {"a zone that is none", CAP(",\"time_zone\":\"Mars/Olympus\""), "/time_zone"},
    {"a zone in small letters", CAP(",\"time_zone\":\"europe/berlin\""), "/time_zone"},
    {"a zone with leap seconds", CAP(",\"time_zone\":\"right/Europe/Berlin\""), "/time_zone"},
    {"a zone of this host", CAP(",\"time_zone\":\"localtime\""), "/time_zone"},
    {"an offset as a zone", CAP(",\"time_zone\":\"+02:00\""), "/time_zone"},
    {"a zone without a name", CAP(",\"time_zone\":\"\""), "/time_zone"},
};

Test(meta_svc, what_is_not_valid_is_refused_with_a_pointer)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);

    for (size_t i = 0; i < COUNT(invalid_rows); i++) {
        const struct invalid_row *r = &invalid_rows[i];
        struct answer a = expect(svc_client(s), 400, "PUT", "/caps/a", r->body, NULL);
        cr_expect(strcmp(pointer_of(&a), r->pointer) == 0, "%s: %s", r->name, pointer_of(&a));
    }
    cr_expect(pg_i64(pg_conninfo_of(d), "SELECT count(*) FROM meta.cap") == 0);
}

static const struct refused_row {
    const char *method, *path, *body, *header;
    int status;
} refused_rows[] = {
    {"PUT", "/caps/a", "{", NULL, 400},
    {"PUT", "/caps/a", "[]", NULL, 400},
    {"PUT", "/caps/a", "{\"total\":1,\"total\":2}", NULL, 400},
    {"PUT", "/caps/a%20b", CAP(), NULL, 400},
    {"PUT", "/caps/a?x=1", CAP(), NULL, 400},
    {"PUT", "/caps/a", CAP(), "Content-Type: text/plain", 415},
    {"GET", "/caps/a%20b", NULL, NULL, 400},
    {"GET", "/caps/a?x=1", NULL, NULL, 400},
    {"DELETE", "/caps/a%20b", NULL, NULL, 400},
    {"GET", "/caps?limit=0", NULL, NULL, 400},
    {"GET", "/caps?limit=1001", NULL, NULL, 400},
    {"GET", "/caps?limit=ten", NULL, NULL, 400},
    {"GET", "/caps?after=%20", NULL, NULL, 400},
    {"GET", "/caps?befor=a", NULL, NULL, 400},
    {"POST", "/caps/a", CAP(), NULL, 405},
    {"DELETE", "/caps", NULL, NULL, 405},
    {"DELETE", "/livez", NULL, NULL, 405},
    {"DELETE", "/readyz", NULL, NULL, 405},
    {"DELETE", "/metrics", NULL, NULL, 405},
    {"DELETE", "/openapi.json", NULL, NULL, 405},
    {"GET", "/cap", NULL, NULL, 404},
};

Test(meta_svc, requests_that_are_none_are_refused)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);

    for (size_t i = 0; i < COUNT(refused_rows); i++) {
        const struct refused_row *r = &refused_rows[i];
        expect(svc_client(s), r->status, r->method, r->path, r->body, r->header);
    }
}

Test(meta_svc, a_body_that_is_too_large_is_refused)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    char body[20000];

    memset(body, ' ', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    expect(svc_client(s), 413, "PUT", "/caps/a", body, NULL);
}

Test(meta_svc, the_list_comes_in_pages)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct client *c = svc_client(s);

    /* Bytewise: capitals come first, whatever the database's own order of texts. */
    static const char *const paths[] = {"/caps/b", "/caps/B", "/caps/a", "/caps/gone", "/caps/c"};
    for (size_t i = 0; i < COUNT(paths); i++)
        expect(c, 201, "PUT", paths[i], CAP(), NULL);
    expect(c, 204, "DELETE", "/caps/gone", NULL, NULL);

    char seen[16] = "";
    char path[64] = "/caps?limit=3";
    for (int page = 0; page < 2; page++) {
        struct answer a = expect(c, 200, "GET", path, NULL, NULL);
        const cJSON *cap = NULL;
        cJSON_ArrayForEach(cap, member(a.json, "caps"))
        {
            strcat(seen, member(cap, "id")->valuestring);
        }
        const cJSON *next = member(a.json, "next");
        cr_assert(cJSON_IsNull(next) == (page == 1));
        (void)snprintf(path, sizeof(path), "/caps?limit=3&after=%s",
                       page == 0 ? next->valuestring : "");
    }
    cr_expect_str_eq(seen, "Babc");
}

#define RACERS 8

struct race {
    int port;
    const char *header;
    pthread_barrier_t *start;
    int number;
    int status;
};

static void *run_racer(void *arg)
{
    struct race *r = arg;
    const char *const headers[] = {r->header, NULL};
    auto_client struct client *c = client_new("meta-svc", r->port);
    struct answer a = {0};
    struct err e;
    char body[256];

    (void)snprintf(body, sizeof(body), CAP(",\"autonomy_ms\":%d"), r->number);
    (void)pthread_barrier_wait(r->start);
    const struct call call = {.method = "PUT", .path = "/caps/a", .body = body, .headers = headers};
    r->status = client_call(c, &call, &a, &e) ? a.status : -1;
    return NULL;
}

/* All with the same precondition, each with another definition: how many got which status? */
static void expect_one_winner(int port, const char *header, int won, int lost)
{
    struct race racers[RACERS];
    pthread_t threads[RACERS];
    pthread_barrier_t start;
    int winners = 0;

    cr_assert(pthread_barrier_init(&start, NULL, RACERS) == 0);
    for (int i = 0; i < RACERS; i++) {
        racers[i] =
            (struct race){.port = port, .header = header, .start = &start, .number = 100 + i};
        cr_assert(pthread_create(&threads[i], NULL, run_racer, &racers[i]) == 0);
    }
    for (int i = 0; i < RACERS; i++) {
        cr_assert(pthread_join(threads[i], NULL) == 0);
        winners += racers[i].status == won;
        cr_expect(racers[i].status == won || racers[i].status == lost, "%d", racers[i].status);
    }
    cr_expect(winners == 1, "%d winners", winners);
    (void)pthread_barrier_destroy(&start);
}

Test(meta_svc, of_racing_creators_and_changers_one_wins)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);

    expect_one_winner(svc_port(s), "If-None-Match: *", 201, 412);
    expect(svc_client(s), 200, "PUT", "/caps/a", CAP(), "If-Match: \"1\"");
    expect_one_winner(svc_port(s), "If-Match: \"2\"", 200, 412);
    cr_expect(pg_i64(pg_conninfo_of(d), "SELECT version FROM meta.cap") == 3);
}

/* An interval-svc that answers as it is told. */
struct fake {
    pthread_mutex_t mutex;
    const char *intervals; /* the answer to GET; NULL: 404 */
    char definition[1024]; /* what was PUT last */
    struct stand_in server;
};

static bool fake_get(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                     struct err *e)
{
    struct fake *f = arg;

    (void)http;
    if (f->intervals == NULL)
        return err_set(e, ERR_NOT_FOUND, "not yet");
    buf_str(&reply->body, f->intervals);
    return true;
}

static bool fake_put(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                     struct err *e)
{
    struct fake *f = arg;

    (void)reply;
    (void)e;
    (void)pthread_mutex_lock(&f->mutex);
    (void)snprintf(f->definition, sizeof(f->definition), "%s %s", http->path, http->body);
    (void)pthread_mutex_unlock(&f->mutex);
    return true;
}

static void fake_start(struct fake *f)
{
    static const struct httpd_route routes[] = {
        {"GET", "/caps/{id}/intervals", "listIntervals", 200, fake_get, false},
        {"PUT", "/definitions/{id}", "putDefinition", 204, fake_put, true},
    };

    *f = (struct fake){.mutex = PTHREAD_MUTEX_INITIALIZER};
    stand_in_start(&f->server, routes, COUNT(routes), f);
}

static void fake_stop(struct fake *f)
{
    stand_in_stop(&f->server);
}

static bool has_definition(void *arg)
{
    struct fake *f = arg;

    (void)pthread_mutex_lock(&f->mutex);
    bool has = f->definition[0] != '\0';
    (void)pthread_mutex_unlock(&f->mutex);
    return has;
}

Test(meta_svc, a_definition_reaches_interval_svc)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    struct fake fake __attribute__((cleanup(fake_stop))) = {.intervals = NULL};

    fake_start(&fake);
    auto_svc struct svc *s = start(pg_conninfo_of(d), fake.server.url);
    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(), NULL);
    cr_assert(harness_await(has_definition, &fake, WAIT_MS));
    cr_expect(strncmp(fake.definition, "/definitions/a {\"version\":1,", 28) == 0, "%s",
              fake.definition);
}

/* Killed right after the answer, or before the message went out: it goes out after the restart. */
Test(meta_svc, a_definition_survives_the_service)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    struct fake fake __attribute__((cleanup(fake_stop))) = {.intervals = NULL};

    fake_start(&fake);
    char outbox[256];
    {
        auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
        expect(svc_client(s), 201, "PUT", "/caps/a", CAP(), NULL);
        svc_kill(s);
    }
    auto_free char *body = pg_text(pg_conninfo_of(d), "SELECT body FROM meta.outbox");
    (void)snprintf(outbox, sizeof(outbox), "%.200s", body);
    auto_svc struct svc *s = start(pg_conninfo_of(d), fake.server.url);
    cr_assert(harness_await(has_definition, &fake, WAIT_MS));
    cr_expect(strstr(fake.definition, outbox) != NULL);
}

#define WINDOW(amounts)                                                                            \
    "{\"cap\":\"a\",\"version\":1,\"intervals\":[{\"starts_at\":\"2026-11-20T00:00:00Z\","         \
    "\"ends_at\":\"2026-11-21T00:00:00Z\",\"state\":\"open\",\"total\":1000," amounts "}]}"

static const struct shown_row {
    const char *name, *intervals, *expected;
} shown_rows[] = {
    {"all is known",
     WINDOW("\"requested\":1000,\"effective\":900,\"pending\":0,\"spent\":9007199254740991"),
     ",\"intervals\":[{\"starts_at\":\"2026-11-20T00:00:00Z\",\"ends_at\":\"2026-11-21T00:00:00Z\","
     "\"state\":\"open\",\"requested\":1000,\"effective\":900,\"pending\":0,"
     "\"spent\":9007199254740991}]}"},
    {"local-svc is away",
     WINDOW("\"requested\":null,\"effective\":null,\"pending\":null,\"spent\":null"),
     "\"state\":\"open\",\"requested\":null,\"effective\":null,\"pending\":null,\"spent\":null}]}"},
    {"the definition is still on its way", NULL, ",\"intervals\":[]}"},
    {"an answer that makes no sense", "{\"intervals\":[{\"starts_at\":1}]}",
     ",\"intervals\":null}"},
    {"an answer that is no JSON", "<html>", ",\"intervals\":null}"},
};

struct shown {
    struct client *client;
    const char *expected;
};

static bool is_shown(void *arg)
{
    const struct shown *s = arg;
    struct answer a = expect(s->client, 200, "GET", "/caps/a", NULL, NULL);

    return strstr(buf_text(&a.reply->body), s->expected) != NULL;
}

/* An interval-svc that is slow to answer is shown as one that is away: then once more. */
Test(meta_svc, a_cap_shows_what_is_effective)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    struct fake fake __attribute__((cleanup(fake_stop))) = {.intervals = NULL};

    fake_start(&fake);
    auto_svc struct svc *s = start(pg_conninfo_of(d), fake.server.url);
    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(), NULL);
    for (size_t i = 0; i < COUNT(shown_rows); i++) {
        const struct shown_row *r = &shown_rows[i];
        fake.intervals = r->intervals;
        struct shown shown = {svc_client(s), r->expected};
        cr_expect(harness_await(is_shown, &shown, WAIT_MS), "%s", r->name);
    }
}

Test(meta_svc, without_interval_svc_a_cap_is_shown_without_intervals)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);

    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(), NULL);
    struct answer a = expect(svc_client(s), 200, "GET", "/caps/a", NULL, NULL);
    cr_expect(cJSON_IsNull(member(a.json, "intervals")));
}

static bool is_ready(void *arg)
{
    const struct call call = {.method = "GET", .path = "/readyz?verbose"};
    struct answer a = {0};
    struct err e;

    return client_call(arg, &call, &a, &e) && a.status == 200;
}

static bool cap_is_there(void *arg)
{
    const struct call call = {.method = "GET", .path = "/caps/a"};
    struct answer a = {0};
    struct err e;

    return client_call(arg, &call, &a, &e) && a.status == 200;
}

Test(meta_svc, without_the_database_it_says_so_and_recovers_by_itself)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(pg));
    auto_svc struct svc *s = start(pg_conninfo(pg), NULL);
    struct client *c = svc_client(s);

    expect(c, 201, "PUT", "/caps/a", CAP(), NULL);
    pg_kill(pg);
    expect(c, 503, "PUT", "/caps/b", CAP(), NULL);
    expect(c, 503, "GET", "/caps/a", NULL, NULL);
    expect(c, 503, "DELETE", "/caps/a", NULL, NULL);
    expect(c, 503, "GET", "/caps", NULL, NULL);
    expect(c, 503, "GET", "/readyz", NULL, NULL);
    expect(c, 200, "GET", "/livez", NULL, NULL);
    pg_restart(pg);
    cr_assert(harness_await(is_ready, c, WAIT_MS));
    expect(c, 200, "GET", "/caps/a", NULL, NULL);
}

/* As with a lost answer to COMMIT: what comes of it is not known to anybody yet. */
Test(meta_svc, a_definition_that_no_standby_has_is_put_off_and_may_be_sent_again)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(pg));
    auto_svc struct svc *s = start(pg_conninfo(pg), NULL);
    struct client *c = svc_client(s);
    const struct call put = {
        .method = "PUT", .path = "/caps/a", .body = CAP(), .timeout_ms = WAIT_MS};
    struct answer a = {0};
    struct err e = {0};

    pg_wait_for_standby(pg, "nobody");
    cr_assert(client_call(c, &put, &a, &e), "%s", e.msg);
    cr_expect_eq(a.status, 503);
    cr_expect_geq(a.reply->retry_after_s, 1);
    cr_expect_str_eq(member(a.json, "type")->valuestring, "urn:volumecap:problem:timeout");
    expect(c, 404, "GET", "/caps/a", NULL, NULL);

    pg_wait_for_standby(pg, "");
    cr_assert(harness_await(cap_is_there, c, WAIT_MS));
    a = expect(c, 200, "PUT", "/caps/a", CAP(), NULL);
    expect_version(&a, 1);
}

Test(meta_svc, has_a_document_and_metrics)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);

    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(), NULL);
    struct answer a = expect(svc_client(s), 200, "GET", "/openapi.json", NULL, NULL);
    cr_expect(member(member(a.json, "paths"), "/caps/{id}") != NULL);
    a = expect(svc_client(s), 200, "GET", "/metrics", NULL, NULL);
    cr_expect(strstr(buf_text(&a.reply->body),
                     "\nvolumecap_definitions_changed_total{outcome=\"created\"} 1\n") != NULL);
}

/* The last line of defence against a bug of ours. */
Test(meta_svc, the_database_refuses_versions_that_go_back)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    static const char *const statements[] = {
        "UPDATE meta.cap SET version = 1",
        "UPDATE meta.cap SET total = 5",
        "UPDATE meta.cap SET id = 'b', version = 3",
        "DELETE FROM meta.cap",
        "UPDATE meta.cap SET version = 3, total = -1",
        "UPDATE meta.cap SET version = 3, ends_at = starts_at",
        "UPDATE meta.cap SET version = 3, home = 'elsewhere'",
        "UPDATE meta.cap SET version = 3, revision = revision - 1",
        "UPDATE meta.revision SET revision = 0",
        "DELETE FROM meta.revision",
    };

    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(",\"paused\":true"), NULL);
    expect(svc_client(s), 200, "PUT", "/caps/a", CAP(), "If-Match: *");
    for (size_t i = 0; i < COUNT(statements); i++) {
        auto_free char *state = pg_sqlstate(pg_conninfo_of(d), "%s", statements[i]);
        cr_expect(strcmp(state, "00000") != 0, "%s", statements[i]);
    }
}

/*
 * Several data centres.  Each has its own database; carry() does what
 * remote-svc does.
 */

struct world {
    struct pg_db *pg;
    struct svc *svc;
    const char *dc;
};

static struct world world_new(const char *dc, const char *now)
{
    char home[64];
    const char *const env[] = {"META_INTERVAL_URL=http://127.0.0.1:9", home, NULL};
    struct world w = {.pg = pg_fresh_db(), .dc = dc};

    (void)snprintf(home, sizeof(home), "META_DC=%s", dc);
    pg_exec(pg_conninfo_of(w.pg), "SELECT calendar.set('%s', 0.001)", now);
    w.svc = svc_start(&(struct svc_options){
        .name = "meta-svc", .prefix = "META", .conninfo = pg_conninfo_of(w.pg), .env = env});
    return w;
}

static void world_done(struct world *w)
{
    w->svc = svc_stop(w->svc);
    w->pg = pg_db_free(w->pg);
}
#define auto_world __attribute__((cleanup(world_done)))

static struct answer at(const struct world *w, int status, const char *method, const char *path,
                        const char *body)
{
    return expect(svc_client(w->svc), status, method, path, body,
                  strcmp(method, "PUT") == 0 && strncmp(path, "/caps", 5) == 0 ? "If-Match: *"
                                                                               : NULL);
}

/* Its caps would be another data centre's: nobody could change them, and nobody would mint. */
Test(meta_peers, a_data_centre_that_was_used_is_not_given_another_name)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *before = start(pg_conninfo_of(d), NULL);
    static const char *const env[] = {"META_INTERVAL_URL=http://127.0.0.1:9", "META_DC=east", NULL};

    expect(svc_client(before), 201, "PUT", "/caps/a", CAP(), NULL);
    auto_svc struct svc *after = svc_start(&(struct svc_options){
        .name = "meta-svc", .prefix = "META", .conninfo = pg_conninfo_of(d), .env = env});
    expect(svc_client(after), 503, "GET", "/readyz", NULL, NULL);
    expect(svc_client(after), 409, "PUT", "/caps/b", CAP(), NULL);
    expect(svc_client(after), 200, "GET", "/caps/a", NULL, NULL);
    cr_expect(pg_i64(pg_conninfo_of(d), "SELECT count(*) FROM meta.cap") == 1);
}

/* The definitions whose home is there, after a revision, as a batch.  Free it. */
static char *batch_of(const struct world *from, int since, int limit)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/definitions?since=%d&limit=%d", since, limit);
    struct answer a = at(from, 200, "GET", path, NULL);
    auto_js cJSON *batch = cJSON_CreateObject();
    cr_assert(cJSON_AddNumberToObject(batch, "from_revision", since) != NULL);
    cr_assert(cJSON_AddNumberToObject(batch, "to_revision",
                                      member(a.json, "revision")->valuedouble) != NULL);
    cr_assert(cJSON_AddItemToObject(
        batch, "definitions", cJSON_Duplicate(member(a.json, "definitions"), /* recurse= */ true)));
    return cJSON_PrintUnformatted(batch);
}

/* What is applied then. */
static int put_batch(const struct world *from, const struct world *to, const char *batch)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/peers/%s/definitions", from->dc);
    struct answer a = at(to, 200, "PUT", path, batch);
    int applied = member(a.json, "applied_revision")->valueint;
    a = at(to, 200, "GET", path, NULL);
    cr_expect(member(a.json, "applied_revision")->valueint == applied);
    return applied;
}

static int carry(const struct world *from, const struct world *to, int since)
{
    auto_free char *batch = batch_of(from, since, 100);

    return put_batch(from, to, batch);
}

static const char *shown(const struct world *w, const char *path, const char *name)
{
    struct answer a = at(w, 200, "GET", path, NULL);

    return cJSON_GetStringValue(member(a.json, name));
}

#define NOON "2026-11-20T12:00:00Z"

static void create(const struct world *w, const char *path, const char *body)
{
    (void)expect(svc_client(w->svc), 201, "PUT", path, body, NULL);
}

Test(meta_peers, a_definition_is_read_everywhere_and_changed_at_home)
{
    auto_world struct world one = world_new("dc1", NOON), two = world_new("dc2", NOON);

    create(&two, "/caps/a", CAP(",\"initial_total\":5"));
    cr_expect(carry(&two, &one, 0) == 1);
    struct answer a = at(&one, 200, "GET", "/caps/a", NULL);
    cr_expect_str_eq(member(a.json, "home")->valuestring, "dc2");
    cr_expect(cJSON_IsNull(member(a.json, "conflict")));
    cr_expect(member(a.json, "initial_total")->valueint == 5);
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT count(*) FROM meta.outbox") == 1);

    static const char *const methods[] = {"PUT", "DELETE"};
    for (size_t i = 0; i < COUNT(methods); i++) {
        a = at(&one, 409, methods[i], "/caps/a", i == 0 ? CAP() : NULL);
        cr_expect_str_eq(member(a.json, "home")->valuestring, "dc2");
        cr_expect_str_eq(member(a.json, "type")->valuestring, "urn:volumecap:problem:conflict");
    }

    (void)at(&two, 204, "DELETE", "/caps/a", NULL);
    cr_expect(carry(&two, &one, 1) == 2);
    (void)at(&one, 404, "GET", "/caps/a", NULL);
    (void)at(&one, 409, "PUT", "/caps/a", CAP());
    (void)at(&one, 404, "DELETE", "/caps/a", NULL);
    /* What came from elsewhere is not told on. */
    a = at(&one, 200, "GET", "/definitions", NULL);
    cr_expect(cJSON_GetArraySize(member(a.json, "definitions")) == 0);
}

Test(meta_peers, batches_may_be_repeated_late_and_out_of_order_but_have_no_gap)
{
    auto_world struct world one = world_new("dc1", NOON), two = world_new("dc2", NOON);
    const char *total = "SELECT total FROM meta.cap WHERE id = 'a'";

    create(&two, "/caps/a", CAP());
    create(&two, "/caps/b", CAP());
    auto_free char *first = batch_of(&two, 0, 100);
    (void)at(&two, 200, "PUT", "/caps/a",
             "{\"starts_at\":\"2026-11-01T00:00:00Z\",\"ends_at\":\"2027-01-01T00:00:00Z\","
             "\"interval\":\"day\",\"total\":7}");
    auto_free char *second = batch_of(&two, 2, 100);
    auto_free char *all = batch_of(&two, 0, 100);

    cr_expect(put_batch(&two, &one, second) == 0, "a gap: nothing changes");
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT count(*) FROM meta.cap") == 0);
    cr_expect(put_batch(&two, &one, first) == 2);
    cr_expect(put_batch(&two, &one, second) == 3);
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "%s", total) == 7);
    pg_exec(pg_conninfo_of(one.pg), "DELETE FROM meta.outbox");
    cr_expect(put_batch(&two, &one, first) == 3, "late");
    cr_expect(put_batch(&two, &one, second) == 3, "repeated");
    cr_expect(put_batch(&two, &one, all) == 3, "both at once");
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "%s", total) == 7);
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT count(*) FROM meta.outbox") == 0);
}

Test(meta_peers, definitions_come_in_pages_by_revision)
{
    auto_world struct world one = world_new("dc1", NOON), two = world_new("dc2", NOON);
    int applied = 0;

    for (int i = 0; i < 7; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "/caps/c%d", i);
        create(&two, path, CAP());
    }
    for (int page = 0; page < 3; page++) {
        auto_free char *batch = batch_of(&two, applied, 3);
        applied = put_batch(&two, &one, batch);
    }
    cr_expect(applied == 7);
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT count(*) FROM meta.cap") == 7);
}

/* Both define it before they hear of each other. */
Test(meta_peers, of_two_definitions_of_one_id_the_lower_home_wins_whoever_hears_first)
{
    for (int order = 0; order < 2; order++) {
        auto_world struct world one = world_new("dc1", NOON), two = world_new("dc2", NOON);
        auto_world struct world three = world_new("dc3", NOON);

        create(&one, "/caps/a", CAP(",\"paused\":true"));
        create(&two, "/caps/a", CAP());
        (void)at(&two, 200, "PUT", "/caps/a", CAP(",\"initial_total\":1"));
        (void)at(&two, 200, "PUT", "/caps/a", CAP(",\"initial_total\":2"));
        (void)carry(order == 0 ? &one : &two, order == 0 ? &two : &one, 0);
        (void)carry(order == 0 ? &two : &one, order == 0 ? &one : &two, 0);
        (void)carry(order == 0 ? &two : &one, &three, 0);
        (void)carry(order == 0 ? &one : &two, &three, 0);
        cr_expect_str_eq(shown(&one, "/caps/a", "home"), "dc1");
        cr_expect_str_eq(shown(&two, "/caps/a", "home"), "dc1");
        cr_expect_str_eq(shown(&three, "/caps/a", "home"), "dc1");
        cr_expect_null(shown(&one, "/caps/a", "conflict"));
        cr_expect_str_eq(shown(&two, "/caps/a", "conflict"), "dc1");
        cr_expect_null(shown(&three, "/caps/a", "conflict"));

        /* The loser's versions were higher; interval-svc is told with higher ones still. */
        auto_free char *told = pg_text(pg_conninfo_of(two.pg), "SELECT body FROM meta.outbox");
        cr_expect(strstr(told, "\"home\":\"dc1\"") != NULL, "%s", told);
        cr_expect(strncmp(told, "{\"version\":3,", 13) != 0, "%s", told);
        /* The winner's windows must not be taken for the loser's: it has begun a new grid. */
        cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT count(*) FROM meta.cap"
                                                 " WHERE home = 'dc1' AND grid_since IS NOT NULL"
                                                 "   AND version = 2") == 1);
        (void)carry(&one, &two, 1);
        (void)carry(&two, &one, 0);
        cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT max(version) FROM meta.cap"
                                                 " WHERE home = 'dc1'") == 2,
                  "once");
        (void)at(&two, 409, "PUT", "/caps/a", CAP());
    }
}

static int64_t phase_of(const struct world *w)
{
    return pg_i64(pg_conninfo_of(w->pg),
                  "SELECT calendar.to_ms(grid_since) %% 1000"
                  "  FROM meta.cap WHERE home = '%s'",
                  w->dc);
}

/* Phases are counted up by each home: both may come to the same one. */
Test(meta_peers, the_winner_s_new_grid_is_none_that_the_loser_has_had)
{
    auto_world struct world one = world_new("dc1", NOON), two = world_new("dc2", NOON);

    create(&one, "/caps/a", CAP());
    create(&two, "/caps/a", CAP());
    (void)at(&two, 200, "PUT", "/caps/a", CAP(",\"time_zone\":\"Europe/Berlin\""));
    cr_assert(phase_of(&two) == 1);
    auto_free char *changed_once = batch_of(&two, 0, 100);
    (void)at(&two, 200, "PUT", "/caps/a", CAP());
    cr_assert(phase_of(&two) == 2);

    (void)put_batch(&two, &one, changed_once);
    cr_expect(phase_of(&one) == 2, "1 is the loser's");
    (void)carry(&two, &one, 2);
    cr_expect(phase_of(&one) == 3, "it had come to 2, unheard");
    (void)carry(&two, &one, 0);
    cr_expect(phase_of(&one) == 3, "once");
}

static const struct peer_row {
    const char *name, *path, *body, *pointer;
} peer_rows[] = {
#define SENT(from, to, more)                                                                       \
    "{\"from_revision\":" from ",\"to_revision\":" to ",\"definitions\":[" more "]}"
#define SENT_CAP(home, revision, rest)                                                             \
    "{\"id\":\"a\",\"revision\":" revision ",\"version\":1,\"deleted\":false,\"home\":\"" home     \
    "\",\"created_at\":\"2026-11-01T00:00:00Z\",\"changed_at\":\"2026-11-01T00:00:00Z\","          \
    "\"starts_at\":\"2026-11-01T00:00:00Z\",\"ends_at\":\"2027-01-01T00:00:00Z\","                 \
    "\"interval\":\"day\"," rest "}"
#define THEIRS "/peers/dc2/definitions"
    {"a home that is not the sender", THEIRS, SENT("0", "1", SENT_CAP("dc3", "1", "\"total\":1")),
     "/definitions/0/home"},
    {"a home that is here", THEIRS, SENT("0", "1", SENT_CAP("dc1", "1", "\"total\":1")),
     "/definitions/0/home"},
    {"a revision outside", THEIRS, SENT("0", "1", SENT_CAP("dc2", "2", "\"total\":1")),
     "/definitions/0/revision"},
    {"a revision twice", THEIRS,
     SENT("0", "1", SENT_CAP("dc2", "1", "\"total\":1") "," SENT_CAP("dc2", "1", "\"total\":1")),
     "/definitions/1/revision"},
    {"revisions that go back", THEIRS, SENT("2", "1", ""), "/to_revision"},
    {"no definitions", THEIRS, "{\"from_revision\":0,\"to_revision\":1}", "/definitions"},
    {"ourselves", "/peers/dc1/definitions", SENT("0", "1", ""), NULL},
    {"a name that is none", "/peers/d%20c/definitions", SENT("0", "1", ""), NULL},
    {"no JSON", THEIRS, "{", NULL},
};

Test(meta_peers, what_a_peer_must_not_say_is_refused_and_changes_nothing)
{
    auto_world struct world one = world_new("dc1", NOON);

    for (size_t i = 0; i < COUNT(peer_rows); i++) {
        const struct peer_row *r = &peer_rows[i];
        struct answer a = at(&one, 400, "PUT", r->path, r->body);
        if (r->pointer != NULL)
            cr_expect(strcmp(pointer_of(&a), r->pointer) == 0, "%s: %s", r->name, pointer_of(&a));
    }
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT count(*) FROM meta.cap") == 0);
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT count(*) FROM meta.peer") == 0);
    (void)at(&one, 400, "GET", "/definitions?limit=0", NULL);
    (void)at(&one, 400, "GET", "/definitions?wait_ms=30001", NULL);
    (void)at(&one, 400, "GET", "/definitions?since=-1", NULL);
}

/* A definition of dc2. */
#define THEIR_CAP(id, revision, version, rest)                                                     \
    "{\"id\":\"" id "\",\"revision\":" revision ",\"version\":" version ",\"deleted\":false,"      \
    "\"home\":\"dc2\",\"created_at\":\"2026-11-01T00:00:00Z\","                                    \
    "\"changed_at\":\"2026-11-01T00:00:00Z\",\"starts_at\":\"2026-11-01T00:00:00Z\","              \
    "\"ends_at\":\"2027-01-01T00:00:00Z\",\"interval\":\"day\"" rest "}"
#define TOTAL ",\"total\":1"

static const struct unread_row {
    const char *name, *definition;
} unread_rows[] = {
    {"a member that we do not know", THEIR_CAP("b", "2", "1", TOTAL ",\"surprise\":1")},
    {"no total", THEIR_CAP("b", "2", "1", "")},
    {"a value out of range", THEIR_CAP("b", "2", "1", TOTAL ",\"autonomy_ms\":-1")},
    {"an id that is none", THEIR_CAP("b b", "2", "1", TOTAL)},
    {"a version that leaves no room", THEIR_CAP("b", "2", "1099511627777", TOTAL)},
    {"no object", "7"},
};

Test(meta_peers, a_definition_that_cannot_be_read_holds_up_no_other)
{
    for (size_t i = 0; i < COUNT(unread_rows); i++) {
        auto_world struct world one = world_new("dc1", NOON);
        const struct unread_row *r = &unread_rows[i];
        char batch[4096];

        (void)snprintf(
            batch, sizeof(batch),
            SENT("0", "3", THEIR_CAP("a", "1", "1", TOTAL) ",%s," THEIR_CAP("c", "3", "1", TOTAL)),
            r->definition);
        struct answer a = at(&one, 200, "PUT", THEIRS, batch);
        cr_expect(member(a.json, "applied_revision")->valueint == 3, "%s", r->name);
        auto_free char *ids =
            pg_text(pg_conninfo_of(one.pg), "SELECT string_agg(id, ' ' ORDER BY id) FROM meta.cap");
        cr_expect_str_eq(ids, "a c", "%s: %s", r->name, ids);
        a = at(&one, 200, "GET", "/metrics", NULL);
        cr_expect(strstr(buf_text(&a.reply->body),
                         "volumecap_definitions_received_total{outcome=\"unread\"} 1\n") != NULL,
                  "%s", r->name);
        /* It is told again, and can be read by now. */
        (void)at(&one, 200, "PUT", THEIRS, SENT("0", "3", THEIR_CAP("b", "2", "1", TOTAL)));
        (void)at(&one, 200, "GET", "/caps/b", NULL);
    }
}

/* Nothing of such a batch is taken, so nothing is passed over. */
Test(meta_peers, a_definition_that_cannot_be_read_behind_a_gap_is_not_reported)
{
    auto_world struct world one = world_new("dc1", NOON);

    struct answer a = at(&one, 200, "PUT", THEIRS, SENT("2", "3", "7"));
    cr_expect(member(a.json, "applied_revision")->valueint == 0);
    a = at(&one, 200, "GET", "/metrics", NULL);
    const char *metrics = buf_text(&a.reply->body);
    cr_expect(strstr(metrics, "{outcome=\"gap\"} 1\n") != NULL);
    cr_expect(strstr(metrics, "{outcome=\"unread\"}") == NULL);
}

/* What interval-svc is told has the sum of all versions of the id, and must be a number for it. */
Test(meta_peers, a_version_of_another_home_leaves_room_for_ours)
{
    auto_world struct world one = world_new("dc1", NOON);

    create(&one, "/caps/a", CAP());
    (void)at(&one, 200, "PUT", THEIRS,
             SENT("0", "1", THEIR_CAP("a", "1", "9007199254740991", TOTAL)));
    cr_expect(pg_i64(pg_conninfo_of(one.pg), "SELECT count(*) FROM meta.cap") == 1);
    (void)at(&one, 200, "PUT", THEIRS, SENT("0", "1", THEIR_CAP("a", "1", "1099511627776", TOTAL)));
    cr_expect(pg_i64(pg_conninfo_of(one.pg),
                     "SELECT (body::json ->> 'version')::bigint FROM meta.outbox") ==
              INT64_C(1099511627778));
    cr_expect(pg_i64(pg_conninfo_of(one.pg),
                     "SELECT (body::json ->> 'home_version')::bigint FROM meta.outbox") == 2,
              "as all data centres number it");
}

struct waiting {
    int port, count;
};

static void *run_waiting(void *arg)
{
    struct waiting *w = arg;
    auto_client struct client *c = client_new("meta-svc", w->port);
    const struct call call = {
        .method = "GET", .path = "/definitions?since=0&wait_ms=20000", .timeout_ms = 60000};
    struct answer a = {0};
    struct err e;

    if (client_call(c, &call, &a, &e) && a.status == 200)
        w->count = cJSON_GetArraySize(member(a.json, "definitions"));
    return NULL;
}

Test(meta_peers, who_waits_for_definitions_hears_of_one_at_once)
{
    auto_world struct world one = world_new("dc1", NOON);
    struct waiting waiting[4];
    pthread_t threads[COUNT(waiting)];

    for (size_t i = 0; i < COUNT(waiting); i++) {
        waiting[i] = (struct waiting){.port = svc_port(one.svc)};
        cr_assert(pthread_create(&threads[i], NULL, run_waiting, &waiting[i]) == 0);
    }
    struct answer a = at(&one, 200, "GET", "/definitions?since=0&wait_ms=50", NULL);
    cr_expect(cJSON_GetArraySize(member(a.json, "definitions")) == 0);
    create(&one, "/caps/a", CAP());
    for (size_t i = 0; i < COUNT(waiting); i++) {
        cr_assert(pthread_join(threads[i], NULL) == 0);
        cr_expect(waiting[i].count == 1);
    }
}

static const struct grid_row {
    const char *name, *body;
    int64_t phase; /* -1: it is the old grid still */
} grid_rows[] = {
    {"another total", CAP(",\"initial_total\":1"), -1},
    {"a pause", CAP(",\"paused\":true"), -1},
    {"another zone", CAP(",\"time_zone\":\"Europe/Berlin\""), 1},
    {"and back", CAP(), 2},
    {"nothing but a pause again", CAP(",\"paused\":true"), 2},
};

Test(meta_peers, a_grid_that_changes_says_since_when)
{
    auto_world struct world one = world_new("dc1", NOON);
    const char *conninfo = pg_conninfo_of(one.pg);

    create(&one, "/caps/a", CAP());
    for (size_t i = 0; i < COUNT(grid_rows); i++) {
        const struct grid_row *r = &grid_rows[i];
        (void)at(&one, 200, "PUT", "/caps/a", r->body);
        cr_expect(pg_i64(conninfo, "SELECT coalesce(calendar.to_ms(grid_since) %% 1000, -1)"
                                   "  FROM meta.cap") == r->phase,
                  "%s", r->name);
    }
    (void)at(&one, 204, "DELETE", "/caps/a", NULL);
    create(&one, "/caps/a", CAP());
    cr_expect(pg_i64(conninfo, "SELECT calendar.to_ms(grid_since) %% 1000 FROM meta.cap") == 3,
              "made again");
}

static const struct form_row {
    const char *value;
    bool ok;
} form_rows[] = {
    {"*", true},
    {"\"1\"", true},
    {"W/\"1\"", true},
    {"\"1\",\"2\"", true},
    {"\"1\" ,\t\"2\"", true},
    {"\"\"", true},
    {"", false},
    {"1", false},
    {"\"1", false},
    {"\"1\"x", false},
    {"w/\"1\"", false},
    {"*, \"1\"", false},
};

Test(condition, has_the_form_of_rfc_9110)
{
    for (size_t i = 0; i < COUNT(form_rows); i++) {
        const struct condition match = {.if_match = form_rows[i].value};
        const struct condition none = {.if_none_match = form_rows[i].value};
        struct err e;
        cr_expect(condition_is_wellformed(&match, &e) == form_rows[i].ok, "%s", form_rows[i].value);
        cr_expect(condition_is_wellformed(&none, &e) == form_rows[i].ok, "%s", form_rows[i].value);
    }
}

Test(condition, nothing_matches_what_is_not_there)
{
    const struct condition any = {.if_match = "*", .if_none_match = "*"};
    const struct condition zero = {.if_match = "\"0\"", .if_none_match = "\"0\""};

    cr_expect(!condition_match_holds(&any, 0) && condition_none_match_holds(&any, 0));
    cr_expect(!condition_match_holds(&zero, 0) && condition_none_match_holds(&zero, 0));
}
