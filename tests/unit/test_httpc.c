#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/httpc.h"

#define PATIENCE_MS 60000
#define TIMEOUT_MS 2000 /* in vain; long enough to send a request on a busy machine */

/* Gives the same answer to every request, or none at all and holds the connection. */
struct server {
    const char *answer; /* NULL: none */
    int listener;
    char url[64];
    char request[4096]; /* the last one, as far as it came before the answer */
    int connections;
    sem_t asked; /* posted for each request */
    pthread_t thread;
};

/* False when the client has hung up: the request before stays for the test to look at. */
static bool read_request(struct server *s, int fd)
{
    char text[sizeof(s->request)] = "";
    size_t len = 0;

    while (strstr(text, "\r\n\r\n") == NULL && len < sizeof(text) - 1) {
        ssize_t got = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
        text[len] = '\0';
    }
    memcpy(s->request, text, len + 1);
    return true;
}

static void serve_connection(struct server *s, int fd)
{
    while (read_request(s, fd)) {
        (void)sem_post(&s->asked);
        if (s->answer != NULL)
            (void)send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    }
    (void)close(fd);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    int fd = -1;

    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        s->connections++;
        serve_connection(s, fd);
    }
    return NULL;
}

static int listen_anywhere(char url[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0);
    cr_assert(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    (void)snprintf(url, 64, "http://127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

static void server_start(struct server *s, const char *answer)
{
    *s = (struct server){.answer = answer};
    s->listener = listen_anywhere(s->url);
    cr_assert(listen(s->listener, 5) == 0);
    cr_assert(sem_init(&s->asked, 0, 0) == 0);
    cr_assert(pthread_create(&s->thread, NULL, serve, s) == 0);
}

/* The client must have been freed before, so that no connection is being served. */
static void server_stop(struct server *s)
{
    (void)shutdown(s->listener, SHUT_RDWR);
    cr_assert(pthread_join(s->thread, NULL) == 0);
    (void)close(s->listener);
}

static struct httpc *new_client(int64_t reply_max)
{
    struct httpc *c = NULL;
    struct err e = {.msg = ""};

    cr_assert(httpc_new(reply_max, &c, &e), "%s", e.msg);
    return c;
}

static struct httpc_request get(const char *url)
{
    return (struct httpc_request){.method = "GET", .url = url, .timeout_ms = PATIENCE_MS};
}

Test(httpc, an_answer_comes_with_its_headers_and_body)
{
    struct server s;
    struct httpc_reply reply = {0};
    struct err e = {.msg = ""};

    server_start(&s, "HTTP/1.1 503 Later\r\nETag: \"7\"\r\nContent-Type: text/plain\r\n"
                     "retry-after: 30\r\nContent-Length: 5\r\n\r\nhello");
    struct httpc *c = new_client(5);
    const struct httpc_request req = get(s.url);
    cr_assert(httpc_call(c, &req, &reply, &e), "%s", e.msg);
    cr_expect(reply.status == 503 && reply.retry_after_s == 30);
    cr_expect_str_eq(reply.etag, "\"7\"");
    cr_expect_str_eq(reply.content_type, "text/plain");
    cr_expect_str_eq(buf_text(&reply.body), "hello");
    buf_done(&reply.body);
    httpc_free(c);
    server_stop(&s);
}

Test(httpc, a_request_carries_its_body_its_headers_and_the_request_id)
{
    static const char *const headers[] = {"If-Match: \"3\"", NULL};
    struct server s;
    struct httpc_reply reply = {0};
    struct err e = {.msg = ""};

    server_start(&s, "HTTP/1.1 204 Done\r\n\r\n");
    struct httpc *c = new_client(100);
    const struct httpc_request req = {.method = "PUT",
                                      .url = s.url,
                                      .body = "{}",
                                      .body_len = 2,
                                      .headers = headers,
                                      .timeout_ms = PATIENCE_MS};
    log_request_id_set("r-1");
    cr_assert(httpc_call(c, &req, &reply, &e), "%s", e.msg);
    cr_expect(reply.status == 204 && reply.retry_after_s == -1);
    cr_expect(strncmp(s.request, "PUT / HTTP/1.1\r\n", 16) == 0, "%s", s.request);
    cr_expect(strstr(s.request, "\r\nContent-Type: application/json\r\n") != NULL);
    cr_expect(strstr(s.request, "\r\nContent-Length: 2\r\n") != NULL);
    cr_expect(strstr(s.request, "\r\nIf-Match: \"3\"\r\n") != NULL);
    cr_expect(strstr(s.request, "\r\nX-Request-Id: r-1\r\n") != NULL);
    cr_expect(strstr(s.request, "Expect") == NULL);
    buf_done(&reply.body);
    httpc_free(c);
    server_stop(&s);
}

Test(httpc, connections_are_kept)
{
    struct server s;
    struct httpc_reply reply = {0};
    struct err e = {.msg = ""};

    server_start(&s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    struct httpc *c = new_client(100);
    const struct httpc_request req = get(s.url);
    for (int i = 0; i < 3; i++) {
        cr_assert(httpc_call(c, &req, &reply, &e), "%s", e.msg);
        cr_expect_str_eq(buf_text(&reply.body), "ok");
    }
    buf_done(&reply.body);
    httpc_free(c);
    server_stop(&s);
    cr_expect(s.connections == 1);
}

Test(httpc, an_answer_larger_than_the_maximum_is_refused)
{
    struct server s;
    struct httpc_reply reply = {0};
    struct err e = {.msg = ""};

    server_start(&s, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456");
    struct httpc *c = new_client(5);
    const struct httpc_request req = get(s.url);
    cr_expect_not(httpc_call(c, &req, &reply, &e));
    cr_expect(e.kind == ERR_INTERNAL);
    cr_expect(strstr(e.msg, "larger than 5 bytes") != NULL, "%s", e.msg);
    buf_done(&reply.body);
    httpc_free(c);
    server_stop(&s);
}

Test(httpc, a_redirect_is_not_followed_and_a_proxy_not_asked)
{
    struct server s;
    struct httpc_reply reply = {0};
    struct err e = {.msg = ""};

    cr_assert(setenv("http_proxy", "http://127.0.0.1:1", 1) == 0);
    server_start(&s, "HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\n"
                     "Content-Length: 0\r\n\r\n");
    struct httpc *c = new_client(5);
    const struct httpc_request req = get(s.url);
    cr_assert(httpc_call(c, &req, &reply, &e), "%s", e.msg);
    cr_expect(reply.status == 302);
    buf_done(&reply.body);
    httpc_free(c);
    server_stop(&s);
}

Test(httpc, nobody_there_means_surely_not_sent)
{
    char url[64];
    int fd = listen_anywhere(url); /* bound, so that it stays free, but not listening */
    struct httpc *c = new_client(5);
    struct httpc_reply reply = {0};
    struct err e = {.msg = ""};
    const struct httpc_request req = get(url);

    cr_expect_not(httpc_call(c, &req, &reply, &e));
    cr_expect(e.kind == ERR_UNAVAILABLE, "%s", e.msg);
    httpc_free(c);
    (void)close(fd);
}

Test(httpc, no_answer_in_time_means_that_the_outcome_is_unknown)
{
    struct server s;
    struct httpc_reply reply = {0};
    struct err e = {.msg = ""};

    server_start(&s, NULL);
    struct httpc *c = new_client(5);
    struct httpc_request req = get(s.url);
    req.timeout_ms = TIMEOUT_MS;
    int64_t start_ms = clk_now_ms();
    cr_expect_not(httpc_call(c, &req, &reply, &e));
    cr_expect(e.kind == ERR_TIMEOUT, "%s", e.msg);
    cr_expect(clk_now_ms() - start_ms < PATIENCE_MS);
    httpc_free(c);
    server_stop(&s);
}

Test(httpc, only_http_is_spoken)
{
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "not a url", ""};

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct httpc *c = new_client(5);
        struct httpc_reply reply = {0};
        struct err e = {.msg = ""};
        const struct httpc_request req = get(urls[i]);
        cr_expect_not(httpc_call(c, &req, &reply, &e), "%s", urls[i]);
        cr_expect(e.kind == ERR_INTERNAL, "%s: %s", urls[i], e.msg);
        httpc_free(c);
    }
}

struct cancelling {
    struct server *server;
    struct httpc *client;
};

static void *cancel_when_asked(void *arg)
{
    struct cancelling *c = arg;

    (void)sem_wait(&c->server->asked);
    httpc_cancel(c->client);
    return NULL;
}

Test(httpc, a_cancel_ends_the_call_that_waits_and_all_later_ones)
{
    struct server s;
    struct httpc_reply reply = {0};
    struct err e = {.msg = ""};
    pthread_t thread;

    server_start(&s, NULL);
    struct httpc *c = new_client(5);
    struct cancelling cancelling = {.server = &s, .client = c};
    const struct httpc_request req = get(s.url);
    int64_t start_ms = clk_now_ms();
    cr_assert(pthread_create(&thread, NULL, cancel_when_asked, &cancelling) == 0);
    cr_expect_not(httpc_call(c, &req, &reply, &e));
    cr_expect(e.kind == ERR_TIMEOUT, "it had been sent: %s", e.msg);
    cr_expect_not(httpc_call(c, &req, &reply, &e));
    cr_expect(e.kind == ERR_UNAVAILABLE, "it was not sent: %s", e.msg);
    cr_expect(clk_now_ms() - start_ms < PATIENCE_MS);
    cr_assert(pthread_join(thread, NULL) == 0);
    httpc_free(c);
    server_stop(&s);
}

static const struct answer_row {
    const char *name;
    int status;
    const char *body;
    enum err_kind kind; /* ERR_NONE: a success */
    const char *msg;
} answers[] = {
    {"200 is a success", 200, "{}", ERR_NONE, NULL},
    {"204 is a success", 204, "", ERR_NONE, NULL},
    {"a problem tells its detail", 409, "{\"title\":\"t\",\"detail\":\"version 7 is newer\"}",
     ERR_CONFLICT, "answered 409: version 7 is newer"},
    {"without a problem the kind says it", 503, "<html>", ERR_UNAVAILABLE,
     "answered 503: Cannot be reached right now"},
    {"a redirect is an internal error", 302, "", ERR_INTERNAL,
     "answered 302: A bug, or a broken dependency"},
    {"a detail of another type does not matter", 404, "{\"detail\":[]}", ERR_NOT_FOUND,
     "answered 404: There is no such thing"},
};

Test(httpc, an_answer_that_is_no_success_is_an_error_of_ours)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const struct answer_row *r = &answers[i];
        struct httpc_reply reply = {.status = r->status};
        struct err e = {.kind = ERR_NONE};
        buf_str(&reply.body, r->body);
        cr_expect(httpc_expect_success(&reply, &e) == (r->kind == ERR_NONE), "%s", r->name);
        cr_expect(e.kind == r->kind, "%s", r->name);
        if (r->msg != NULL)
            cr_expect_str_eq(e.msg, r->msg, "%s: %s", r->name, e.msg);
        buf_done(&reply.body);
    }
}

/* ---- several replicas */

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void parse(struct replicas *r, const char *first, const char *second)
{
    char text[160];
    struct err e = {.msg = ""};

    (void)snprintf(text, sizeof(text), "%s,%s", first, second);
    cr_assert(replicas_parse("A_URL", text, r, &e), "%s", e.msg);
}

static bool ask_any(struct httpc *c, struct replicas *r, int64_t timeout_ms, int *ret_status,
                    struct err *e)
{
    const struct httpc_request req = {
        .method = "GET", .to = r, .url = "/a?b=1", .timeout_ms = timeout_ms};
    struct httpc_reply reply = {0};
    bool answered = httpc_call(c, &req, &reply, e);

    *ret_status = reply.status;
    buf_done(&reply.body);
    return answered;
}

Test(replicas, who_cannot_be_connected_to_is_passed_over_and_not_asked_first_any_more)
{
    struct server s;
    struct replicas r;
    struct err e = {.msg = ""};
    char nobody[64];
    int status = 0, fd = listen_anywhere(nobody); /* bound, so that nobody else listens there */

    server_start(&s, OK_ANSWER);
    parse(&r, nobody, s.url);
    struct httpc *c = new_client(100);
    cr_assert(ask_any(c, &r, PATIENCE_MS, &status, &e), "%s", e.msg);
    cr_expect(status == 200 && atomic_load(&r.first) == 1);
    cr_expect(strncmp(s.request, "GET /a?b=1 HTTP/1.1\r\n", 21) == 0, "%s", s.request);
    httpc_free(c);
    server_stop(&s);
    (void)close(fd);
}

Test(replicas, where_nobody_can_be_reached_each_is_asked_once)
{
    struct replicas r;
    struct err e = {.msg = ""};
    char first[64], second[64];
    int status = 0, fds[] = {listen_anywhere(first), listen_anywhere(second)};

    parse(&r, first, second);
    struct httpc *c = new_client(100);
    cr_expect(!ask_any(c, &r, PATIENCE_MS, &status, &e) && e.kind == ERR_UNAVAILABLE);
    cr_expect(strstr(e.msg, second) != NULL && atomic_load(&r.first) == 0, "%s", e.msg);
    httpc_free(c);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* What it did with the request is unknown: the caller must know that, and asks again by itself. */
Test(replicas, who_gives_no_answer_is_not_asked_first_the_next_time)
{
    struct server silent, well;
    struct replicas r;
    struct err e = {.msg = ""};
    int status = 0;

    server_start(&silent, NULL);
    server_start(&well, OK_ANSWER);
    parse(&r, silent.url, well.url);
    struct httpc *c = new_client(100);
    cr_expect(!ask_any(c, &r, TIMEOUT_MS, &status, &e) && e.kind == ERR_TIMEOUT);
    cr_assert(ask_any(c, &r, PATIENCE_MS, &status, &e), "%s", e.msg);
    cr_expect_eq(status, 200);
    httpc_free(c);
    server_stop(&silent);
    server_stop(&well);
}

Test(replicas, an_answer_of_5xx_is_one_and_the_next_call_goes_to_another)
{
    struct server sick, well;
    struct replicas r;
    struct err e = {.msg = ""};
    int status = 0;

    server_start(&sick, "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
    server_start(&well, OK_ANSWER);
    parse(&r, sick.url, well.url);
    struct httpc *c = new_client(100);
    cr_expect(ask_any(c, &r, PATIENCE_MS, &status, &e) && status == 503);
    cr_expect(ask_any(c, &r, PATIENCE_MS, &status, &e) && status == 200);
    cr_expect(ask_any(c, &r, PATIENCE_MS, &status, &e) && status == 200);
    httpc_free(c);
    server_stop(&sick);
    server_stop(&well);
}

Test(replicas, a_setting_is_1_to_8_addresses)
{
    static const char *const bad[] = {
        "",
        "localhost:1",
        "http://",
        "https://a:1",
        "http://a:1,",
        ",http://a:1",
        "http://a:1, http://b:1",
        "http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://a"};
    struct replicas r;
    struct err e = {.msg = ""};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect(!replicas_parse("A_URL", bad[i], &r, &e), "%s", bad[i]);
        cr_expect(e.kind == ERR_INVALID && strncmp(e.msg, "A_URL: ", 7) == 0, "%s", e.msg);
    }
    parse(&r, "http://a:1/", "http://b:2/base");
    cr_assert_eq(r.count, 2);
    cr_expect_str_eq(r.urls[0], "http://a:1");
    cr_expect_str_eq(r.urls[1], "http://b:2/base");
}
