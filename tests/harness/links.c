#include "tests/harness/links.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/harness/proc.h"

enum order_kind {
    ORDER_STOP,
    ORDER_CUT,
    ORDER_ISOLATE,
    ORDER_RESET,
    ORDER_DELAY,
    ORDER_HEAL,
    ORDER_DELIVERIES,
    ORDER_DELIVERIES_PENDING,
    ORDER_RELEASE,
    ORDER_CORRUPT,
};

/* What somebody asks for, as it goes over the socket; the answer is a number. */
struct order {
    enum order_kind kind;
    int from, to; /* data centres */
    int64_t n;
    enum wire_fault fault;
    char containing[LINKS_TEXT_SIZE];
};

struct links {
    int count;
    struct wire *wires[LINKS_DCS_MAX][LINKS_DCS_MAX]; /* from, to; its own broker: i, i */
    int listener;
    struct sockaddr_un address;
    pthread_t thread;
};

static void set_address(const char *folder, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/links", folder);
    if (len >= (int)sizeof(ret->sun_path))
        harness_fail("%s is too long for a socket", folder);
}

/* ---- who obeys */

static void delay(const struct links *l, int64_t ms)
{
    for (int i = 0; i < l->count; i++)
        for (int j = 0; j < l->count; j++)
            if (i != j)
                wire_delay(l->wires[i][j], WIRE_BOTH_WAYS, ms);
}

/* Those to their own brokers too: messages meet their faults there. */
static void heal(const struct links *l)
{
    for (int i = 0; i < l->count; i++)
        for (int j = 0; j < l->count; j++)
            wire_heal(l->wires[i][j]);
}

static void isolate(const struct links *l, int dc)
{
    for (int i = 0; i < l->count; i++)
        if (i != dc) {
            wire_cut(l->wires[i][dc], WIRE_BOTH_WAYS);
            wire_cut(l->wires[dc][i], WIRE_BOTH_WAYS);
        }
}

static int64_t obey(const struct links *l, const struct order *o)
{
    struct wire *w = l->wires[o->from][o->to];
    const char *containing = o->containing[0] ? o->containing : NULL;

    switch (o->kind) {
    case ORDER_CUT: wire_cut(w, WIRE_TO_UPSTREAM); break;
    case ORDER_ISOLATE: isolate(l, o->from); break;
    case ORDER_RESET: wire_reset(w); break;
    case ORDER_DELAY: delay(l, o->n); break;
    case ORDER_HEAL: heal(l); break;
    case ORDER_DELIVERIES: wire_deliveries(w, o->fault, containing, o->n); break;
    case ORDER_DELIVERIES_PENDING: return wire_deliveries_pending(w);
    case ORDER_RELEASE: wire_release(w); break;
    case ORDER_CORRUPT: wire_publishes_corrupt(w, containing, o->n); break;
    case ORDER_STOP: break;
    }
    return 0;
}

static bool is_within(const struct links *l, const struct order *o)
{
    return o->from >= 0 && o->from < l->count && o->to >= 0 && o->to < l->count;
}

static void *run(void *arg)
{
    const struct links *l = arg;
    struct order o = {.kind = ORDER_HEAL};

    do {
        int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            harness_fail("links: accept");
        if (recv(fd, &o, sizeof(o), 0) == (ssize_t)sizeof(o) && is_within(l, &o)) {
            int64_t answer = obey(l, &o);
            (void)send(fd, &answer, sizeof(answer), MSG_NOSIGNAL);
        }
        close(fd);
    } while (o.kind != ORDER_STOP);
    return NULL;
}

/* ---- who orders */

static int64_t order(const struct sockaddr_un *address, const struct order *o)
{
    int64_t answer = 0;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
        send(fd, o, sizeof(*o), MSG_NOSIGNAL) != (ssize_t)sizeof(*o) ||
        recv(fd, &answer, sizeof(answer), 0) != (ssize_t)sizeof(answer))
        harness_fail("the links in %s do not answer", address->sun_path);
    close(fd);
    return answer;
}

static int64_t order_in(const char *folder, struct order o)
{
    struct sockaddr_un address;

    set_address(folder, &address);
    return order(&address, &o);
}

void links_cut(const char *folder, int from, int to)
{
    order_in(folder, (struct order){.kind = ORDER_CUT, .from = from, .to = to});
}

void links_isolate(const char *folder, int dc)
{
    order_in(folder, (struct order){.kind = ORDER_ISOLATE, .from = dc, .to = dc});
}

void links_reset(const char *folder, int from, int to)
{
    order_in(folder, (struct order){.kind = ORDER_RESET, .from = from, .to = to});
}

void links_delay(const char *folder, int64_t ms)
{
    order_in(folder, (struct order){.kind = ORDER_DELAY, .n = ms});
}

void links_heal(const char *folder)
{
    order_in(folder, (struct order){.kind = ORDER_HEAL});
}

static struct order about(enum order_kind kind, int from, int to, const char *containing, int64_t n)
{
    struct order o = {.kind = kind, .from = from, .to = to, .n = n};

    CHECK(snprintf(o.containing, sizeof(o.containing), "%s", containing) <
          (int)sizeof(o.containing));
    return o;
}

void links_deliveries(const char *folder, int dc, enum wire_fault fault, const char *containing,
                      int64_t n)
{
    struct order o = about(ORDER_DELIVERIES, dc, dc, containing, n);

    o.fault = fault;
    order_in(folder, o);
}

int64_t links_deliveries_pending(const char *folder, int dc)
{
    return order_in(folder, (struct order){.kind = ORDER_DELIVERIES_PENDING, .from = dc, .to = dc});
}

void links_release(const char *folder, int dc)
{
    order_in(folder, (struct order){.kind = ORDER_RELEASE, .from = dc, .to = dc});
}

void links_corrupt(const char *folder, int from, int to, const char *containing, int64_t n)
{
    order_in(folder, about(ORDER_CORRUPT, from, to, containing, n));
}

/* ---- life */

static void start_wires(struct links *l, const int64_t *broker_ports)
{
    for (int i = 0; i < l->count; i++)
        for (int j = 0; j < l->count; j++)
            l->wires[i][j] = wire_start_amqp(broker_ports[j]);
}

struct links *links_start(const char *folder, int count, const int64_t *broker_ports)
{
    struct links *l = calloc(1, sizeof(*l));

    CHECK(l != NULL && count >= 1 && count <= LINKS_DCS_MAX);
    l->count = count;
    start_wires(l, broker_ports);
    set_address(folder, &l->address);
    l->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    (void)unlink(l->address.sun_path);
    if (l->listener < 0 ||
        bind(l->listener, (const struct sockaddr *)&l->address, sizeof(l->address)) != 0 ||
        listen(l->listener, SOMAXCONN) != 0)
        harness_fail("links: cannot listen in %s", folder);
    CHECK(pthread_create(&l->thread, NULL, run, l) == 0);
    return l;
}

int64_t links_port(const struct links *l, int from, int to)
{
    CHECK(from >= 0 && from < l->count && to >= 0 && to < l->count);
    return wire_port(l->wires[from][to]);
}

struct links *links_stop(struct links *l)
{
    if (!l)
        return NULL;
    (void)order(&l->address, &(struct order){.kind = ORDER_STOP});
    CHECK(pthread_join(l->thread, NULL) == 0);
    close(l->listener);
    (void)unlink(l->address.sun_path);
    for (int i = 0; i < l->count; i++)
        for (int j = 0; j < l->count; j++)
            (void)wire_stop(l->wires[i][j]);
    free(l);
    return NULL;
}
