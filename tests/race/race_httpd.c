/*
 * Calls are deferred by the server's workers and completed by other threads,
 * while clients ask, hang up and look at the metrics: each client gets the
 * answer to its own question, and every call is counted once.
 */

#include <arpa/inet.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/io/httpc.h"
#include "common/io/httpd.h"
#include "tests/race/race.h"

#define CLIENTS 3
#define WAITING 64
#define TIMEOUT_MS 20000

struct waiting_call {
    struct httpd_call *call;
    char number[HTTPD_PARAM_SIZE];
};

struct world {
    pthread_mutex_t mutex;
    struct waiting_call waiting[WAITING]; /* guarded by mutex */
    size_t count;                         /* guarded by mutex */
    bool closing;                         /* guarded by mutex: nothing is deferred any more */
    struct metrics *registry;
    struct httpd *server;
    struct httpc *clients[CLIENTS + 1]; /* each its thread's; the last is the scraper's */
    _Atomic int64_t answered, refused;
};

/* ---- the server */

/* Numbers of two digits are refused. */
static bool answer(const char *number, struct httpd_reply *reply, struct err *e)
{
    buf_printf(&reply->body, "number %s", number);
    return strlen(number) != 2 || err_set(e, ERR_UNAVAILABLE, "number %s", number);
}

static void complete(const struct waiting_call *w)
{
    struct httpd_reply reply = {0};
    struct err e = {0};

    if (answer(w->number, &reply, &e))
        httpd_complete(w->call, &reply, NULL);
    else
        httpd_complete(w->call, NULL, &e);
    buf_done(&reply.body);
}

static bool get_number(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                       struct err *e)
{
    struct world *w = arg;

    pthread_mutex_lock(&w->mutex);
    const bool later = w->count < WAITING && !w->closing;
    if (later) {
        struct waiting_call *waiting = &w->waiting[w->count++];
        memcpy(waiting->number, req->params[0], sizeof(waiting->number));
        waiting->call = httpd_defer(req);
    }
    pthread_mutex_unlock(&w->mutex);
    return later || answer(req->params[0], reply, e);
}

static bool take(struct world *w, struct waiting_call *ret)
{
    pthread_mutex_lock(&w->mutex);
    const bool any = w->count > 0;
    if (any)
        *ret = w->waiting[--w->count];
    pthread_mutex_unlock(&w->mutex);
    return any;
}

static void completer(struct race_thread *t)
{
    struct waiting_call w;

    if (take(t->arg, &w))
        complete(&w);
    else
        (void)usleep(100);
}

/* ---- its clients */

static void get(struct httpc *c, const struct world *w, const char *path, struct httpc_reply *ret)
{
    char url[96];
    const struct httpc_request req = {.method = "GET", .url = url, .timeout_ms = TIMEOUT_MS};
    struct err e = {0};

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", (int)httpd_port(w->server), path);
    CHECK(httpc_call(c, &req, ret, &e));
}

static void client(struct race_thread *t)
{
    struct world *w = t->arg;
    struct httpc_reply reply = {0};
    char path[48], expected[48];
    const long long number = (long long)prng_below(&t->prng, 200);

    (void)snprintf(path, sizeof(path), "/numbers/%lld", number);
    (void)snprintf(expected, sizeof(expected), "number %lld", number);
    get(w->clients[t->index], w, path, &reply);
    CHECK(strstr(buf_text(&reply.body), expected));
    CHECK(reply.status == (number > 9 && number < 100 ? 503 : 200));
    atomic_fetch_add(reply.status == 200 ? &w->answered : &w->refused, 1);
    buf_done(&reply.body);
}

/* Asks and is gone, mostly before the answer. */
static void leaver(struct race_thread *t)
{
    static const char request[] = "GET /numbers/5 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const struct world *w = t->arg;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                        .sin_port = htons((uint16_t)httpd_port(w->server))};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        (void)send(fd, request, (size_t)prng_below(&t->prng, sizeof(request)), MSG_NOSIGNAL);
    (void)close(fd);
}

static void scraper(struct race_thread *t)
{
    const struct world *w = t->arg;
    struct httpc_reply reply = {0};

    get(w->clients[CLIENTS], w, "/metrics", &reply);
    CHECK(reply.status == 200);
    buf_done(&reply.body);
}

/* ---- the race */

static const struct httpd_route routes[] = {
    {"GET", "/numbers/{n}", "get_number", 200, get_number, false},
};

static void start(struct world *w)
{
    const struct httpd_config config = {.settings = {.address = "127.0.0.1",
                                                     .threads = 2,
                                                     .connections_max = 200,
                                                     .request_timeout_ms = TIMEOUT_MS},
                                        .body_max = 1000,
                                        .routes = routes,
                                        .routes_count = 1,
                                        .openapi = "{}",
                                        .arg = w,
                                        .metrics = w->registry};
    struct err e = {0};

    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    CHECK(httpd_start(&config, &w->server, &e));
    httpc_global_init();
    for (int i = 0; i <= CLIENTS; i++)
        CHECK(httpc_new(1 << 20, &w->clients[i], &e));
}

/* Those who left may still have calls on the way in. */
static void stop(struct world *w)
{
    struct waiting_call left;

    for (int i = 0; i <= CLIENTS; i++)
        httpc_free(w->clients[i]);
    pthread_mutex_lock(&w->mutex);
    w->closing = true;
    pthread_mutex_unlock(&w->mutex);
    while (take(w, &left))
        complete(&left);
    httpd_stop(w->server);
    pthread_mutex_destroy(&w->mutex);
}

static int64_t metric(const struct world *w, const char *series)
{
    auto_buf struct buf out = BUF_INIT(0);
    int64_t value = 0;

    metrics_write(w->registry, &out);
    const char *at = strstr(buf_text(&out), series);
    CHECK(at && sscanf(at + strlen(series), " %" SCNd64, &value) == 1);
    return value;
}

/* Of those who left, some stayed long enough to be counted. */
static void check_accounts(const struct world *w)
{
    const int64_t answered = atomic_load(&w->answered), refused = atomic_load(&w->refused);

    CHECK(answered > 0 && refused > 0);
    CHECK(metric(w, "requests_total{operation=\"get_number\",status=\"200\"}") >= answered);
    CHECK(metric(w, "requests_total{operation=\"get_number\",status=\"503\"}") == refused);
    CHECK(metric(w, "\nvolumecap_http_connections") == 0);
}

int main(void)
{
    struct world w = {.registry = metrics_new()};

    CHECK(w.registry);
    log_level_set(LOG_ERROR); /* each refusal is a warning */
    start(&w);
    RACE_RUN({client, CLIENTS, &w, false}, {completer, 2, &w, true}, {leaver, 1, &w, false},
             {scraper, 1, &w, false});
    stop(&w);
    check_accounts(&w);
    metrics_free(w.registry);
    return 0;
}
