/*
 * Calls that hang, or are answered, are cancelled by another thread at any
 * moment of theirs: they end soon, the later ones at once.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/num.h"
#include "common/io/httpc.h"
#include "common/io/httpd.h"
#include "tests/race/race.h"

#define CALLERS 4
#define TIMEOUT_MS 60000
#define SOON_MS 20000 /* for a crowded machine; still far from the timeout */

struct world {
    struct metrics *registry;
    struct httpd *server;
    pthread_mutex_t mutex;
    struct httpd_call *hanging[CALLERS]; /* guarded by mutex; by caller, NULL: none */
    int64_t newest[CALLERS];             /* guarded by mutex: the round of that call */
    bool closing;                        /* guarded by mutex */
    _Atomic int64_t answered, cancelled;
};

/* ---- a server that answers one caller's question when he asks the next one */

static void release(struct httpd_call *call)
{
    struct httpd_reply reply = {0};

    if (call)
        httpd_complete(call, &reply, NULL);
}

static bool hang(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                 struct err *e)
{
    struct world *w = arg;
    const int caller = req->params[0][0] - '0';
    struct httpd_call *before = NULL;
    int64_t round = 0;

    (void)reply;
    CHECK(caller >= 0 && caller < CALLERS);
    CHECK(num_parse_i64(req->params[1], 1, INT64_MAX, &round, e));
    pthread_mutex_lock(&w->mutex);
    /* A call that was cancelled may arrive after the caller's next one. */
    if (!w->closing && round > w->newest[caller]) {
        before = TAKE(w->hanging[caller]);
        w->hanging[caller] = httpd_defer(req);
        w->newest[caller] = round;
    }
    pthread_mutex_unlock(&w->mutex);
    release(before);
    return true;
}

static bool answer(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                   struct err *e)
{
    (void)arg;
    (void)e;
    buf_str(&reply->body, req->params[0]);
    return true;
}

static const struct httpd_route routes[] = {
    {"GET", "/hang/{caller}/{round}", "hang", 204, hang, false},
    {"GET", "/answer/{caller}/{round}", "answer", 200, answer, false},
};

/* ---- callers, each with somebody who cancels */

struct cancelling {
    struct httpc *client;
    unsigned after_us;
};

static void *cancel(void *arg)
{
    const struct cancelling *c = arg;

    (void)usleep(c->after_us);
    httpc_cancel(c->client);
    return NULL;
}

static bool call(const struct world *w, struct httpc *c, const char *what, int caller,
                 int64_t round)
{
    char url[96];
    const struct httpc_request req = {.method = "GET", .url = url, .timeout_ms = TIMEOUT_MS};
    struct httpc_reply reply = {0};
    struct err e = {0};

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/%s/%d/%lld", (int)httpd_port(w->server),
                   what, caller, (long long)round);
    const bool answered = httpc_call(c, &req, &reply, &e);
    CHECK(!answered || reply.status == 200);
    CHECK(answered || e.kind == ERR_UNAVAILABLE || e.kind == ERR_TIMEOUT);
    buf_done(&reply.body);
    return answered;
}

/* Some calls before the one that hangs: cancelling may meet any of them. */
static void caller(struct race_thread *t)
{
    struct world *w = t->arg;
    struct cancelling c = {.after_us = (unsigned)prng_below(&t->prng, 5000)};
    int64_t quick = prng_below(&t->prng, 6);
    pthread_t thread;
    struct err e = {0};

    CHECK(httpc_new(1000, &c.client, &e));
    const int64_t begun_ms = clk_now_ms(), round = clk_now_ns();
    CHECK(pthread_create(&thread, NULL, cancel, &c) == 0);
    while (quick-- > 0 && call(w, c.client, "answer", t->index, round))
        atomic_fetch_add(&w->answered, 1);
    CHECK(!call(w, c.client, "hang", t->index, round));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(!call(w, c.client, "answer", t->index, round));
    CHECK(clk_now_ms() - begun_ms < SOON_MS);
    atomic_fetch_add(&w->cancelled, 1);
    httpc_free(c.client);
}

/* ---- the race */

static void start(struct world *w)
{
    const struct httpd_config config = {.settings = {.address = "127.0.0.1",
                                                     .threads = 2,
                                                     .connections_max = 200,
                                                     .request_timeout_ms = TIMEOUT_MS},
                                        .body_max = 1000,
                                        .routes = routes,
                                        .routes_count = sizeof(routes) / sizeof(routes[0]),
                                        .openapi = "{}",
                                        .arg = w,
                                        .metrics = w->registry};
    struct err e = {0};

    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    CHECK(httpd_start(&config, &w->server, &e));
    httpc_global_init();
}

/* Whatever is still on its way in is not deferred any more. */
static void stop(struct world *w)
{
    pthread_mutex_lock(&w->mutex);
    w->closing = true;
    for (int i = 0; i < CALLERS; i++)
        release(TAKE(w->hanging[i]));
    pthread_mutex_unlock(&w->mutex);
    httpd_stop(w->server);
    pthread_mutex_destroy(&w->mutex);
    metrics_free(w->registry);
}

int main(void)
{
    struct world w = {.registry = metrics_new()};

    CHECK(w.registry);
    start(&w);
    RACE_RUN({caller, CALLERS, &w, false});
    stop(&w);
    CHECK(atomic_load(&w.cancelled) >= CALLERS && atomic_load(&w.answered) > 0);
    return 0;
}
