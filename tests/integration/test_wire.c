/*
 * The wire, byte by byte: the test itself is the client and what is upstream,
 * a broker too.  test_wire_bus.c has real brokers.
 *
 * That nothing arrives can be seen only by waiting for a while: such a wait
 * may miss a fault on a busy machine, and never invents one.
 */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "tests/harness/proc.h"
#include "tests/harness/wire.h"

#define SOON_MS 20000 /* by then what is to happen has happened, on a busy machine too */
#define QUIET_MS 150  /* of seeing that nothing happens */
#define MANY ((size_t)64 << 20)

/* ---- both ends of a wire */

struct ends {
    int listener;
    struct wire *wire;
    int client, server; /* the first connection */
};

static int connect_to(int64_t port)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool is_readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

static int accept_soon(int listener)
{
    cr_assert(is_readable(listener, SOON_MS), "upstream hears of no connection");
    int fd = accept(listener, NULL, NULL);
    cr_assert(fd >= 0);
    return fd;
}

static int listen_anywhere(int64_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, SOMAXCONN) == 0 &&
              getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static struct ends ends_of(struct wire *(*start)(int64_t upstream_port))
{
    struct ends e = {0};
    int64_t port = 0;

    e.listener = listen_anywhere(&port);
    e.wire = start(port);
    e.client = connect_to(wire_port(e.wire));
    e.server = accept_soon(e.listener);
    return e;
}

static void ends_done(struct ends *e)
{
    (void)wire_stop(e->wire);
    close(e->client);
    close(e->server);
    close(e->listener);
}
#define auto_ends __attribute__((cleanup(ends_done)))

static void say(int fd, const void *data, size_t len)
{
    cr_assert(send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len, "%s", strerror(errno));
}

static void say_text(int fd, const char *text)
{
    say(fd, text, strlen(text));
}

/* Exactly this is what comes next. */
static void expect(int fd, const void *data, size_t len)
{
    char got[4096];
    size_t have = 0;

    cr_assert(len <= sizeof(got));
    while (have < len) {
        cr_assert(is_readable(fd, SOON_MS), "nothing comes after %zu bytes", have);
        ssize_t n = recv(fd, got + have, len - have, 0);
        cr_assert(n > 0, "the end comes after %zu bytes", have);
        have += (size_t)n;
    }
    cr_assert(memcmp(got, data, len) == 0, "something else comes");
}

static void expect_text(int fd, const char *text)
{
    expect(fd, text, strlen(text));
}

static void expect_nothing(int fd)
{
    cr_assert(!is_readable(fd, QUIET_MS), "something comes");
}

static void expect_end(int fd)
{
    char byte = 0;

    cr_assert(is_readable(fd, SOON_MS), "the end does not come");
    cr_assert(recv(fd, &byte, 1, 0) == 0, "no end");
}

static void expect_reset(int fd)
{
    char byte = 0;

    cr_assert(is_readable(fd, SOON_MS), "the reset does not come");
    cr_assert(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET, "no reset");
}

static void reset(int fd)
{
    const struct linger none = {.l_onoff = 1};

    cr_assert(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) == 0);
    close(fd);
}

static bool has_no_links(void *arg)
{
    const struct ends *e = arg;

    return wire_counts(e->wire).links == 0;
}

struct links_wish {
    struct wire *wire;
    int64_t links;
};

static bool has_links(void *arg)
{
    const struct links_wish *w = arg;

    return wire_counts(w->wire).links == w->links;
}

/* Its thread may be late to hear of them. */
static void expect_links(struct wire *w, int64_t links)
{
    struct links_wish wish = {w, links};

    cr_assert(harness_await(has_links, &wish, SOON_MS), "%lld links",
              (long long)wire_counts(w).links);
}

/* ---- without a fault */

Test(wire, passes_bytes_both_ways)
{
    auto_ends struct ends e = ends_of(wire_start);

    say_text(e.client, "question");
    expect_text(e.server, "question");
    say_text(e.server, "answer");
    expect_text(e.client, "answer");
    cr_assert(wire_counts(e.wire).to_upstream == 8 && wire_counts(e.wire).to_client == 6);
}

static void fill(char *ret, size_t len, size_t from)
{
    for (size_t i = 0; i < len; i++)
        ret[i] = (char)((from + i) * 2654435761U >> 24);
}

/* As many as are taken, up to MANY in all. */
static size_t say_many(int fd, size_t said)
{
    char bytes[65536];
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    while (said < MANY && poll(&p, 1, QUIET_MS) == 1) {
        const size_t len = MANY - said < sizeof(bytes) ? MANY - said : sizeof(bytes);
        fill(bytes, len, said);
        ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        said += n > 0 ? (size_t)n : 0;
    }
    return said;
}

/* Sockets hold some 20 MB on the way, at most. */
Test(wire, makes_a_fast_sender_wait_and_loses_nothing)
{
    auto_ends struct ends e = ends_of(wire_start);
    char bytes[65536], wanted[65536];
    size_t said = say_many(e.client, 0);

    cr_assert(said < MANY, "the wire holds everything");
    for (size_t got = 0; got < MANY;) {
        if (said < MANY && !is_readable(e.server, 0))
            said = say_many(e.client, said);
        cr_assert(is_readable(e.server, SOON_MS), "nothing comes after %zu bytes", got);
        ssize_t n = recv(e.server, bytes, sizeof(bytes), 0);
        cr_assert(n > 0);
        fill(wanted, (size_t)n, got);
        cr_assert(memcmp(bytes, wanted, (size_t)n) == 0, "something else comes after %zu", got);
        got += (size_t)n;
    }
}

Test(wire, passes_on_how_a_connection_ends)
{
    auto_ends struct ends e = ends_of(wire_start);

    say_text(e.client, "last words");
    cr_assert(shutdown(e.client, SHUT_WR) == 0);
    expect_text(e.server, "last words");
    expect_end(e.server);
    say_text(e.server, "answer"); /* half of it is open still */
    expect_text(e.client, "answer");
    cr_assert(shutdown(e.server, SHUT_WR) == 0);
    expect_end(e.client);
    cr_assert(harness_await(has_no_links, &e, SOON_MS));

    int client = connect_to(wire_port(e.wire)), server = accept_soon(e.listener);
    say_text(client, "x");
    expect_text(server, "x");
    reset(client);
    expect_reset(server);
    cr_assert(harness_await(has_no_links, &e, SOON_MS));
    close(server);
}

Test(wire, resets_clients_when_nobody_is_upstream)
{
    auto_wire struct wire *w = wire_start(port_free());
    int client = connect_to(wire_port(w));

    expect_reset(client);
    close(client);
}

Test(wire, takes_many_connections_and_resets_those_beyond_its_maximum)
{
    auto_ends struct ends e = ends_of(wire_start);
    int clients[WIRE_LINKS_MAX], servers[WIRE_LINKS_MAX];

    for (int i = 1; i < WIRE_LINKS_MAX; i++) {
        clients[i] = connect_to(wire_port(e.wire));
        servers[i] = accept_soon(e.listener);
    }
    for (int i = 1; i < WIRE_LINKS_MAX; i++)
        say(clients[i], &i, sizeof(i));
    for (int i = 1; i < WIRE_LINKS_MAX; i++)
        expect(servers[i], &i, sizeof(i));
    int beyond = connect_to(wire_port(e.wire));
    expect_reset(beyond);
    cr_assert(wire_counts(e.wire).refused == 1 && wire_counts(e.wire).links == WIRE_LINKS_MAX);
    close(beyond);
    for (int i = 1; i < WIRE_LINKS_MAX; i++) {
        close(clients[i]);
        close(servers[i]);
    }
}

/* For a while: what it was late to hear of makes it turn, too, and is over some time. */
static bool is_still(void *arg)
{
    struct ends *e = arg;
    const int64_t turns = wire_counts(e->wire).turns;

    expect_nothing(e->server);
    return wire_counts(e->wire).turns == turns;
}

/* Whatever state its connections are in. */
Test(wire, does_nothing_while_nothing_happens)
{
    auto_ends struct ends e = ends_of(wire_start);
    int ended = connect_to(wire_port(e.wire)), ended_server = accept_soon(e.listener);
    int shut = connect_to(wire_port(e.wire)), shut_server = accept_soon(e.listener);

    cr_assert(shutdown(ended, SHUT_WR) == 0);
    expect_end(ended_server);
    cr_assert(shutdown(shut_server, SHUT_WR) == 0);
    expect_end(shut);
    wire_cut(e.wire, WIRE_BOTH_WAYS);
    close(shut); /* both halves of it are shut now, and it is not to be known yet */
    int waits = connect_to(wire_port(e.wire));
    say_text(waits, "hello?");
    say_text(e.client, "hello?");
    expect_links(e.wire, 4);
    expect_nothing(e.server);
    cr_assert(harness_await(is_still, &e, SOON_MS), "it runs in circles");
    close(waits);
    close(ended);
    close(ended_server);
    close(shut_server);
}

/* ---- late and slow */

Test(wire, delays_each_way_on_its_own)
{
    auto_ends struct ends e = ends_of(wire_start);

    wire_delay(e.wire, WIRE_TO_UPSTREAM, 200);
    int64_t begin_ms = clk_now_ms();
    say_text(e.client, "question");
    expect_text(e.server, "question");
    cr_assert(clk_now_ms() - begin_ms >= 200, "early: %lld ms",
              (long long)(clk_now_ms() - begin_ms));

    wire_delay(e.wire, WIRE_BOTH_WAYS, 100);
    begin_ms = clk_now_ms();
    say_text(e.client, "question");
    expect_text(e.server, "question");
    say_text(e.server, "answer");
    expect_text(e.client, "answer");
    cr_assert(clk_now_ms() - begin_ms >= 200, "early: %lld ms",
              (long long)(clk_now_ms() - begin_ms));
}

Test(wire, delays_the_end_as_well_and_keeps_the_order)
{
    auto_ends struct ends e = ends_of(wire_start);
    char words[64];

    wire_delay(e.wire, WIRE_TO_CLIENT, 200);
    int64_t begin_ms = clk_now_ms();
    for (int i = 0; i < 100; i++) {
        snprintf(words, sizeof(words), "word %d,", i);
        say_text(e.server, words);
    }
    close(e.server);
    e.server = -1;
    for (int i = 0; i < 100; i++) {
        snprintf(words, sizeof(words), "word %d,", i);
        expect_text(e.client, words);
    }
    expect_end(e.client);
    cr_assert(clk_now_ms() - begin_ms >= 200, "early: %lld ms",
              (long long)(clk_now_ms() - begin_ms));
}

Test(wire, delays_an_end_that_nothing_comes_before)
{
    auto_ends struct ends e = ends_of(wire_start);

    wire_delay(e.wire, WIRE_TO_CLIENT, 200);
    int64_t begin_ms = clk_now_ms();
    cr_assert(shutdown(e.server, SHUT_WR) == 0);
    expect_end(e.client);
    cr_assert(clk_now_ms() - begin_ms >= 200, "early: %lld ms",
              (long long)(clk_now_ms() - begin_ms));
}

/* Many are under way at a time: an hour late, and all there when that is over. */
Test(wire, a_delay_that_ends_lets_go_what_was_under_way)
{
    auto_ends struct ends e = ends_of(wire_start);

    wire_delay(e.wire, WIRE_TO_UPSTREAM, 3600000);
    for (int i = 0; i < 1000; i++)
        say(e.client, &i, sizeof(i));
    expect_nothing(e.server);
    wire_delay(e.wire, WIRE_TO_UPSTREAM, 0);
    for (int i = 0; i < 1000; i++)
        expect(e.server, &i, sizeof(i));
}

Test(wire, slows_all_connections_of_a_way_together)
{
    auto_ends struct ends e = ends_of(wire_start);
    int client = connect_to(wire_port(e.wire)), server = accept_soon(e.listener);
    static const char bytes[4000];

    wire_slow(e.wire, WIRE_TO_UPSTREAM, 20000);
    int64_t begin_ms = clk_now_ms();
    say(e.client, bytes, sizeof(bytes));
    say(client, bytes, sizeof(bytes));
    expect(e.server, bytes, sizeof(bytes));
    expect(server, bytes, sizeof(bytes));
    /* The first portions cost nothing. */
    cr_assert(clk_now_ms() - begin_ms >= 350, "fast: %lld ms",
              (long long)(clk_now_ms() - begin_ms));
    wire_heal(e.wire);
    say_text(client, "fast again");
    expect_text(server, "fast again");
    close(client);
    close(server);
}

/* ---- cut */

Test(wire, cut_one_way_holds_bytes_of_that_way_alone)
{
    auto_ends struct ends e = ends_of(wire_start);

    wire_cut(e.wire, WIRE_TO_UPSTREAM);
    say_text(e.client, "question");
    say_text(e.server, "unasked");
    expect_text(e.client, "unasked");
    expect_nothing(e.server);
    wire_join(e.wire, WIRE_TO_UPSTREAM);
    expect_text(e.server, "question");

    wire_cut(e.wire, WIRE_TO_CLIENT);
    say_text(e.server, "answer");
    say_text(e.client, "more");
    expect_text(e.server, "more");
    expect_nothing(e.client);
    wire_heal(e.wire);
    expect_text(e.client, "answer");
}

Test(wire, cut_holds_what_is_late_already)
{
    auto_ends struct ends e = ends_of(wire_start);

    wire_delay(e.wire, WIRE_TO_UPSTREAM, 3600000);
    say_text(e.client, "late");
    wire_cut(e.wire, WIRE_TO_UPSTREAM);
    wire_delay(e.wire, WIRE_TO_UPSTREAM, 0); /* it is due, and cut off */
    expect_nothing(e.server);
    wire_join(e.wire, WIRE_TO_UPSTREAM);
    expect_text(e.server, "late");
}

/* Neither a close nor a reset. */
Test(wire, cut_tells_nobody_that_the_other_is_gone)
{
    auto_ends struct ends e = ends_of(wire_start);
    int client = connect_to(wire_port(e.wire)), server = accept_soon(e.listener);

    wire_cut(e.wire, WIRE_BOTH_WAYS);
    reset(e.server);
    e.server = -1;
    close(server);
    expect_nothing(e.client);
    expect_nothing(client);
    wire_heal(e.wire);
    expect_reset(e.client);
    expect_end(client);
    close(client);
}

Test(wire, cut_leaves_new_connections_half_open)
{
    auto_ends struct ends e = ends_of(wire_start);

    wire_cut(e.wire, WIRE_BOTH_WAYS);
    int waits = connect_to(wire_port(e.wire)), gives_up = connect_to(wire_port(e.wire));
    cr_assert(waits >= 0 && gives_up >= 0, "the connection is refused");
    say_text(waits, "hello?");
    say_text(gives_up, "hello?");
    expect_nothing(waits);
    cr_assert(!is_readable(e.listener, 0), "upstream hears of a connection");
    expect_links(e.wire, 3);
    close(gives_up);
    wire_heal(e.wire);
    int server = accept_soon(e.listener);
    expect_text(server, "hello?");
    cr_assert(!is_readable(e.listener, QUIET_MS), "upstream hears of a client that gave up");
    say_text(e.client, "still there");
    expect_text(e.server, "still there");
    close(waits);
    close(server);
}

/* ---- half-open and reset */

Test(wire, half_open_is_told_to_clients_when_it_heals)
{
    auto_ends struct ends e = ends_of(wire_start);

    wire_half_open(e.wire);
    expect_reset(e.server);
    say_text(e.client, "hello?");
    expect_nothing(e.client);

    int client = connect_to(wire_port(e.wire)), server = accept_soon(e.listener);
    say_text(client, "new");
    expect_text(server, "new");
    wire_heal(e.wire);
    expect_reset(e.client);
    say_text(server, "go on");
    expect_text(client, "go on");
    close(client);
    close(server);
}

Test(wire, reset_ends_all_and_refuses_new_ones_until_it_heals)
{
    auto_ends struct ends e = ends_of(wire_start);

    wire_reset(e.wire);
    expect_reset(e.client);
    expect_reset(e.server);
    for (int i = 0; i < 3; i++)
        cr_assert(connect_to(wire_port(e.wire)) < 0 && errno == ECONNREFUSED);
    wire_heal(e.wire);
    int client = connect_to(wire_port(e.wire)), server = accept_soon(e.listener);
    say_text(client, "new");
    expect_text(server, "new");
    close(client);
    close(server);
}

/* ---- AMQP, with a broker and a consumer made of bytes */

#define METHOD 1
#define HEADER 2
#define BODY 3
#define HEARTBEAT 8

static size_t add_frame(uint8_t *at, int type, int channel, const void *payload, size_t len)
{
    const uint8_t head[] = {(uint8_t)type,       0,           (uint8_t)channel, 0, 0,
                            (uint8_t)(len >> 8), (uint8_t)len};

    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), payload, len);
    at[sizeof(head) + len] = 0xCE;
    return sizeof(head) + len + 1;
}

/* A basic.deliver of a body in two frames, with a heartbeat in between. */
static size_t add_delivery(uint8_t *at, int tag, const char *kind, const char *body)
{
    uint8_t method[] = {0, 60, 0, 60, 1, 'c', 0, 0, 0, 0, 0, 0, 0, (uint8_t)tag, 0, 0, 0};
    uint8_t header[64] = {0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)strlen(body), 0x20};
    size_t len = 0, header_len = 14 + strlen(kind), half = strlen(body) / 2;

    memcpy(header + 14, kind, strlen(kind));
    len += add_frame(at + len, METHOD, 1, method, sizeof(method));
    len += add_frame(at + len, HEADER, 1, header, header_len);
    len += add_frame(at + len, BODY, 1, body, half);
    len += add_frame(at + len, HEARTBEAT, 0, "", 0);
    len += add_frame(at + len, BODY, 1, body + half, strlen(body) - half);
    return len;
}

static void say_delivery(const struct ends *e, int tag, const char *kind)
{
    uint8_t bytes[512];

    say(e->server, bytes, add_delivery(bytes, tag, kind, "some body"));
}

struct held_wish {
    const struct ends *ends;
    int64_t held;
};

static bool has_held(void *arg)
{
    const struct held_wish *w = arg;

    return wire_counts(w->ends->wire).held == w->held;
}

static void expect_held(const struct ends *e, int64_t held)
{
    struct held_wish wish = {e, held};

    cr_assert(harness_await(has_held, &wish, SOON_MS), "%lld held",
              (long long)wire_counts(e->wire).held);
}

static void expect_heartbeat(int fd)
{
    uint8_t bytes[16];

    expect(fd, bytes, add_frame(bytes, HEARTBEAT, 0, "", 0));
}

/* The heartbeat overtakes the delivery, which is passed on as a whole. */
static void expect_delivery_alone(const struct ends *e, int tag, const char *kind)
{
    uint8_t bytes[512], heartbeat[16];
    const size_t beat_len = add_frame(heartbeat, HEARTBEAT, 0, "", 0);
    size_t len = add_delivery(bytes, tag, kind, "some body");
    uint8_t *beat = memmem(bytes, len, heartbeat, beat_len);

    memmove(beat, beat + beat_len, len - (size_t)(beat + beat_len - bytes));
    expect(e->client, bytes, len - beat_len);
}

static void expect_delivery(const struct ends *e, int tag, const char *kind)
{
    expect_heartbeat(e->client);
    expect_delivery_alone(e, tag, kind);
}

/* basic.ack, or reject: a tag and a byte of bits. */
static size_t add_answer(uint8_t *at, int method, int tag, bool bit)
{
    const uint8_t args[] = {0, 60, 0, (uint8_t)method, 0, 0, 0, 0, 0, 0, 0, (uint8_t)tag, bit};

    return add_frame(at, METHOD, 1, args, sizeof(args));
}

#define ACK 80
#define REJECT 90

static void answer(const struct ends *e, int method, int tag, bool multiple)
{
    uint8_t bytes[64];

    say(e->client, bytes, add_answer(bytes, method, tag, multiple));
}

static void expect_answer(const struct ends *e, int method, int tag, bool multiple)
{
    uint8_t bytes[64];

    expect(e->server, bytes, add_answer(bytes, method, tag, multiple));
}

Test(wire_amqp, finds_deliveries_however_they_are_cut_into_packets)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);
    uint8_t bytes[512];
    const size_t len = add_delivery(bytes, 1, "rows", "some body");

    say(e.client, "AMQP", 4);
    say(e.client, "\0\0\x09\x01", 4);
    expect(e.server, "AMQP\0\0\x09\x01", 8);
    wire_deliveries(e.wire, WIRE_HOLD, "rows", 1);
    for (size_t i = 0; i < len; i++)
        say(e.server, bytes + i, 1);
    expect_heartbeat(e.client);
    expect_nothing(e.client);
    expect_held(&e, 1);
    expect_nothing(e.client);
    wire_release(e.wire);
    expect_delivery_alone(&e, 1, "rows");
    cr_assert(wire_counts(e.wire).held == 0 && wire_counts(e.wire).passed == 1);
}

Test(wire_amqp, holds_so_many_of_a_kind_and_releases_them_in_order)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);

    wire_deliveries(e.wire, WIRE_HOLD, "rows", 2);
    say_delivery(&e, 1, "rows");
    expect_heartbeat(e.client);
    say_delivery(&e, 2, "hello");
    expect_delivery(&e, 2, "hello");
    cr_assert(wire_deliveries_pending(e.wire) == 1);
    say_delivery(&e, 3, "rows");
    expect_heartbeat(e.client);
    say_delivery(&e, 4, "rows");
    expect_delivery(&e, 4, "rows");
    cr_assert(wire_deliveries_pending(e.wire) == 0 && wire_counts(e.wire).held == 2);
    wire_heal(e.wire);
    expect_delivery_alone(&e, 1, "rows");
    expect_delivery_alone(&e, 3, "rows");
}

Test(wire_amqp, reverses_so_many)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);

    wire_deliveries(e.wire, WIRE_REVERSE, "rows", 3);
    for (int tag = 1; tag <= 3; tag++)
        say_delivery(&e, tag, "rows");
    for (int i = 0; i < 3; i++)
        expect_heartbeat(e.client);
    for (int tag = 3; tag >= 1; tag--)
        expect_delivery_alone(&e, tag, "rows");
    cr_assert(wire_counts(e.wire).reversed == 3 && wire_counts(e.wire).held == 0);
}

Test(wire_amqp, acknowledges_what_it_drops)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);

    wire_deliveries(e.wire, WIRE_DROP, NULL, 1);
    say_delivery(&e, 1, "rows");
    say_delivery(&e, 2, "rows");
    expect_answer(&e, ACK, 1, false);
    expect_heartbeat(e.client);
    expect_delivery(&e, 2, "rows");
    cr_assert(wire_counts(e.wire).dropped == 1);
}

/* Whatever the answers are, the broker hears one. */
Test(wire_amqp, swallows_the_second_answer_to_what_it_repeats)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);

    wire_deliveries(e.wire, WIRE_REPEAT, "rows", 5);
    for (int tag = 1; tag <= 5; tag++) {
        say_delivery(&e, tag, "rows");
        expect_delivery(&e, tag, "rows");
        expect_delivery_alone(&e, tag, "rows");
    }
    answer(&e, ACK, 1, false);
    answer(&e, ACK, 1, false);
    answer(&e, REJECT, 3, false);
    answer(&e, ACK, 2, true); /* the first answer to 2; 1 has had both */
    answer(&e, ACK, 3, true); /* the second to 3, and to 2 */
    answer(&e, ACK, 5, true); /* the first to 5, and to 4 */
    answer(&e, ACK, 4, false);
    answer(&e, ACK, 5, false);
    answer(&e, ACK, 6, false);
    expect_answer(&e, ACK, 1, false);
    expect_answer(&e, REJECT, 3, false);
    expect_answer(&e, ACK, 2, true);
    expect_answer(&e, ACK, 5, true);
    expect_answer(&e, ACK, 6, false);
    cr_assert(wire_counts(e.wire).acks_swallowed == 4 && wire_counts(e.wire).repeated == 5);
}

Test(wire_amqp, leaves_what_is_no_amqp_as_it_is)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);

    say_text(e.client, "GET / HTTP/1.1\r\n");
    expect_text(e.server, "GET / HTTP/1.1\r\n");
    say_text(e.client, "\r\n");
    expect_text(e.server, "\r\n");
    say_text(e.server, "HTTP/1.1 400 Bad Request\r\n");
    expect_text(e.client, "HTTP/1.1 400 Bad Request\r\n");
}

Test(wire_amqp, examines_nothing_any_more_behind_a_broken_frame)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);
    uint8_t bytes[512];
    const size_t len = add_delivery(bytes, 1, "rows", "some body");

    wire_deliveries(e.wire, WIRE_HOLD, NULL, 1);
    say(e.server, "\x08\0\0\0\0\0\0?", 8); /* a heartbeat with a wrong end */
    expect(e.client, "\x08\0\0\0\0\0\0?", 8);
    say(e.server, bytes, len);
    expect(e.client, bytes, len);
}

Test(wire_amqp, passes_what_is_too_large_to_hold)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);
    const uint8_t method[] = {0, 60, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
    const uint8_t header[] = {0, 60, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0}; /* 5 MiB */
    uint8_t bytes[128];
    size_t len = add_frame(bytes, METHOD, 1, method, sizeof(method));

    len += add_frame(bytes + len, HEADER, 1, header, sizeof(header));
    wire_deliveries(e.wire, WIRE_HOLD, NULL, 1);
    say(e.server, bytes, len);
    expect(e.client, bytes, len);
    len = add_frame(bytes, BODY, 1, "the first of many", 17);
    say(e.server, bytes, len);
    expect(e.client, bytes, len);
    cr_assert(wire_deliveries_pending(e.wire) == 1);
}

/* Its tags mean something else on the next one. */
Test(wire_amqp, forgets_what_it_holds_with_the_channel)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);
    const uint8_t channel_close[] = {0, 20, 0, 40, 0, 0, 0, 0, 0, 0, 0};
    uint8_t bytes[64];
    const size_t len = add_frame(bytes, METHOD, 1, channel_close, sizeof(channel_close));

    wire_deliveries(e.wire, WIRE_HOLD, NULL, 1);
    say_delivery(&e, 1, "rows");
    expect_heartbeat(e.client);
    expect_held(&e, 1);
    say(e.server, bytes, len);
    expect(e.client, bytes, len);
    wire_release(e.wire);
    say_delivery(&e, 2, "rows");
    expect_delivery(&e, 2, "rows");
}

Test(wire_amqp, corrupts_one_bit_of_a_body)
{
    auto_ends struct ends e = ends_of(wire_start_amqp);
    uint8_t bytes[512], got[512];
    size_t len = add_delivery(bytes, 1, "rows", "some body"), have = 0;
    int wrong = 0;

    /* What makes it a basic.publish instead; the wire looks at no more of it. */
    bytes[7 + 3] = 40;
    wire_publishes_corrupt(e.wire, "rows", 1);
    say(e.client, bytes, len);
    while (have < len && is_readable(e.server, SOON_MS)) {
        ssize_t n = recv(e.server, got + have, sizeof(got) - have, 0);
        cr_assert(n > 0);
        have += (size_t)n;
    }
    cr_assert(have == len);
    /* The heartbeat in it comes first. */
    memmove(bytes + 8, bytes, len - 8 - (7 + 5 + 1));
    (void)add_frame(bytes, HEARTBEAT, 0, "", 0);
    for (size_t i = 0; i < len - (7 + 5 + 1); i++)
        wrong += __builtin_popcount((unsigned)(bytes[i] ^ got[i]));
    cr_assert(wrong == 1, "%d bits are wrong", wrong);
    cr_assert(wire_publishes_pending(e.wire) == 0 && wire_counts(e.wire).corrupted == 1);
}
