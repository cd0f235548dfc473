#include "tests/bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/base/clk.h"
#include "tests/harness/proc.h"

#define IN_SIZE 65536
#define OUT_SIZE 65536
#define EVENTS 64
#define DRAIN_MS 10000
#define LATENCIES_MAX (1 << 22)

struct conn {
    int fd;
    bool busy; /* a request is under way */
    int64_t since_ns;
    size_t len;
    char in[IN_SIZE];
};

struct load {
    const struct load_target *target;
    struct conn *conns;
    int count;
    int epoll;
    int busy;
    int64_t left; /* requests that may still be sent */
    int64_t stop_ns;
    int64_t good, bad;
    uint32_t *latencies_us;
    size_t latencies_count;
    char out[OUT_SIZE];
};

/* ---- connections */

static int connect_to(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        harness_fail("cannot connect to port %d: %s", port, strerror(errno));
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    return fd;
}

static void open_conns(struct load *l)
{
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->conns = calloc((size_t)l->count, sizeof(*l->conns));
    CHECK(l->epoll >= 0 && l->conns != NULL);
    for (int i = 0; i < l->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
        l->conns[i].fd = connect_to(l->target->port);
        CHECK(epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->conns[i].fd, &event) == 0);
    }
}

static void close_conns(struct load *l)
{
    for (int i = 0; i < l->count; i++)
        close(l->conns[i].fd);
    close(l->epoll);
    free(l->conns);
}

/* ---- requests and answers */

static void send_next(struct load *l, int i)
{
    struct conn *c = &l->conns[i];
    size_t len = l->target->next(l->target->arg, i, l->out, sizeof(l->out)), sent = 0;

    /* One request is in flight on a connection: the socket's buffer always has room for it. */
    while (sent < len) {
        ssize_t n = send(c->fd, l->out + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0)
            harness_fail("port %d: %s", l->target->port, strerror(errno));
        sent += (size_t)n;
    }
    c->since_ns = clk_now_ns();
    c->busy = true;
    l->busy++;
    l->left--;
}

static void note_latency(struct load *l, int64_t took_ns)
{
    if (l->latencies_us && l->latencies_count < LATENCIES_MAX)
        l->latencies_us[l->latencies_count++] = (uint32_t)(took_ns / 1000);
}

static void finish(struct load *l, int i, bool is_good, int64_t now_ns)
{
    struct conn *c = &l->conns[i];

    c->busy = false;
    c->len = 0;
    l->busy--;
    if (now_ns > l->stop_ns)
        return; /* too late to count */
    note_latency(l, now_ns - c->since_ns);
    if (is_good)
        l->good++;
    else
        l->bad++;
    if (l->left > 0)
        send_next(l, i);
}

static void take_input(struct load *l, int i)
{
    struct conn *c = &l->conns[i];
    ssize_t n = recv(c->fd, c->in + c->len, IN_SIZE - 1 - c->len, 0);

    if (n <= 0 || !c->busy)
        harness_fail("port %d closed a connection: %s; %.300s", l->target->port,
                     n < 0 ? strerror(errno) : "", c->in);
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    enum load_verdict verdict = l->target->answer(l->target->arg, i, c->in, c->len);
    if (verdict != LOAD_PARTIAL)
        finish(l, i, verdict == LOAD_GOOD, clk_now_ns());
    else if (c->len == IN_SIZE - 1)
        harness_fail("port %d: an answer that is too long", l->target->port);
}

/* ---- a run */

static void serve(struct load *l)
{
    struct epoll_event events[EVENTS];

    for (int i = 0; i < l->count && l->left > 0; i++)
        send_next(l, i);
    while (l->busy > 0) {
        int n = epoll_wait(l->epoll, events, EVENTS, DRAIN_MS);
        if (n == 0)
            harness_fail("port %d: no answer for %d ms", l->target->port, DRAIN_MS);
        for (int k = 0; k < n; k++)
            take_input(l, events[k].data.fd);
    }
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int64_t percentile_99(struct load *l)
{
    if (l->latencies_count == 0)
        return 0;
    qsort(l->latencies_us, l->latencies_count, sizeof(*l->latencies_us), compare_u32);
    return l->latencies_us[l->latencies_count * 99 / 100];
}

/* Of all its threads, in user and kernel mode. */
static int64_t cpu_ns(int pid)
{
    clockid_t clock;
    struct timespec t = {0};

    if (pid == 0)
        return 0;
    CHECK(clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct load_result load_run(const struct load_target *target, const struct load_plan *plan)
{
    auto_free struct load *l = calloc(1, sizeof(*l));
    auto_free uint32_t *latencies_us = malloc(LATENCIES_MAX * sizeof(*latencies_us));

    CHECK(l != NULL && latencies_us != NULL);
    l->target = target;
    l->count = plan->connections;
    l->left = INT64_MAX;
    l->latencies_us = latencies_us;
    open_conns(l);
    int64_t cpu_before_ns = cpu_ns(target->pid);
    l->stop_ns = clk_now_ns() + plan->ms * 1000000;
    serve(l);
    int64_t cpu_spent_ns = cpu_ns(target->pid) - cpu_before_ns;
    close_conns(l);
    return (struct load_result){.good = l->good,
                                .bad = l->bad,
                                .per_second = (double)l->good * 1000 / (double)plan->ms,
                                .p99_us = percentile_99(l),
                                .cpu_us = (double)cpu_spent_ns / 1000 / (double)(l->good + 1)};
}

bool load_all(const struct load_target *target, int connections, int64_t count)
{
    auto_free struct load *l = calloc(1, sizeof(*l));

    CHECK(l != NULL);
    l->target = target;
    l->count = connections;
    l->left = count;
    l->stop_ns = INT64_MAX;
    open_conns(l);
    serve(l);
    close_conns(l);
    return l->good == count;
}

/* ---- HTTP */

static size_t content_length(const char *head, const char *end)
{
    const char *at = strcasestr(head, "\r\nContent-Length:");

    return at && at < end ? (size_t)strtoull(at + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

enum load_verdict load_http_answer(const char *data, size_t len)
{
    const char *end = strstr(data, "\r\n\r\n");

    if (!end)
        return LOAD_PARTIAL;
    if (len < (size_t)(end + 4 - data) + content_length(data, end))
        return LOAD_PARTIAL;
    return strncmp(data, "HTTP/1.1 2", 10) == 0 ? LOAD_GOOD : LOAD_BAD;
}

size_t load_http_request(char *out, size_t size, const char *method, const char *path,
                         const char *body)
{
    int len = snprintf(out, size,
                       "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       method, path, strlen(body), body);

    CHECK(len > 0 && (size_t)len < size);
    return (size_t)len;
}
