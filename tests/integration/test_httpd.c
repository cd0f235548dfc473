/* The HTTP server over real sockets: what is refused, what is answered, what is cut. */

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/io/httpd.h"
#include "tests/harness/proc.h"

#define BODY_MAX 1000
#define PATIENT_MS 120000 /* for a request to come: no halt of the machine cuts one */
#define TIMEOUT_MS 400
#define WAIT_MS 60000
#define LATER_MAX 400

/* ---- the service under test */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    struct httpd_call *calls[LATER_MAX];
    size_t count;
} later = {.mutex = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static struct metrics *metrics;
static struct httpd *server;
static atomic_bool is_ready = true;

static bool hello(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                  struct err *e)
{
    static const char *const names[] = {"name", NULL};

    (void)arg;
    if (!httpd_query_only(req, names, e))
        return false;
    buf_printf(&reply->body, "hello %s, %s%s",
               httpd_query(req, "name") ? httpd_query(req, "name") : "", req->params[0],
               req->traceparent ? req->traceparent : "");
    reply->content_type = "text/plain";
    httpd_reply_header(reply, "ETag", "\"%d\"", 7);
    return true;
}

static bool echo(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                 struct err *e)
{
    (void)arg;
    (void)e;
    buf_add(&reply->body, req->body, req->body_len);
    return true;
}

static bool nothing(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                    struct err *e)
{
    (void)arg;
    (void)req;
    (void)reply;
    (void)e;
    return true;
}

static bool fail(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                 struct err *e)
{
    (void)arg;
    if (strcmp(req->params[0], "internal") == 0)
        return err_set(e, ERR_INTERNAL, "secret table is gone");
    if (strcmp(req->params[0], "unavailable") == 0)
        return err_set(e, ERR_UNAVAILABLE, "no database");
    if (strcmp(req->params[0], "later") == 0) {
        httpd_reply_header(reply, "Retry-After", "%d", 30);
        return err_set(e, ERR_UNAVAILABLE, "no database");
    }
    if (strcmp(req->params[0], "used-up") == 0)
        return err_set(e, ERR_USED_UP, "nothing left");
    return err_at(e, "/items/3/amount", "must be at least 1");
}

static bool keep(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                 struct err *e)
{
    (void)arg;
    (void)reply;
    (void)e;
    pthread_mutex_lock(&later.mutex);
    later.calls[later.count++] = httpd_defer(req);
    pthread_cond_broadcast(&later.more);
    pthread_mutex_unlock(&later.mutex);
    return true;
}

static void *complete_one(void *call)
{
    struct httpd_reply reply = {0};

    buf_str(&reply.body, "{\"raced\":true}");
    httpd_complete(call, &reply, NULL);
    return NULL;
}

/* The completion is surely over before the handler returns. */
static bool race(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                 struct err *e)
{
    pthread_t thread;

    (void)arg;
    (void)e;
    buf_str(&reply->body, "dropped");
    cr_assert(pthread_create(&thread, NULL, complete_one, httpd_defer(req)) == 0);
    pthread_join(thread, NULL);
    return true;
}

static bool large(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                  struct err *e)
{
    (void)arg;
    (void)req;
    (void)e;
    reply->body.max = 10;
    buf_str(&reply->body, "more than ten bytes");
    return true;
}

static const struct httpd_route routes[] = {
    {"GET", "/hello", "hello", 200, hello, false},
    {"GET", "/items/{id}", "get_item", 200, hello, false},
    {"PUT", "/items/{id}", "put_item", 201, echo, true},
    {"DELETE", "/items/{id}", "delete_item", 204, nothing, false},
    {"POST", "/echo", "echo", 200, echo, true},
    {"POST", "/nothing", "nothing", 204, nothing, false},
    {"GET", "/fail/{how}", "fail", 200, fail, false},
    {"POST", "/keep", "keep", 200, keep, true},
    {"POST", "/race", "race", 200, race, true},
    {"GET", "/large", "large", 200, large, false},
};

static bool ready(void *arg, struct buf *out)
{
    (void)arg;
    buf_printf(out, "database: %s\n", atomic_load(&is_ready) ? "ok" : "gone");
    return atomic_load(&is_ready);
}

static void start_with(int64_t request_timeout_ms)
{
    struct err e = {0};

    log_level_set(LOG_ERROR);
    metrics = metrics_new();
    const struct httpd_config config = {
        .settings = {.address = "127.0.0.1",
                     .threads = 2,
                     .connections_max = 1000,
                     .request_timeout_ms = request_timeout_ms},
        .body_max = BODY_MAX,
        .routes = routes,
        .routes_count = sizeof(routes) / sizeof(routes[0]),
        .openapi = "{\"openapi\":\"3.0.3\"}",
        .ready = ready,
        .metrics = metrics,
    };
    cr_assert(httpd_start(&config, &server, &e), "%s", e.msg);
}

static void start(void)
{
    start_with(PATIENT_MS);
}

static void start_impatient(void)
{
    start_with(TIMEOUT_MS);
}

static void stop(void)
{
    server = httpd_stop(server);
    metrics = metrics_free(metrics);
}

TestSuite(httpd, .init = start, .fini = stop);
TestSuite(impatient_httpd, .init = start_impatient, .fini = stop);

/* ---- a client that knows no HTTP but this */

struct answer {
    int status;       /* 0: closed without an answer */
    char text[65536]; /* head and body */
    const char *body;
    bool closed; /* the server closed after it */
};

static int dial(void)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)httpd_port(server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0);
    cr_assert(connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0);
    return fd;
}

/* A server that has already cut us off makes this fail, which the answer then tells. */
static void say_bytes(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

static bool readable(int fd, int64_t until_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = until_ms - clk_now_ms();

    return poll(&p, 1, left > 0 ? (int)left : 0) > 0;
}

/* One byte at a time: what follows an answer belongs to the next. */
static bool hear_byte(int fd, struct answer *a, size_t *len, int64_t until_ms)
{
    cr_assert(*len < sizeof(a->text) - 1, "an answer longer than expected");
    cr_assert(readable(fd, until_ms), "no answer in time after: %s", a->text);
    if (recv(fd, a->text + *len, 1, 0) != 1)
        return false;
    a->text[++*len] = '\0';
    return true;
}

static const char *find_header(const struct answer *a, const char *name)
{
    for (const char *line = strstr(a->text, "\r\n"); line && line[2] != '\r';
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, strlen(name)) == 0 && line[2 + strlen(name)] == ':')
            return line + 2 + strlen(name) + 2;
    return NULL;
}

static bool header_is(const struct answer *a, const char *name, const char *value)
{
    const char *got = find_header(a, name);

    return got && strncmp(got, value, strlen(value)) == 0 && got[strlen(value)] == '\r';
}

static size_t body_length(const struct answer *a)
{
    const char *length = find_header(a, "Content-Length");

    return length ? (size_t)strtol(length, NULL, 10) : 0;
}

static struct answer *hear(int fd)
{
    static struct answer a;
    const int64_t until_ms = clk_now_ms() + WAIT_MS;
    size_t len = 0;

    a = (struct answer){0};
    while (!strstr(a.text, "\r\n\r\n"))
        if (!hear_byte(fd, &a, &len, until_ms)) {
            a.closed = true;
            return &a;
        }
    cr_assert(sscanf(a.text, "HTTP/1.%*d %d", &a.status) == 1);
    const size_t head = len;
    while (len < head + body_length(&a) && hear_byte(fd, &a, &len, until_ms))
        continue;
    a.body = a.text + head;
    a.closed = header_is(&a, "Connection", "close");
    return &a;
}

static bool is_closed(int fd)
{
    char c;

    return readable(fd, clk_now_ms() + WAIT_MS) && recv(fd, &c, 1, 0) <= 0;
}

/* One request on a connection of its own. */
static struct answer *ask(const char *request)
{
    int fd = dial();

    say(fd, request);
    struct answer *a = hear(fd);
    if (a->closed)
        cr_assert(is_closed(fd), "announced but not closed: %s", request);
    close(fd);
    return a;
}

#define HOST "Host: a\r\n"
#define JSON "Content-Type: application/json\r\n"

static struct answer *get(const char *target)
{
    char request[2000];

    (void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST "\r\n", target);
    return ask(request);
}

static struct answer *post(const char *target, const char *body)
{
    char request[8000];

    (void)snprintf(request, sizeof(request),
                   "POST %s HTTP/1.1\r\n" HOST JSON "Content-Length: %zu\r\n\r\n%s", target,
                   strlen(body), body);
    return ask(request);
}

static int64_t metric_in(const struct answer *a, const char *name)
{
    const char *line = strstr(a->body, name);

    return line ? strtol(line + strlen(name), NULL, 10) : 0;
}

static int64_t metric_in_text(const char *name)
{
    return metric_in(get("/metrics"), name);
}

/* ---- the filter */

Test(httpd, what_the_filter_refuses_is_400_and_closed)
{
    static const char *const requests[] = {
        "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        "GET /hello HTTP/1.1\r\n" HOST "Host: b\r\n\r\n",
        "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\r\n" HOST "Authorization: a\r\nAuthorization: b\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST JSON
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: identity\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST JSON "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.0\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /hello HTTP/1.1\r\n" HOST "X Y: 1\r\n\r\n",
        "GET /hello HTTP/1.1\r\n" HOST "X\tY: 1\r\n\r\n",
        "GET /hello HTTP/1.1\r\n" HOST "X: a\x01z\r\n\r\n",
        "GET /hello HTTP/1.1\r\n" HOST "X: a\x7fz\r\n\r\n",
        "GET http://a/hello HTTP/1.1\r\n" HOST "\r\n",
        "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
        "GET hello HTTP/1.1\r\n" HOST "\r\n",
        "GET /hello%00 HTTP/1.1\r\n" HOST "\r\n",
        "GET /x%2fhello HTTP/1.1\r\n" HOST "\r\n",
        "GET /x/%2e%2e/hello HTTP/1.1\r\n" HOST "\r\n",
        "GET /x/../hello HTTP/1.1\r\n" HOST "\r\n",
        "GET /hello%0d%0aX:%201 HTTP/1.1\r\n" HOST "\r\n",
        "GET /hello?name=%00 HTTP/1.1\r\n" HOST "\r\n",
        "GET /hello%zz HTTP/1.1\r\n" HOST "\r\n",
        "get /hello HTTP/1.1\r\n" HOST "\r\n",
        "BREW /hello HTTP/1.1\r\n" HOST "\r\n",
        "GET /hello HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}",
        "GET /hello HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "DELETE /items/1 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}",
        "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\nExpect: cake\r\n\r\n{}",
    };

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        const struct answer *a = ask(requests[i]);
        cr_expect(a->status == 400 && a->closed, "%d %d for %s", a->status, a->closed, requests[i]);
        cr_expect(header_is(a, "Content-Type", "application/problem+json"), "%s", requests[i]);
        cr_expect(find_header(a, "X-Request-Id") != NULL);
    }
    cr_assert(metric_in_text("volumecap_http_refused_total{reason=\"escape\"} ") == 6);
    cr_assert(metric_in_text("volumecap_http_refused_total{reason=\"two-lengths\"} ") == 1);
}

/* Some of these libmicrohttpd answers on its own; what matters is that none is served. */
Test(httpd, what_is_hardly_http_is_never_served)
{
    static const char *const requests[] = {
        "GET /hello HTTP/1.2\r\n" HOST "\r\n",
        "GET /hello HTTP/2.0\r\n" HOST "\r\n",
        "GET /hello HTTP/0.9\r\n" HOST "\r\n",
        "GET /hello\r\n\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        const struct answer *a = ask(requests[i]);
        cr_expect(a->status == 0 || a->status >= 400, "%d for %s", a->status, requests[i]);
        cr_expect(a->closed, "%d and open after %s", a->status, requests[i]);
    }
}

/* libmicrohttpd refuses these before we see them, with its head sent twice; then it closes. */
Test(httpd, a_length_that_is_not_a_number_is_400_and_closed)
{
    static const char *const lengths[] = {"-2", "2, 2", "0x2", "2x", "99999999999999999999"};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        int fd = dial();
        char c;
        say(fd, "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: ");
        say(fd, lengths[i]);
        say(fd, "\r\n\r\n{}");
        const struct answer *a = hear(fd);
        cr_expect(a->status == 400 || a->status == 413, "%d for %s", a->status, lengths[i]);
        while (readable(fd, clk_now_ms() + WAIT_MS) && recv(fd, &c, 1, 0) == 1)
            continue;
        cr_expect(is_closed(fd), "open after %s", lengths[i]);
        close(fd);
    }
}

Test(httpd, a_request_smuggled_behind_a_refused_one_is_not_served)
{
    int fd = dial();

    say(fd, "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 4\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    cr_assert(hear(fd)->status == 400);
    cr_assert(is_closed(fd));
    close(fd);
}

Test(httpd, a_head_larger_than_the_connections_memory_is_not_served)
{
    static char request[40000] = "GET /hello HTTP/1.1\r\n" HOST "X: ";

    memset(request + strlen(request), 'x', 30000);
    const struct answer *a = ask(request);
    cr_assert(a->status == 0 || (a->status >= 400 && a->status < 500), "%d", a->status);
}

/* ---- routing */

Test(httpd, the_route_gets_its_parameters_decoded)
{
    const struct answer *a = get("/items/a%20b?name=c%2Bd");

    cr_assert(a->status == 200, "%s", a->text);
    cr_assert_str_eq(a->body, "hello c+d, a b");
    cr_assert(header_is(a, "Content-Type", "text/plain"));
    cr_assert(header_is(a, "ETag", "\"7\""));
    cr_assert_not(a->closed);
}

Test(httpd, an_unknown_path_is_404)
{
    const struct answer *a = get("/nowhere");

    cr_assert(a->status == 404);
    cr_assert(header_is(a, "Content-Type", "application/problem+json"));
    cr_assert(strstr(a->body, "\"type\":\"urn:volumecap:problem:not-found\""), "%s", a->body);
    cr_assert(strstr(a->body, "\"status\":404"), "%s", a->body);
}

Test(httpd, another_method_is_405_with_allow)
{
    cr_assert(
        header_is(ask("POST /items/1 HTTP/1.1\r\n" HOST "\r\n"), "Allow", "GET, PUT, DELETE"));
    cr_assert(ask("PATCH /hello HTTP/1.1\r\n" HOST "\r\n")->status == 405);
    cr_assert(ask("HEAD /livez HTTP/1.0\r\n" HOST "\r\n")->status == 405);
    cr_assert(ask("DELETE /metrics HTTP/1.1\r\n" HOST "\r\n")->status == 405);
}

Test(httpd, query_parameters_are_given_once_and_known)
{
    cr_assert(get("/hello?name=a&name=a")->status == 400);
    const struct answer *a = get("/hello?nam=\"b\"");
    cr_assert(a->status == 400);
    cr_assert(strstr(a->body, "nam"), "%s", a->body);
}

/* ---- bodies */

Test(httpd, a_body_arrives_whole_by_length_and_by_chunks)
{
    const struct answer *a = post("/echo", "{\"a\":1}");
    cr_assert(a->status == 200, "%s", a->text);
    cr_assert_str_eq(a->body, "{\"a\":1}");
    cr_assert(header_is(a, "Content-Type", "application/json"));

    a = ask("PUT /items/1 HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n"
            "3\r\n{\"a\r\n4;x=y\r\n\":2}\r\n0\r\nTrailer: x\r\n\r\n");
    cr_assert(a->status == 201, "%s", a->text);
    cr_assert_str_eq(a->body, "{\"a\":2}");
}

Test(httpd, a_body_of_the_maximum_passes_and_one_byte_more_is_413)
{
    char body[BODY_MAX + 2] = "";

    memset(body, 'x', BODY_MAX);
    cr_assert(post("/echo", body)->status == 200);
    body[BODY_MAX] = 'x';
    cr_assert(post("/echo", body)->status == 413);
}

Test(httpd, a_chunked_body_beyond_the_maximum_is_413)
{
    static char request[8000] =
        "POST /echo HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n7d0\r\n";

    memset(request + strlen(request), 'x', 0x7d0);
    strcat(request, "\r\n0\r\n\r\n");
    const struct answer *a = ask(request);
    cr_assert(a->status == 413, "%s", a->text);
    cr_assert_not(a->closed, "the rest was read, so the connection is still good");
}

Test(httpd, a_body_announced_as_huge_is_413_at_once)
{
    const struct answer *a =
        ask("POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 99999999999\r\n\r\n{");

    cr_assert(a->status == 413, "%s", a->text);
    cr_assert(a->closed);
}

Test(httpd, a_client_that_waits_to_continue_is_told_to_or_refused)
{
    int fd = dial();
    say(fd,
        "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    cr_assert(hear(fd)->status == 100);
    say(fd, "{}");
    cr_assert(hear(fd)->status == 200);
    close(fd);

    const struct answer *a = ask("POST /echo HTTP/1.1\r\n" HOST JSON
                                 "Content-Length: 2000\r\nExpect: 100-continue\r\n\r\n");
    cr_assert(a->status == 413 && a->closed, "%s", a->text);
}

Test(httpd, only_json_is_understood)
{
    cr_assert(ask("POST /echo HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\n"
                  "Content-Length: 2\r\n\r\n{}")
                  ->status == 415);
    cr_assert(ask("POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/jsonx\r\n"
                  "Content-Length: 2\r\n\r\n{}")
                  ->status == 415);
    cr_assert(ask("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}")->status == 415);
    cr_assert(ask("POST /echo HTTP/1.1\r\n" HOST
                  "Content-Type: Application/JSON ; charset=utf-8\r\n"
                  "Content-Length: 2\r\n\r\n{}")
                  ->status == 200);
}

Test(httpd, a_missing_body_and_an_uncalled_for_one_are_400)
{
    cr_assert(post("/echo", "")->status == 400);
    cr_assert(ask("POST /echo HTTP/1.1\r\n" HOST JSON "\r\n")->status == 400);
    cr_assert(ask("POST /echo HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
                  ->status == 400);
    cr_assert(post("/nothing", "{}")->status == 400);
    cr_assert(ask("POST /nothing HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n")->status == 204);
}

/* ---- answers */

Test(httpd, an_answer_without_a_body_has_no_type)
{
    const struct answer *a = ask("DELETE /items/1 HTTP/1.1\r\n" HOST "\r\n");

    cr_assert(a->status == 204);
    cr_assert_null(find_header(a, "Content-Type"));
    cr_assert_str_eq(a->body, "");
}

Test(httpd, a_wrong_member_is_named_by_its_pointer)
{
    const struct answer *a = get("/fail/member");

    cr_assert(a->status == 400);
    cr_assert(strstr(a->body, "\"errors\":[{\"pointer\":\"/items/3/amount\","
                              "\"detail\":\"must be at least 1\"}]"),
              "%s", a->body);
}

Test(httpd, what_broke_inside_stays_inside)
{
    const struct answer *a = get("/fail/internal");
    cr_assert(a->status == 500);
    cr_assert_null(strstr(a->body, "secret"), "%s", a->body);

    a = get("/large");
    cr_assert(a->status == 500, "an answer that does not fit is not sent in part");
    cr_assert_null(strstr(a->body, "more"), "%s", a->body);
}

/* What is written to stderr until there is a line with `last` in it. */
static void read_log_until(int fd, const char *last, char *ret, size_t size)
{
    int64_t deadline_ms = clk_now_ms() + WAIT_MS;
    ssize_t len = 0;

    do {
        len = pread(fd, ret, size - 1, 0);
        cr_assert(len >= 0 && clk_now_ms() < deadline_ms);
        ret[len] = '\0';
    } while (!strstr(ret, last));
}

/* A flood of refusals must not become a flood of lines. */
Test(httpd, a_failure_is_logged_and_a_refusal_for_now_is_not)
{
    char text[4096];
    FILE *file = tmpfile();
    int stderr_before = dup(STDERR_FILENO);

    cr_assert(file != NULL && stderr_before >= 0);
    cr_assert(dup2(fileno(file), STDERR_FILENO) >= 0);
    log_level_set(LOG_INFO);
    (void)get("/fail/unavailable");
    (void)get("/fail/internal");
    read_log_until(fileno(file), "status=500", text, sizeof(text));
    log_level_set(LOG_ERROR);
    cr_assert(dup2(stderr_before, STDERR_FILENO) >= 0);
    cr_expect_null(strstr(text, "status=503"), "%s", text);
    close(stderr_before);
    (void)fclose(file);
}

Test(httpd, every_503_says_when_to_come_back)
{
    const struct answer *a = get("/fail/unavailable");
    cr_assert(a->status == 503);
    cr_assert(header_is(a, "Retry-After", "1"));
    cr_assert(strstr(a->body, "no database"), "%s", a->body);
    cr_assert(header_is(get("/fail/later"), "Retry-After", "30"));
}

Test(httpd, a_cap_that_is_used_up_has_the_registered_type)
{
    const struct answer *a = get("/fail/used-up");

    cr_assert(a->status == 429);
    cr_assert(strstr(a->body, "\"type\":\"https://iana.org/assignments/"
                              "http-problem-types#quota-exceeded\""),
              "%s", a->body);
}

Test(httpd, request_ids_and_traces_pass_through)
{
    const struct answer *a =
        ask("GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: mine-1\r\n"
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
    cr_assert(header_is(a, "X-Request-Id", "mine-1"));
    cr_assert(strstr(a->body, "b7ad6b7169203331"));

    a = ask("GET /nowhere HTTP/1.1\r\n" HOST "X-Request-Id: a b\r\ntraceparent: x\r\n\r\n");
    const char *made = find_header(a, "X-Request-Id");
    cr_assert(made && strspn(made, "0123456789abcdef") == 16, "%s", a->text);
    cr_assert(strstr(a->body, "\"request_id\":\""));
}

/* ---- connections */

Test(httpd, a_connection_serves_many_requests_also_pipelined)
{
    int fd = dial();

    for (int i = 0; i < 3; i++) {
        say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        cr_assert(hear(fd)->status == 200);
    }
    say(fd, "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 1\r\n\r\n1"
            "GET /nowhere HTTP/1.1\r\n" HOST "\r\n"
            "POST /race HTTP/1.1\r\n" HOST JSON "Content-Length: 1\r\n\r\n2"
            "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 1\r\n\r\n3");
    cr_assert_str_eq(hear(fd)->body, "1");
    cr_assert(hear(fd)->status == 404);
    cr_assert_str_eq(hear(fd)->body, "{\"raced\":true}");
    cr_assert_str_eq(hear(fd)->body, "3");
    close(fd);
}

#define TRIES 50
#define SLOW_BYTES 900 /* one each 20 ms, less than was announced */

/* A connection that has served a request, which a machine that halts makes too slow at times. */
static int dial_and_ask(void)
{
    for (int i = 0; i < TRIES; i++) {
        int fd = dial();

        say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        if (hear(fd)->status == 200)
            return fd;
        close(fd);
    }
    cr_assert_fail("no request comes in time");
    return -1;
}

static bool has_reaped_two(void *arg)
{
    const struct answer *a;
    int fd = dial_and_ask();

    (void)arg;
    say(fd, "GET /metrics HTTP/1.1\r\n" HOST "\r\n");
    a = hear(fd);
    close(fd);
    return a->status == 200 && metric_in(a, "\nvolumecap_http_reaped_total ") >= 2;
}

Test(impatient_httpd, a_slow_sender_is_cut_and_an_idle_connection_is_not)
{
    int idle = dial_and_ask(), second = dial_and_ask();
    const int64_t begun_ms = clk_now_ms();
    int slow = dial(), silent = dial();

    say(second, "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 10\r\n\r\n");
    for (int i = 0; !readable(slow, clk_now_ms() + 20) && i < SLOW_BYTES; i++) {
        say(slow, "G");
        say(second, "x");
    }
    cr_assert(is_closed(slow));
    cr_assert(clk_now_ms() - begun_ms >= TIMEOUT_MS);
    cr_assert(is_closed(silent), "whoever says nothing at all is cut as well");
    say(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    cr_assert(hear(idle)->status == 200);
    cr_assert(harness_await(has_reaped_two, NULL, WAIT_MS));
    close(slow);
    close(idle);
    close(silent);
    close(second);
}

Test(impatient_httpd, a_slow_body_is_cut_on_a_connection_that_has_served_before)
{
    int fd = dial_and_ask();

    say(fd, "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 1000\r\n\r\n");
    for (int i = 0; !readable(fd, clk_now_ms() + 20) && i < SLOW_BYTES; i++)
        say(fd, "x");
    cr_assert(hear(fd)->status == 0, "closed without an answer");
    close(fd);
}

/* ---- answering later */

#define KEEP "POST /keep HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\n\r\n{}"

static void wait_for_kept(size_t count)
{
    pthread_mutex_lock(&later.mutex);
    while (later.count < count)
        pthread_cond_wait(&later.more, &later.mutex);
    pthread_mutex_unlock(&later.mutex);
}

Test(httpd, three_hundred_suspended_requests_are_all_answered)
{
    static int fds[300];

    for (int i = 0; i < 300; i++) {
        fds[i] = dial();
        say(fds[i], KEEP);
    }
    wait_for_kept(300);
    cr_assert(get("/hello")->status == 200, "others are served meanwhile");
    for (size_t i = 0; i < 300; i++)
        (void)complete_one(later.calls[i]);
    for (int i = 0; i < 300; i++) {
        cr_assert_str_eq(hear(fds[i])->body, "{\"raced\":true}");
        close(fds[i]);
    }
}

Test(impatient_httpd, a_suspended_request_outlives_the_senders_deadline)
{
    int kept = dial_and_ask();

    say(kept, KEEP);
    wait_for_kept(1);
    int silent = dial();
    cr_assert(is_closed(silent), "the deadline has passed");
    (void)complete_one(later.calls[0]);
    cr_assert(hear(kept)->status == 200);
    say(kept, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    cr_assert(hear(kept)->status == 200, "and the connection goes on");
    close(kept);
    close(silent);
}

Test(httpd, a_deferred_request_may_end_in_an_error_with_headers)
{
    int fd = dial();
    struct err e = {0};
    struct httpd_reply reply = {0};

    say(fd, KEEP);
    wait_for_kept(1);
    (void)err_set(&e, ERR_UNAVAILABLE, "the store is slow");
    httpd_reply_header(&reply, "Retry-After", "%d", 5);
    buf_str(&reply.body, "not to be seen");
    httpd_complete(later.calls[0], &reply, &e);
    const struct answer *a = hear(fd);
    cr_assert(a->status == 503);
    cr_assert(header_is(a, "Retry-After", "5"));
    cr_assert_null(strstr(a->body, "not to be seen"));
    close(fd);
}

/* The leak check of a sanitizer build sees whether the calls were freed. */
Test(httpd, a_deferred_request_whose_client_left_is_freed)
{
    for (int i = 0; i < 20; i++) {
        int fd = dial();
        say(fd, KEEP);
        wait_for_kept((size_t)i + 1);
        close(fd);
    }
    for (size_t i = 0; i < 20; i++)
        (void)complete_one(later.calls[i]);
    cr_assert(get("/hello")->status == 200);
}

Test(httpd, an_answer_completed_just_before_the_stop_still_leaves)
{
    int fd = dial();

    say(fd, KEEP);
    wait_for_kept(1);
    (void)complete_one(later.calls[0]);
    server = httpd_stop(server);
    cr_assert(hear(fd)->status == 200);
    close(fd);
}

static void *hammer_race(void *arg)
{
    const int fd = *(const int *)arg;
    char answer[1000];

    for (int i = 0; i < 500; i++) {
        size_t len = 0;
        say(fd, "POST /race HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\n\r\n{}");
        for (answer[0] = '\0'; !strstr(answer, "raced"); answer[len] = '\0') {
            ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
            if (n <= 0)
                return NULL;
            len += (size_t)n;
        }
    }
    return arg;
}

Test(httpd, completions_may_come_before_the_handler_returns)
{
    pthread_t threads[4];
    int fds[4];

    for (int i = 0; i < 4; i++) {
        fds[i] = dial();
        cr_assert(pthread_create(&threads[i], NULL, hammer_race, &fds[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        void *ok = NULL;
        pthread_join(threads[i], &ok);
        cr_assert_not_null(ok);
        close(fds[i]);
    }
}

/* ---- what every service has */

Test(httpd, readiness_follows_the_service_and_says_why)
{
    cr_assert(get("/livez")->status == 200);
    const struct answer *a = get("/readyz");
    cr_assert(a->status == 200);
    cr_assert_str_eq(a->body, "ok\n");

    atomic_store(&is_ready, false);
    a = get("/readyz?verbose");
    cr_assert(a->status == 503);
    cr_assert(strstr(a->body, "database: gone\n"), "%s", a->body);
    cr_assert(header_is(a, "Retry-After", "1"));
    cr_assert(get("/livez")->status == 200, "not ready is not dead");
}

Test(httpd, the_document_is_served)
{
    const struct answer *a = get("/openapi.json");

    cr_assert(a->status == 200);
    cr_assert(header_is(a, "Content-Type", "application/json"));
    cr_assert_str_eq(a->body, "{\"openapi\":\"3.0.3\"}");
}

Test(httpd, draining_is_not_ready_and_closes_after_each_answer)
{
    int fd = dial();

    say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    cr_assert_not(hear(fd)->closed);
    httpd_drain(server);
    say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    const struct answer *a = hear(fd);
    cr_assert(a->status == 200 && a->closed);
    cr_assert(is_closed(fd));
    close(fd);
    a = get("/readyz?verbose");
    cr_assert(a->status == 503);
    cr_assert(strstr(a->body, "drain"), "%s", a->body);
}

Test(httpd, requests_are_counted_by_operation_and_status)
{
    cr_assert(get("/hello")->status == 200);
    cr_assert(get("/items/1")->status == 200);
    cr_assert(get("/items/2")->status == 200);
    cr_assert(get("/nowhere")->status == 404);

    cr_assert(metric_in_text("requests_total{operation=\"get_item\",status=\"200\"} ") == 2);
    cr_assert(metric_in_text("requests_total{operation=\"none\",status=\"404\"} ") == 1);
    cr_assert(metric_in_text("duration_seconds_count{operation=\"hello\",status=\"200\"} ") == 1);
    cr_assert(metric_in_text("\nvolumecap_http_connections ") >= 1);
}

Test(httpd, the_metrics_are_clean_for_promtool)
{
    cr_assert(system("command -v promtool > /dev/null") == 0, "promtool is not installed");
    (void)get("/hello");
    (void)get("/hello%00");
    const struct answer *a = get("/metrics");
    cr_assert(header_is(a, "Content-Type", "text/plain; version=0.0.4; charset=utf-8"));
    FILE *promtool = popen("promtool check metrics", "w");
    cr_assert_not_null(promtool);
    cr_assert(fputs(a->body, promtool) >= 0);
    cr_assert(pclose(promtool) == 0);
}

Test(httpd, a_port_that_is_taken_is_a_clear_error)
{
    struct metrics *other = metrics_new();
    const struct httpd_config config = {
        .settings = {.address = "127.0.0.1",
                     .port = httpd_port(server),
                     .threads = 1,
                     .connections_max = 10,
                     .request_timeout_ms = 1000},
        .body_max = 10,
        .metrics = other,
    };
    struct httpd *second = NULL;
    struct err e = {0};

    cr_assert_not(httpd_start(&config, &second, &e));
    cr_assert(e.kind == ERR_UNAVAILABLE);
    cr_assert(strstr(e.msg, "in use"), "%s", e.msg);
    (void)metrics_free(other);
}
