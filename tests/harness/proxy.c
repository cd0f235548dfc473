#include "tests/harness/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "tests/harness/proc.h"

#define LINKS_MAX 512
#define REQUEST_MAX (2 << 20)
#define CHUNK 65536
#define ANSWER_MS 60000

/* One connection of a client, and ours to the service on its behalf. */
struct link {
    struct proxy *proxy;
    pthread_t thread;
    int client, service; /* -1: not connected; closed by proxy_stop() alone */
};

struct proxy {
    int listener, port, upstream_port;
    pthread_t acceptor;
    struct link links[LINKS_MAX];
    int links_count;
    pthread_mutex_t lock; /* of what follows */
    char prefix[64];
    enum proxy_fault fault;
    int64_t pending;
    bool stopping;
};

static int connect_to(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* The length of the first request in the text, 0 if it is not all there. */
static size_t request_length(const struct buf *b)
{
    static const char field[] = "content-length:";
    const char *end = b->len > 0 ? strstr(b->data, "\r\n\r\n") : NULL;
    size_t body = 0;

    if (!end)
        return 0;
    for (const char *line = b->data; line < end; line = strstr(line, "\r\n") + 2)
        if (strncasecmp(line, field, sizeof(field) - 1) == 0)
            body = strtoul(line + sizeof(field) - 1, NULL, 10);
    size_t length = (size_t)(end + 4 - b->data) + body;
    return b->len >= length ? length : 0;
}

static enum proxy_fault fault_of(struct proxy *p, const char *request)
{
    enum proxy_fault fault = PROXY_PASS;

    pthread_mutex_lock(&p->lock);
    if (p->pending > 0 && strncmp(request, p->prefix, strlen(p->prefix)) == 0) {
        p->pending--;
        fault = p->fault;
    }
    pthread_mutex_unlock(&p->lock);
    return fault;
}

/* The service has answered, or hung up, or takes too long: either way its work is done. */
static void await_answer(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    (void)poll(&readable, 1, ANSWER_MS);
}

static void send_copy(const struct link *l, const char *request, size_t len)
{
    int fd = connect_to(l->proxy->upstream_port);

    if (fd < 0)
        return;
    if (send_all(fd, request, len))
        await_answer(fd);
    close(fd);
}

/* False: this connection is to end. */
static bool forward(const struct link *l, const char *request, size_t len)
{
    switch (fault_of(l->proxy, request)) {
    case PROXY_LOSE_REQUEST: return false;
    case PROXY_LOSE_ANSWER:
        if (send_all(l->service, request, len))
            await_answer(l->service);
        return false;
    case PROXY_TWICE:
        if (!send_all(l->service, request, len))
            return false;
        send_copy(l, request, len);
        return true;
    case PROXY_DELAY: poll(NULL, 0, PROXY_DELAY_MS); break;
    case PROXY_PASS: break;
    }
    return send_all(l->service, request, len);
}

static bool pass_requests(const struct link *l, struct buf *pending)
{
    char chunk[CHUNK];
    ssize_t n = recv(l->client, chunk, sizeof(chunk), 0);

    if (n <= 0)
        return false;
    buf_add(pending, chunk, (size_t)n);
    if (buf_failed(pending))
        return false;
    for (size_t len; (len = request_length(pending)) > 0;) {
        if (!forward(l, pending->data, len))
            return false;
        memmove(pending->data, pending->data + len, pending->len - len + 1);
        pending->len -= len;
    }
    return true;
}

static bool pass_answers(const struct link *l)
{
    char chunk[CHUNK];
    ssize_t n = recv(l->service, chunk, sizeof(chunk), 0);

    return n > 0 && send_all(l->client, chunk, (size_t)n);
}

static bool pass(const struct link *l, struct buf *pending)
{
    struct pollfd both[] = {{.fd = l->client, .events = POLLIN},
                            {.fd = l->service, .events = POLLIN}};

    if (poll(both, 2, -1) < 0)
        return false;
    if (both[1].revents && !pass_answers(l))
        return false;
    return !both[0].revents || pass_requests(l, pending);
}

static void *run_link(void *arg)
{
    const struct link *l = arg;
    auto_buf struct buf pending = BUF_INIT(REQUEST_MAX);

    if (l->service >= 0)
        while (pass(l, &pending))
            ;
    shutdown(l->client, SHUT_RDWR);
    if (l->service >= 0)
        shutdown(l->service, SHUT_RDWR);
    return NULL;
}

static bool is_stopping(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    bool stopping = p->stopping;
    pthread_mutex_unlock(&p->lock);
    return stopping;
}

static void add_link(struct proxy *p, int client)
{
    if (p->links_count == LINKS_MAX)
        harness_fail("the proxy has room for %d connections", LINKS_MAX);
    struct link *l = &p->links[p->links_count++];
    *l = (struct link){.proxy = p, .client = client, .service = connect_to(p->upstream_port)};
    if (pthread_create(&l->thread, NULL, run_link, l) != 0)
        harness_fail("pthread_create");
}

static void *run_acceptor(void *arg)
{
    struct proxy *p = arg;

    for (;;) {
        int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        if (is_stopping(p)) {
            if (client >= 0)
                close(client);
            return NULL;
        }
        if (client >= 0)
            add_link(p, client);
    }
}

static void listen_anywhere(struct proxy *p)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->listener < 0 ||
        bind(p->listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(p->listener, SOMAXCONN) != 0 ||
        getsockname(p->listener, (struct sockaddr *)&address, &len) != 0)
        harness_fail("the proxy cannot listen");
    p->port = ntohs(address.sin_port);
}

struct proxy *proxy_start(int upstream_port)
{
    struct proxy *p = calloc(1, sizeof(*p));

    if (!p)
        harness_fail("out of memory");
    p->upstream_port = upstream_port;
    pthread_mutex_init(&p->lock, NULL);
    listen_anywhere(p);
    if (pthread_create(&p->acceptor, NULL, run_acceptor, p) != 0)
        harness_fail("pthread_create");
    return p;
}

int proxy_port(const struct proxy *p)
{
    return p->port;
}

static void end_link(struct link *l)
{
    shutdown(l->client, SHUT_RDWR);
    if (l->service >= 0)
        shutdown(l->service, SHUT_RDWR);
    pthread_join(l->thread, NULL);
    close(l->client);
    if (l->service >= 0)
        close(l->service);
}

struct proxy *proxy_stop(struct proxy *p)
{
    if (!p)
        return NULL;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    shutdown(p->listener, SHUT_RDWR);
    pthread_join(p->acceptor, NULL);
    for (int i = 0; i < p->links_count; i++)
        end_link(&p->links[i]);
    close(p->listener);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

void proxy_inject(struct proxy *p, const char *prefix, enum proxy_fault fault, int64_t times)
{
    pthread_mutex_lock(&p->lock);
    snprintf(p->prefix, sizeof(p->prefix), "%s", prefix);
    p->fault = fault;
    p->pending = times;
    pthread_mutex_unlock(&p->lock);
}

int64_t proxy_pending(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    int64_t pending = p->pending;
    pthread_mutex_unlock(&p->lock);
    return pending;
}
