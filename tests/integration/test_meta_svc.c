/* meta-svc, the real program on a real database: definitions, versions, conditions. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/metric.h"
#include "common/io/httpd.h"
#include "services/meta-svc/condition.h"
#include "tests/harness/pg.h"
#include "tests/harness/svc.h"

PG_SUITE();

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define WAIT_MS 20000

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
    cr_expect(strstr(created, ",\"grid_since\":null}") != NULL, "%s", created);
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
    struct metrics *metrics;
    struct httpd *httpd;
    char url[64];
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
    struct err e;

    *f = (struct fake){.mutex = PTHREAD_MUTEX_INITIALIZER, .metrics = metrics_new()};
    const struct httpd_config config = {
        .service = "interval-svc",
        .address = "127.0.0.1",
        .threads = 1,
        .connections_max = 10,
        .body_max = 10000,
        .request_timeout_ms = 3000,
        .routes = routes,
        .routes_count = COUNT(routes),
        .arg = f,
        .metrics = f->metrics,
    };
    cr_assert(httpd_start(&config, &f->httpd, &e), "%s", e.msg);
    (void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d", (int)httpd_port(f->httpd));
}

static void fake_stop(struct fake *f)
{
    f->httpd = httpd_stop(f->httpd);
    f->metrics = metrics_free(f->metrics);
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
    struct fake fake __attribute__((cleanup(fake_stop))) = {.url = ""};

    fake_start(&fake);
    auto_svc struct svc *s = start(pg_conninfo_of(d), fake.url);
    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(), NULL);
    cr_assert(harness_await(has_definition, &fake, WAIT_MS));
    cr_expect(strncmp(fake.definition, "/definitions/a {\"version\":1,", 28) == 0, "%s",
              fake.definition);
}

/* Killed right after the answer, or before the message went out: it goes out after the restart. */
Test(meta_svc, a_definition_survives_the_service)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    struct fake fake __attribute__((cleanup(fake_stop))) = {.url = ""};

    fake_start(&fake);
    char outbox[256];
    {
        auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
        expect(svc_client(s), 201, "PUT", "/caps/a", CAP(), NULL);
        svc_kill(s);
    }
    auto_free char *body = pg_text(pg_conninfo_of(d), "SELECT body FROM meta.outbox");
    (void)snprintf(outbox, sizeof(outbox), "%.200s", body);
    auto_svc struct svc *s = start(pg_conninfo_of(d), fake.url);
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

Test(meta_svc, a_cap_shows_what_is_effective)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    struct fake fake __attribute__((cleanup(fake_stop))) = {.url = ""};

    fake_start(&fake);
    auto_svc struct svc *s = start(pg_conninfo_of(d), fake.url);
    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(), NULL);
    for (size_t i = 0; i < COUNT(shown_rows); i++) {
        const struct shown_row *r = &shown_rows[i];
        fake.intervals = r->intervals;
        struct answer a = expect(svc_client(s), 200, "GET", "/caps/a", NULL, NULL);
        cr_expect(strstr(buf_text(&a.reply->body), r->expected) != NULL, "%s: %s", r->name,
                  buf_text(&a.reply->body));
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

Test(meta_svc, without_the_database_it_says_so_and_recovers_by_itself, .timeout = 120)
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
    };

    expect(svc_client(s), 201, "PUT", "/caps/a", CAP(",\"paused\":true"), NULL);
    expect(svc_client(s), 200, "PUT", "/caps/a", CAP(), "If-Match: *");
    for (size_t i = 0; i < COUNT(statements); i++) {
        auto_free char *state = pg_sqlstate(pg_conninfo_of(d), "%s", statements[i]);
        cr_expect(strcmp(state, "00000") != 0, "%s", statements[i]);
    }
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
