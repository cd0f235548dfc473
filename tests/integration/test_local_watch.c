/* local_watch: the broadcast: nothing is missed, nobody waits longer than asked. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "tests/harness/local.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"

PG_SUITE();

/* Who asks for LONG_MS, and hears in less than EARLY_MS, was not answered because of the time. */
#define LONG_MS 30000
#define EARLY_MS 25000

static const struct speaker one = {.number = 1}, two = {.number = 2};

struct news {
    int status;
    int64_t revision;
    bool more;
    int windows;
    bool recall; /* of the last window */
    int64_t first_revision;
};

/* Status 0: no answer.  Asserts nothing, since it runs on other threads too. */
static struct news try_watch(struct client *c, int64_t since, int64_t wait_ms)
{
    char path[80];
    struct answer answer = {0};
    struct err e = {0};
    struct news news = {0};

    snprintf(path, sizeof(path), "/watch?since=%lld&wait_ms=%lld", (long long)since,
             (long long)wait_ms);
    const struct call call = {.method = "GET", .path = path, .timeout_ms = wait_ms + 10000};
    if (!client_call(c, &call, &answer, &e) || answer.status != 200) {
        news.status = answer.status;
        return news;
    }
    news.status = 200;
    const cJSON *windows = cJSON_GetObjectItemCaseSensitive(answer.json, "windows");
    news.revision = (int64_t)cJSON_GetObjectItemCaseSensitive(answer.json, "revision")->valuedouble;
    news.more = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer.json, "more"));
    news.windows = cJSON_GetArraySize(windows);
    if (news.windows == 0)
        return news;
    const cJSON *first = cJSON_GetArrayItem(windows, 0),
                *last = cJSON_GetArrayItem(windows, news.windows - 1);
    news.first_revision = (int64_t)cJSON_GetObjectItemCaseSensitive(first, "revision")->valuedouble;
    news.recall = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(last, "recall"));
    return news;
}

static struct news watch(struct client *c, int64_t since, int64_t wait_ms)
{
    struct news news = try_watch(c, since, wait_ms);

    cr_assert_eq(news.status, 200);
    return news;
}

/* A watch on a thread of its own. */
struct watcher {
    struct client *client;
    int64_t since, wait_ms;
    struct news news;
    int64_t took_ms;
    pthread_t thread;
};

static void *watch_once(void *arg)
{
    struct watcher *w = arg;
    int64_t began_ms = clk_now_ms();

    w->news = try_watch(w->client, w->since, w->wait_ms);
    w->took_ms = clk_now_ms() - began_ms;
    return NULL;
}

static void watcher_start(struct watcher *w, const struct svc *l, int64_t since, int64_t wait_ms)
{
    *w = (struct watcher){
        .client = client_new("local-svc", svc_port(l)), .since = since, .wait_ms = wait_ms};
    cr_assert_eq(pthread_create(&w->thread, NULL, watch_once, w), 0);
}

static void watcher_join(struct watcher *w)
{
    cr_assert_eq(pthread_join(w->thread, NULL), 0);
    w->client = client_free(w->client);
}

struct expected_watchers {
    struct client *client;
    int64_t count;
};

static bool are_suspended(void *arg)
{
    const struct expected_watchers *expected = arg;

    return local_metric(expected->client, "volumecap_watchers") == expected->count;
}

static void wait_suspended(struct svc *l, int64_t count)
{
    struct expected_watchers expected = {svc_client(l), count};

    cr_assert(harness_await(are_suspended, &expected, 20000), "%lld watchers",
              (long long)local_metric(svc_client(l), "volumecap_watchers"));
}

static bool is_one_closed(void *arg)
{
    const struct pg_db *db = arg;

    return pg_i64(pg_conninfo_of(db), "SELECT count(*) FROM local.pool WHERE state = 'closed'") ==
           1;
}

Test(local_watch, the_first_look_tells_of_every_window)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
    local_announce(c, "b", &(struct announced){.version = 1, .total = 10});

    struct news all = watch(c, 0, 0);
    cr_assert_eq(all.windows, 2);
    cr_assert_eq(all.revision, 2);
    cr_assert_not(all.more);
    cr_assert_eq(watch(c, all.revision, 0).windows, 0);
}

Test(local_watch, the_first_look_leaves_out_what_is_closed_and_later_ones_tell_of_it)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
    local_announce(c, "over", &(struct announced){.version = 1, .total = 10, .state = "closing"});
    cr_assert(harness_await(is_one_closed, db, 60000));

    cr_assert_eq(watch(c, 1, 0).windows, 1, "that it is closed");
    cr_assert_eq(watch(c, 0, 0).windows, 1, "that the other is open");
}

Test(local_watch, without_news_the_answer_is_empty_when_the_wait_is_over)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
    int64_t began_ms = clk_now_ms();
    struct news none = watch(c, 1, 300);
    int64_t took_ms = clk_now_ms() - began_ms;

    cr_assert_eq(none.windows, 0);
    cr_assert_eq(none.revision, 1);
    cr_assert_geq(took_ms, 300);
    cr_assert_lt(took_ms, 30000, "the longest wait that can be asked for");
}

Test(local_watch, news_of_another_replica_arrives_at_once)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *a = local_start(pg_conninfo_of(db), NULL);
    auto_svc struct svc *b = local_start(pg_conninfo_of(db), NULL);
    struct watcher here, there;

    local_announce(svc_client(a), "a", &(struct announced){.version = 1, .total = 10});
    watcher_start(&here, a, 1, LONG_MS);
    watcher_start(&there, b, 1, LONG_MS);
    wait_suspended(a, 1);
    wait_suspended(b, 1);
    local_announce(svc_client(a), "a", &(struct announced){.version = 2, .total = 20});
    watcher_join(&here);
    watcher_join(&there);

    cr_assert_eq(here.news.windows, 1);
    cr_assert_eq(there.news.windows, 1);
    cr_assert_eq(there.news.revision, 2);
    cr_assert_lt(there.took_ms, EARLY_MS);
}

Test(local_watch, a_server_that_is_short_makes_the_others_report)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    local_announce(c, "a", &(struct announced){.version = 1, .total = 10});
    cr_assert_eq(local_topup(c, &one, "a", &(struct said){.want = 10}).granted, 10);
    cr_assert_eq(watch(c, 1, 0).windows, 0, "a grant is no news");

    cr_assert_str_eq(local_topup(c, &two, "a", &(struct said){.want = 5}).state, "dry");
    struct news recall = watch(c, 1, 0);
    cr_assert_eq(recall.windows, 1);
    cr_assert(recall.recall);

    (void)local_topup(c, &one, "a", &(struct said){.granted_known = 10, .returned = 5});
    struct news free = watch(c, recall.revision, 0);
    cr_assert_eq(free.windows, 1, "who is short must hear that units came free");
}

Test(local_watch, more_than_a_thousand_windows_come_in_pages_that_lose_none)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct client *c = svc_client(l);

    pg_exec(pg_conninfo_of(db),
            "INSERT INTO local.pool (cap, starts_at, ends_at, state, paused, version, topup_ppm,"
            "                        slice_max_ppm, autonomy_ms, revision)"
            " SELECT 'cap-' || i, '2020-01-01Z', '2090-01-01Z', 'open', false, 1, 1, 1, 1, i"
            "   FROM generate_series(1, 2300) AS i;"
            "UPDATE local.revision SET revision = 2300");
    struct news first = watch(c, 0, 0);
    cr_assert_eq(first.windows, 1000);
    cr_assert(first.more);
    cr_assert_eq(first.revision, 1000);
    struct news second = watch(c, first.revision, 20000);
    cr_assert_eq(second.windows, 1000);
    cr_assert_eq(second.first_revision, 1001);
    struct news third = watch(c, second.revision, 20000);
    cr_assert_eq(third.windows, 300);
    cr_assert_not(third.more);
    cr_assert_eq(third.revision, 2300);
}

/* ---- order */

#define ANNOUNCERS 4
#define ANNOUNCEMENTS 60

struct announcer {
    struct client *client;
    int number;
    pthread_t thread;
};

static void *announce_many(void *arg)
{
    const struct announcer *a = arg;
    char cap[16];

    for (int i = 0; i < ANNOUNCEMENTS; i++) {
        snprintf(cap, sizeof(cap), "%d-%d", a->number, i);
        local_announce(a->client, cap, &(struct announced){.version = 1, .total = 10});
    }
    return NULL;
}

/* Marks the announcements that an answer tells of; returns how many are new to us. */
static int mark(const cJSON *windows, bool seen[ANNOUNCERS][ANNOUNCEMENTS])
{
    const cJSON *window = NULL;
    int fresh = 0;

    cJSON_ArrayForEach(window, windows)
    {
        const char *cap = cJSON_GetObjectItemCaseSensitive(window, "cap")->valuestring;
        int number = 0, announcement = 0;

        cr_assert_eq(sscanf(cap, "%d-%d", &number, &announcement), 2);
        fresh += !seen[number][announcement];
        seen[number][announcement] = true;
    }
    return fresh;
}

/* A replica that lags may say again what another has told, but nothing may be left out. */
Test(local_watch, whoever_follows_two_busy_replicas_misses_nothing)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *a = local_start(pg_conninfo_of(db), NULL);
    auto_svc struct svc *b = local_start(pg_conninfo_of(db), NULL);
    struct svc *const replicas[2] = {a, b};
    struct announcer announcers[ANNOUNCERS];
    bool seen[ANNOUNCERS][ANNOUNCEMENTS] = {{false}};
    int64_t since = 0, deadline_ms = clk_now_ms() + 60000;
    int count = 0;

    for (int i = 0; i < ANNOUNCERS; i++) {
        announcers[i].client = client_new("local-svc", svc_port(replicas[i % 2]));
        announcers[i].number = i;
        cr_assert_eq(pthread_create(&announcers[i].thread, NULL, announce_many, &announcers[i]), 0);
    }
    /* From one replica to the other, as behind a load balancer. */
    for (int turn = 0; count < ANNOUNCERS * ANNOUNCEMENTS && clk_now_ms() < deadline_ms; turn++) {
        char path[80];
        struct answer answer = {0};
        struct err e = {0};

        snprintf(path, sizeof(path), "/watch?since=%lld&wait_ms=500", (long long)since);
        cr_assert(
            client_expect(svc_client(replicas[turn % 2]), 200, "GET", path, NULL, &answer, &e),
            "%s", e.msg);
        count += mark(cJSON_GetObjectItemCaseSensitive(answer.json, "windows"), seen);
        since = (int64_t)cJSON_GetObjectItemCaseSensitive(answer.json, "revision")->valuedouble;
    }
    for (int i = 0; i < ANNOUNCERS; i++) {
        cr_assert_eq(pthread_join(announcers[i].thread, NULL), 0);
        client_free(announcers[i].client);
    }
    cr_assert_eq(count, ANNOUNCERS * ANNOUNCEMENTS);
}

/* ---- many */

#define MANY 2000

static int open_watch(int port)
{
    static const char request[] = "GET /watch?since=1&wait_ms=30000 HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    cr_assert_eq(write(fd, request, sizeof(request) - 1), (ssize_t)sizeof(request) - 1);
    return fd;
}

/* Head and body are small; a first read of the socket has at least the status. */
static bool is_answered(int fd, const char *with)
{
    char text[2048] = "";
    size_t len = 0;
    struct pollfd one_fd = {.fd = fd, .events = POLLIN};

    while (strstr(text, with) == NULL && len < sizeof(text) - 1) {
        if (poll(&one_fd, 1, 20000) <= 0)
            return false;
        ssize_t got = read(fd, text + len, sizeof(text) - 1 - len);
        if (got <= 0)
            return false;
        len += (size_t)got;
        text[len] = '\0';
    }
    return strncmp(text, "HTTP/1.1 200", 12) == 0;
}

static void allow_many_files(void)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(local_watch, two_thousand_watchers_hear_the_same_news)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), NULL);
    static int fds[MANY];

    allow_many_files();
    local_announce(svc_client(l), "a", &(struct announced){.version = 1, .total = 10});
    for (int i = 0; i < MANY; i++)
        fds[i] = open_watch(svc_port(l));
    wait_suspended(l, MANY);
    local_announce(svc_client(l), "a", &(struct announced){.version = 2, .total = 20});
    for (int i = 0; i < MANY; i++) {
        cr_assert(is_answered(fds[i], "\"total\":20"), "watcher %d", i);
        close(fds[i]);
    }
    wait_suspended(l, 0);
}

Test(local_watch, beyond_the_limit_of_watchers_the_answer_is_try_again)
{
    static const char *const env[] = {"LOCAL_WATCHERS_MAX=2", NULL};
    auto_pg_db struct pg_db *db = pg_fresh_db();
    auto_svc struct svc *l = local_start(pg_conninfo_of(db), env);
    const struct call call = {.method = "GET", .path = "/watch?since=0&wait_ms=20000"};
    struct watcher watchers[2];
    struct answer answer = {0};
    struct err e = {0};

    watcher_start(&watchers[0], l, 0, LONG_MS);
    watcher_start(&watchers[1], l, 0, LONG_MS);
    wait_suspended(l, 2);
    cr_assert(client_call(svc_client(l), &call, &answer, &e), "%s", e.msg);
    cr_assert_eq(answer.status, 503);
    cr_assert_geq(answer.reply->retry_after_s, 1);
    /* What they hear of ends their wait. */
    local_announce(svc_client(l), "a", &(struct announced){.version = 1, .total = 10});
    watcher_join(&watchers[0]);
    watcher_join(&watchers[1]);
}

Test(local_watch, a_service_that_stops_answers_its_watchers)
{
    auto_pg_db struct pg_db *db = pg_fresh_db();
    struct svc *l = local_start(pg_conninfo_of(db), NULL);
    struct watcher watcher;

    watcher_start(&watcher, l, 0, LONG_MS);
    wait_suspended(l, 1);
    l = svc_stop(l);
    watcher_join(&watcher);

    cr_assert_eq(watcher.news.status, 200);
    cr_assert_eq(watcher.news.windows, 0);
    cr_assert_lt(watcher.took_ms, EARLY_MS);
}
