/*
 * The harness' wire, whose faults change all the time while connections come,
 * talk and go: what arrives is always the beginning of what was said.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "tests/harness/wire.h"
#include "tests/race/race.h"

#define PATIENCE_US 20000 /* a connection that is cut is given up */
#define CHUNK 5000
#define PERIOD 251 /* a prime: lost or repeated chunks show */

struct world {
    int listener;
    struct wire *wire;
    _Atomic int64_t said, heard, resets;
};

static void be_patient(int fd)
{
    const struct timeval limit = {.tv_usec = PATIENCE_US};

    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
}

/* One connection, which ends in one way or another. */
static void talk(struct race_thread *t)
{
    struct world *w = t->arg;
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)wire_port(w->wire)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct linger none = {.l_onoff = 1};
    uint8_t bytes[CHUNK];
    ssize_t n = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    be_patient(fd);
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0)
        n = 0; /* refused */
    for (int64_t said = 0, rest = prng_below(&t->prng, 200000); rest > 0 && n > 0; rest -= n) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)((said + (int64_t)i) % PERIOD);
        n = send(fd, bytes, (size_t)min_i64(rest, CHUNK), MSG_NOSIGNAL);
        said += n > 0 ? n : 0;
        atomic_fetch_add(&w->said, n > 0 ? n : 0);
    }
    if (prng_below(&t->prng, 2) == 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    (void)close(fd);
}

/* Upstream: answers with what it got. */
static void hear(struct race_thread *t)
{
    struct world *w = t->arg;
    struct pollfd p = {.fd = w->listener, .events = POLLIN};
    uint8_t bytes[CHUNK];
    ssize_t n = 0;

    if (poll(&p, 1, 5) != 1)
        return;
    int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return; /* another thread had it */
    be_patient(fd);
    for (int64_t heard = 0; (n = recv(fd, bytes, sizeof(bytes), 0)) > 0; heard += n) {
        for (ssize_t i = 0; i < n; i++)
            CHECK(bytes[i] == (heard + i) % PERIOD);
        atomic_fetch_add(&w->heard, n);
        (void)send(fd, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    (void)close(fd);
}

static void break_something(struct race_thread *t)
{
    struct world *w = t->arg;
    const enum wire_ways ways = (enum wire_ways)(1 + prng_below(&t->prng, 3));

    switch (prng_below(&t->prng, 8)) {
    case 0: wire_delay(w->wire, ways, prng_below(&t->prng, 5)); break;
    case 1: wire_slow(w->wire, ways, 1000000 * prng_below(&t->prng, 3)); break;
    case 2: wire_cut(w->wire, ways); break;
    case 3: wire_join(w->wire, ways); break;
    case 4: wire_half_open(w->wire); break;
    case 5:
        wire_reset(w->wire);
        atomic_fetch_add(&w->resets, 1);
        break;
    default: wire_heal(w->wire);
    }
    CHECK(wire_counts(w->wire).links <= WIRE_LINKS_MAX);
    (void)usleep((useconds_t)prng_below(&t->prng, 5000));
}

static int64_t listen_anywhere(struct world *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(w->listener >= 0 && bind(w->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(listen(w->listener, SOMAXCONN) == 0);
    CHECK(getsockname(w->listener, (struct sockaddr *)&a, &len) == 0);
    return ntohs(a.sin_port);
}

int main(void)
{
    struct world w = {0};

    w.wire = wire_start(listen_anywhere(&w));
    RACE_RUN({talk, 4, &w, false}, {hear, 4, &w, false}, {break_something, 2, &w, false});
    const struct wire_counts counts = wire_counts(w.wire);
    CHECK(counts.accepted > 0 && atomic_load(&w.resets) > 0);
    CHECK(atomic_load(&w.heard) > 0 && atomic_load(&w.heard) <= counts.to_upstream);
    CHECK(counts.to_upstream <= atomic_load(&w.said));
    (void)wire_stop(w.wire);
    (void)close(w.listener);
    return 0;
}
