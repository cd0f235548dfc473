#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/num.h"
#include "tests/harness/proc.h"
#include "tests/harness/wire_internal.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define DELAY_MAX_MS INT64_C(3600000)

enum order { ORDER_RESET = 1, ORDER_HALF_OPEN = 2, ORDER_HEAL = 4, ORDER_RELEASE = 8 };

static void lock(struct wire *w)
{
    pthread_mutex_lock(&w->lock);
}

static void unlock(struct wire *w)
{
    pthread_mutex_unlock(&w->lock);
}

/* ---- the port */

/* Several sockets may be bound to the port, but only those of one who allows it with each. */
static int bound_socket(int64_t port)
{
    const int one = 1;
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        harness_fail("the wire cannot have a port: %s", strerror(errno));
    return fd;
}

static int64_t port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        harness_fail("the wire has no port: %s", strerror(errno));
    return ntohs(address.sin_port);
}

static void open_listener(struct wire *w)
{
    if (w->listener >= 0)
        return;
    w->listener = bound_socket(w->port);
    if (listen(w->listener, SOMAXCONN) != 0)
        harness_fail("the wire cannot listen: %s", strerror(errno));
}

static void close_listener(struct wire *w)
{
    if (w->listener >= 0)
        (void)close(w->listener);
    w->listener = -1;
}

/* ---- the thread */

bool wire_is_due(struct wire *w, int64_t at_ns)
{
    if (at_ns <= w->now_ns)
        return true;
    w->wake_ns = min_i64(w->wake_ns, at_ns);
    return false;
}

static void heal(struct wire *w)
{
    open_listener(w);
    for (size_t i = 0; i < w->links_count; i++) {
        struct wire_link *l = w->links[i];
        wire_amqp_release(l);
        if (l->state == WIRE_LINK_HALF_OPEN)
            wire_link_reset(l);
    }
}

static void obey(struct wire *w)
{
    if (w->orders == 0)
        return;
    if (w->orders & ORDER_RESET)
        close_listener(w);
    for (size_t i = 0; i < w->links_count; i++) {
        if (w->orders & ORDER_RESET)
            wire_link_reset(w->links[i]);
        if (w->orders & ORDER_HALF_OPEN)
            wire_link_half_open(w->links[i]);
        if (w->orders & ORDER_RELEASE)
            wire_amqp_release(w->links[i]);
    }
    if (w->orders & ORDER_HEAL)
        heal(w);
    w->orders = 0;
    pthread_cond_broadcast(&w->obeyed);
}

/* What is due goes on; a slow line serves each connection first in its turn. */
static void pass_all(struct wire *w)
{
    size_t left = 0;

    w->wake_ns = INT64_MAX;
    w->links_first++;
    for (size_t i = 0; i < w->links_count; i++) {
        struct wire_link *l = w->links[(w->links_first + i) % w->links_count];
        if (!l->is_over)
            wire_link_connect(l);
        if (!l->is_over)
            wire_link_pass(l);
    }
    for (size_t i = 0; i < w->links_count; i++) {
        if (w->links[i]->is_over)
            wire_link_free(w->links[i]);
        else
            w->links[left++] = w->links[i];
    }
    w->links_count = left;
}

static size_t watch_all(struct wire *w)
{
    w->fds[0] = (struct pollfd){.fd = w->bell, .events = POLLIN};
    w->fds[1] = (struct pollfd){.fd = w->listener, .events = POLLIN};
    for (size_t i = 0; i < w->links_count; i++)
        wire_link_watch(w->links[i], &w->fds[2 + 2 * i]);
    w->counts.turns++;
    return 2 + 2 * w->links_count;
}

static void wait_for_events(struct wire *w, size_t fds_count, int64_t wake_ns)
{
    const int64_t ns = max_i64(wake_ns - clk_now_ns(), 0);
    const struct timespec limit = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};

    if (ppoll(w->fds, fds_count, wake_ns == INT64_MAX ? NULL : &limit, NULL) < 0 && errno != EINTR)
        harness_fail("the wire cannot poll: %s", strerror(errno));
}

static void refuse(struct wire *w, int fd)
{
    const struct linger none = {.l_onoff = 1};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    (void)close(fd);
    w->counts.refused++;
}

static void accept_all(struct wire *w)
{
    for (;;) {
        int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
            return;
        if (fd < 0)
            harness_fail("the wire cannot accept: %s", strerror(errno));
        if (w->links_count == WIRE_LINKS_MAX) {
            refuse(w, fd);
            continue;
        }
        w->links[w->links_count++] = wire_link_new(w, fd);
        w->counts.accepted++;
    }
}

static void hear_all(struct wire *w)
{
    uint64_t rings = 0;

    for (size_t i = 0; i < w->links_count; i++)
        wire_link_hear(w->links[i], &w->fds[2 + 2 * i]);
    if (w->fds[0].revents)
        (void)!read(w->bell, &rings, sizeof(rings));
    if (w->fds[1].revents)
        accept_all(w);
}

static void *run(void *arg)
{
    struct wire *w = arg;

    lock(w);
    while (!w->is_stopping) {
        w->now_ns = clk_now_ns();
        obey(w);
        pass_all(w);
        size_t fds_count = watch_all(w);
        int64_t wake_ns = w->wake_ns;
        unlock(w);
        wait_for_events(w, fds_count, wake_ns);
        lock(w);
        w->now_ns = clk_now_ns();
        hear_all(w);
    }
    unlock(w);
    return NULL;
}

/* ---- starting and stopping */

static struct wire *start(int64_t upstream_port, bool is_amqp)
{
    struct wire *w = calloc(1, sizeof(*w));

    if (!w)
        harness_fail("out of memory");
    w->is_amqp = is_amqp;
    w->upstream_port = upstream_port;
    w->keeper = bound_socket(0);
    w->port = port_of(w->keeper);
    w->listener = -1;
    open_listener(w);
    w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->bell < 0)
        harness_fail("eventfd: %s", strerror(errno));
    if (pthread_mutex_init(&w->lock, NULL) != 0 || pthread_cond_init(&w->obeyed, NULL) != 0 ||
        pthread_create(&w->thread, NULL, run, w) != 0)
        harness_fail("the wire has no thread");
    return w;
}

struct wire *wire_start(int64_t upstream_port)
{
    return start(upstream_port, false);
}

struct wire *wire_start_amqp(int64_t upstream_port)
{
    return start(upstream_port, true);
}

int64_t wire_port(const struct wire *w)
{
    return w->port;
}

static void ring(struct wire *w)
{
    const uint64_t one = 1;

    (void)!write(w->bell, &one, sizeof(one));
}

struct wire *wire_stop(struct wire *w)
{
    if (!w)
        return NULL;
    lock(w);
    w->is_stopping = true;
    unlock(w);
    ring(w);
    pthread_join(w->thread, NULL);
    for (size_t i = 0; i < w->links_count; i++)
        wire_link_free(w->links[i]);
    close_listener(w);
    (void)close(w->keeper);
    (void)close(w->bell);
    pthread_cond_destroy(&w->obeyed);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}

/* ---- the line */

/* Under the lock. What only the thread may do; done when this returns. */
static void give_order(struct wire *w, enum order order)
{
    w->orders |= order;
    ring(w);
    while (w->orders != 0)
        pthread_cond_wait(&w->obeyed, &w->lock);
}

void wire_delay(struct wire *w, enum wire_ways ways, int64_t ms)
{
    if (ms < 0 || ms > DELAY_MAX_MS)
        harness_fail("a delay of %lld ms", (long long)ms);
    lock(w);
    for (unsigned side = WIRE_CLIENT; side <= WIRE_UPSTREAM; side++)
        if (ways & (1U << side))
            w->lines[side].delay_ns = ms * NS_PER_MS;
    unlock(w);
    ring(w);
}

void wire_slow(struct wire *w, enum wire_ways ways, int64_t bytes_per_s)
{
    if (bytes_per_s < 0)
        harness_fail("%lld bytes a second", (long long)bytes_per_s);
    lock(w);
    for (unsigned side = WIRE_CLIENT; side <= WIRE_UPSTREAM; side++) {
        if (!(ways & (1U << side)))
            continue;
        w->lines[side].bytes_per_s = bytes_per_s;
        w->lines[side].busy_until_ns = 0;
    }
    unlock(w);
    ring(w);
}

static void set_cut(struct wire *w, enum wire_ways ways, bool is_cut)
{
    lock(w);
    for (unsigned side = WIRE_CLIENT; side <= WIRE_UPSTREAM; side++)
        if (ways & (1U << side))
            w->lines[side].is_cut = is_cut;
    unlock(w);
    ring(w);
}

void wire_cut(struct wire *w, enum wire_ways ways)
{
    set_cut(w, ways, true);
}

void wire_join(struct wire *w, enum wire_ways ways)
{
    set_cut(w, ways, false);
}

void wire_half_open(struct wire *w)
{
    lock(w);
    give_order(w, ORDER_HALF_OPEN);
    unlock(w);
}

void wire_reset(struct wire *w)
{
    lock(w);
    give_order(w, ORDER_RESET);
    unlock(w);
}

void wire_heal(struct wire *w)
{
    lock(w);
    memset(w->lines, 0, sizeof(w->lines));
    w->deliveries.pending = 0;
    w->publishes.pending = 0;
    give_order(w, ORDER_HEAL);
    unlock(w);
}

/* ---- messages */

static void set_rule(struct wire *w, struct wire_rule *rule, enum wire_fault fault,
                     const char *containing, int64_t n)
{
    if (!w->is_amqp)
        harness_fail("this wire knows bytes alone: see wire_start_amqp()");
    if (n < 0 || (containing && strlen(containing) >= sizeof(rule->containing)))
        harness_fail("no such rule: %lld times \"%s\"", (long long)n, containing ? containing : "");
    lock(w);
    *rule = (struct wire_rule){.fault = fault, .pending = n};
    (void)snprintf(rule->containing, sizeof(rule->containing), "%s", containing ? containing : "");
    unlock(w);
}

static int64_t pending(struct wire *w, const struct wire_rule *rule)
{
    lock(w);
    int64_t n = rule->pending;
    unlock(w);
    return n;
}

void wire_deliveries(struct wire *w, enum wire_fault fault, const char *containing, int64_t n)
{
    set_rule(w, &w->deliveries, fault, containing, n);
}

int64_t wire_deliveries_pending(struct wire *w)
{
    return pending(w, &w->deliveries);
}

void wire_release(struct wire *w)
{
    lock(w);
    give_order(w, ORDER_RELEASE);
    unlock(w);
}

/* The only fault of what is published: whoever loses a message must also answer for it. */
void wire_publishes_corrupt(struct wire *w, const char *containing, int64_t n)
{
    set_rule(w, &w->publishes, WIRE_HOLD, containing, n);
}

int64_t wire_publishes_pending(struct wire *w)
{
    return pending(w, &w->publishes);
}

struct wire_counts wire_counts(struct wire *w)
{
    lock(w);
    struct wire_counts counts = w->counts;
    counts.links = (int64_t)w->links_count;
    for (size_t i = 0; i < w->links_count; i++)
        counts.held += wire_amqp_held(w->links[i]);
    unlock(w);
    return counts;
}
