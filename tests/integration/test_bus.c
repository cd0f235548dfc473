/* The bus on real brokers that are killed, wiped and full. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/io/bus.h"
#include "tests/harness/proc.h"
#include "tests/harness/rabbit.h"

#define SOON_MS 60000 /* by then what is to happen has happened, on a busy machine too */

RABBIT_SUITE(1);

#define LARGE (32 << 20)

static char queue[32]; /* this test's */

/* Says 1, 2, 3... up to `limit`; hears them. */
struct talk {
    atomic_llong said, limit, heard;
    atomic_llong last;      /* heard, and counted by then */
    atomic_int refuse;      /* so many messages are wanted later */
    atomic_llong too_large; /* so many came without their bodies */
    size_t padding;
    atomic_bool is_signed;
};

static bool next(void *arg, struct bus_message *ret)
{
    struct talk *t = arg;

    if (atomic_load(&t->said) >= atomic_load(&t->limit))
        return false;
    bus_header_set(ret, "from", "east");
    bus_header_set(ret, "kind", "test");
    buf_printf(&ret->body, "%lld", (long long)(atomic_fetch_add(&t->said, 1) + 1));
    for (size_t i = 0; i < t->padding; i++)
        buf_add(&ret->body, " ", 1);
    return true;
}

static bool hear(void *arg, const struct bus_message *m)
{
    struct talk *t = arg;
    const char *from = bus_header(m, "from");

    if (atomic_load(&t->refuse) > 0) {
        atomic_fetch_sub(&t->refuse, 1);
        return false;
    }
    if (buf_failed(&m->body)) {
        atomic_fetch_add(&t->too_large, 1);
        return true;
    }
    if (from && strcmp(from, "east") == 0)
        atomic_store(&t->is_signed, true);
    atomic_fetch_add(&t->heard, 1);
    atomic_store(&t->last, strtoll(buf_text(&m->body), NULL, 10));
    return true;
}

static struct bus_sender *sender(struct talk *t, const char *url)
{
    struct bus_sender *s = NULL;
    struct err e = {0};
    const struct bus_sender_config config = {
        .name = "test", .url = url, .queue = queue, .next = next, .arg = t};

    cr_assert(bus_sender_start(&config, &s, &e), "%s", e.msg);
    return s;
}

static struct bus_receiver *receiver(struct talk *t, const char *url, int64_t messages_max)
{
    struct bus_receiver *r = NULL;
    struct err e = {0};
    const struct bus_receiver_config config = {.name = "test",
                                               .url = url,
                                               .queue = queue,
                                               .ttl_ms = 60000,
                                               .messages_max = messages_max,
                                               .bytes_max = 64 << 20,
                                               .handle = hear,
                                               .arg = t};

    cr_assert(bus_receiver_start(&config, &r, &e), "%s", e.msg);
    return r;
}

/* ---- what is waited for */

struct wish {
    struct talk *talk;
    struct bus_sender *sender;
    struct bus_receiver *receiver;
    int64_t number;
};

static bool is_heard(void *arg)
{
    const struct wish *w = arg;

    return atomic_load(&w->talk->last) >= w->number;
}

static bool is_confirmed(void *arg)
{
    const struct wish *w = arg;

    return bus_sender_counts(w->sender).confirmed >= w->number;
}

static bool is_refused(void *arg)
{
    const struct wish *w = arg;

    return bus_sender_counts(w->sender).refused >= w->number;
}

static bool has_queue(void *arg)
{
    const struct wish *w = arg;

    return !bus_sender_counts(w->sender).queue_missing;
}

static bool is_idle(void *arg)
{
    const struct wish *w = arg;
    const struct bus_counts counts = bus_sender_counts(w->sender);

    return counts.published == w->number && counts.unconfirmed == 0;
}

static bool has_received(void *arg)
{
    const struct wish *w = arg;

    return bus_receiver_counts(w->receiver).received >= w->number;
}

static bool has_state(void *arg)
{
    const struct wish *w = arg;

    return (w->sender ? bus_sender_counts(w->sender) : bus_receiver_counts(w->receiver)).state ==
           (enum bus_state)w->number;
}

static void expect_soon(bool (*condition)(void *), struct wish w, const char *what)
{
    cr_assert(harness_await(condition, &w, SOON_MS), "not soon: %s", what);
}
#define EXPECT_SOON(condition, ...) expect_soon(condition, (struct wish){__VA_ARGS__}, #condition)

#define TRIES 5

/*
 * Whoever cannot go on gives up after BUS_CALL_MS by itself, and is to end before when it is told
 * to.  A machine that halts for seconds does not do so each time.
 */
static void expect_quick(int64_t (*stop)(void *arg), void *arg)
{
    int64_t took_ms = BUS_CALL_MS;

    for (int i = 0; i < TRIES && took_ms >= BUS_CALL_MS; i++)
        took_ms = stop(arg);
    cr_assert_lt(took_ms, BUS_CALL_MS);
}

/* What was said before is lost with a connection: the next word gets through all the same. */
static void say_until_heard(struct talk *t, struct bus_sender *s)
{
    const int64_t heard = atomic_load(&t->heard), until_ms = clk_now_ms() + SOON_MS;

    while (atomic_load(&t->heard) == heard && clk_now_ms() < until_ms) {
        atomic_fetch_add(&t->limit, 1);
        bus_sender_wake(s);
        const struct timespec pause = {.tv_nsec = 50000000};
        (void)nanosleep(&pause, NULL);
    }
    cr_assert(atomic_load(&t->heard) > heard, "nothing gets through");
}

static void begin(void)
{
    log_level_set(LOG_ERROR);
    (void)snprintf(queue, sizeof(queue), "volumecap.test-%d", getpid());
}

TestSuite(bus, .init = begin);

/* ---- claims */

Test(bus, what_is_said_is_heard_and_confirmed)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 0};
    auto_bus_receiver struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    EXPECT_SOON(has_state, .receiver = r, .number = BUS_CONNECTED);
    atomic_store(&t.limit, 1000);
    bus_sender_wake(s);
    EXPECT_SOON(is_confirmed, .sender = s, .number = 1000);
    EXPECT_SOON(is_heard, .talk = &t, .number = 1000);
    cr_assert(atomic_load(&t.heard) == 1000);
    cr_assert(atomic_load(&t.is_signed), "headers are lost");
    cr_assert(bus_sender_counts(s).refused == 0);
}

Test(bus, a_message_whose_time_has_not_come_comes_again)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.refuse = 3};
    auto_bus_receiver struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    EXPECT_SOON(has_state, .receiver = r, .number = BUS_CONNECTED);
    atomic_store(&t.limit, 1);
    EXPECT_SOON(is_heard, .talk = &t, .number = 1);
    cr_assert(bus_receiver_counts(r).received == 4);
}

Test(bus, without_a_queue_messages_are_refused_and_counted)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 5};
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    EXPECT_SOON(is_refused, .sender = s, .number = 5);
    cr_assert(bus_sender_counts(s).state == BUS_CONNECTED);
    EXPECT_SOON(is_confirmed, .sender = s, .number = 5);
    cr_assert(bus_sender_counts(s).queue_missing);
    auto_bus_receiver struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    EXPECT_SOON(has_state, .receiver = r, .number = BUS_CONNECTED);
    say_until_heard(&t, s);
    EXPECT_SOON(has_queue, .sender = s);
}

/* A queue that somebody else made, so that the broker says no (nack) to what does not fit. */
Test(bus, what_the_broker_refuses_is_counted_and_under_way_no_more)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 40};
    char declare[256];

    (void)snprintf(
        declare, sizeof(declare),
        "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"%s\">>), true, false,"
        " [{<<\"x-max-length\">>, long, 1}, {<<\"x-overflow\">>, longstr,"
        " <<\"reject-publish\">>}], none, <<\"test\">>).",
        queue);
    cr_assert(rabbit_ctl(broker, NULL, "eval", declare, NULL));
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));
    EXPECT_SOON(is_refused, .sender = s, .number = 35);
    EXPECT_SOON(is_idle, .sender = s, .number = 40);
    struct bus_counts counts = bus_sender_counts(s);
    cr_assert(counts.confirmed + counts.refused == 40 && counts.lost == 0);
    cr_assert(counts.state == BUS_CONNECTED && counts.connects == 1);
}

Test(bus, what_was_not_acknowledged_comes_to_the_next_receiver)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.refuse = INT_MAX}, u = {.limit = 0};
    struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    EXPECT_SOON(has_state, .receiver = r, .number = BUS_CONNECTED);
    atomic_store(&t.limit, 1);
    EXPECT_SOON(has_received, .receiver = r, .number = 2);
    (void)bus_receiver_stop(r);
    r = receiver(&u, rabbit_url(broker), 10000);
    EXPECT_SOON(is_heard, .talk = &u, .number = 1);
    (void)bus_receiver_stop(r);
}

Test(bus, comes_back_after_the_broker_was_killed_and_wiped)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 1};
    auto_bus_receiver struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    say_until_heard(&t, s);
    rabbit_kill(broker);
    EXPECT_SOON(has_state, .sender = s, .number = BUS_DOWN);
    EXPECT_SOON(has_state, .receiver = r, .number = BUS_DOWN);
    rabbit_restart(broker);
    EXPECT_SOON(has_state, .sender = s, .number = BUS_CONNECTED);
    say_until_heard(&t, s);

    rabbit_kill(broker);
    rabbit_wipe(broker);
    EXPECT_SOON(has_state, .sender = s, .number = BUS_DOWN);
    rabbit_restart(broker);
    EXPECT_SOON(has_state, .sender = s, .number = BUS_CONNECTED);
    say_until_heard(&t, s);
    cr_assert(bus_sender_counts(s).connects >= 3);
}

Test(bus, a_deleted_queue_is_declared_again)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 1};
    auto_bus_receiver struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    say_until_heard(&t, s);
    cr_assert(rabbit_ctl(broker, NULL, "delete_queue", queue, NULL));
    say_until_heard(&t, s);
    cr_assert(bus_receiver_counts(r).connects >= 2);
}

struct blocked {
    struct talk *talk;
    const char *url;
};

static int64_t stop_blocked(void *arg)
{
    const struct blocked *b = arg;
    struct bus_sender *s = sender(b->talk, b->url);

    EXPECT_SOON(has_state, .sender = s, .number = BUS_BLOCKED);
    int64_t before_ms = clk_now_ms();
    (void)bus_sender_stop(s);
    return clk_now_ms() - before_ms;
}

Test(bus, an_alarm_blocks_nobody_for_ever)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 1, .padding = 200000};
    auto_bus_receiver struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    struct bus_sender *s = sender(&t, rabbit_url(broker));

    say_until_heard(&t, s);
    rabbit_alarm(broker, true);
    /* Far more than sockets can swallow. */
    atomic_store(&t.limit, atomic_load(&t.said) + 500);
    EXPECT_SOON(has_state, .sender = s, .number = BUS_BLOCKED);
    expect_quick(stop_blocked, &(struct blocked){&t, rabbit_url(broker)});

    rabbit_alarm(broker, false);
    EXPECT_SOON(has_state, .sender = s, .number = BUS_CONNECTED);
    say_until_heard(&t, s);
    (void)bus_sender_stop(s);
}

Test(bus, a_full_queue_drops_its_oldest)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 0};
    struct bus_receiver *r = receiver(&t, rabbit_url(broker), 5);
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    EXPECT_SOON(has_state, .receiver = r, .number = BUS_CONNECTED);
    r = bus_receiver_stop(r);
    atomic_store(&t.limit, 50);
    EXPECT_SOON(is_confirmed, .sender = s, .number = 50);
    r = receiver(&t, rabbit_url(broker), 5);
    EXPECT_SOON(is_heard, .talk = &t, .number = 50);
    cr_assert(atomic_load(&t.heard) == 5, "%lld", atomic_load(&t.heard));
    (void)bus_receiver_stop(r);
}

/* ---- amqps */

/* What a sender makes of the broker, trusting that authority, under that name. */
static struct bus_sender *tls_sender(struct talk *t, const char *url, const char *ca)
{
    struct bus_sender *s = NULL;
    struct err e = {0};
    const struct bus_sender_config config = {
        .name = "test", .url = url, .ca = ca, .queue = queue, .next = next, .arg = t};

    cr_assert(bus_sender_start(&config, &s, &e), "%s", e.msg);
    return s;
}

static bool has_failed(void *arg)
{
    const struct wish *w = arg;

    return bus_sender_counts(w->sender).failures >= w->number;
}

/* It tries again and again, and says nothing. */
static void expect_no_trust(const struct rabbit *broker, const char *ca)
{
    struct talk t = {.limit = 3};
    auto_bus_sender struct bus_sender *s = tls_sender(&t, rabbit_tls_url(broker), ca);

    EXPECT_SOON(has_failed, .sender = s, .number = 3);
    cr_assert(bus_sender_counts(s).connects == 0 && atomic_load(&t.said) == 0);
}

Test(bus, amqps_talks_to_whom_the_authority_knows)
{
    auto_rabbit struct rabbit *broker = rabbit_start_tls("localhost");
    struct talk t = {.limit = 3};
    auto_bus_sender struct bus_sender *s =
        tls_sender(&t, rabbit_tls_url(broker), rabbit_ca(broker));

    EXPECT_SOON(is_refused, .sender = s, .number = 3); /* there is no queue, and it says so */
    cr_assert(bus_sender_counts(s).state == BUS_CONNECTED);
    expect_no_trust(broker, rabbit_other_ca(broker));
    expect_no_trust(broker, "/nowhere/ca.pem");
}

Test(bus, amqps_wants_a_certificate_for_the_name_that_it_was_told)
{
    auto_rabbit struct rabbit *broker = rabbit_start_tls("elsewhere.test");

    expect_no_trust(broker, rabbit_ca(broker));
}

/* As somebody who does not know our limit would say it; no memory of this process is needed. */
static void say_large(struct rabbit *broker, int len)
{
    char publish[256];

    (void)snprintf(publish, sizeof(publish),
                   "rabbit_basic:publish(rabbit_misc:r(<<\"/\">>, exchange, <<\"\">>), <<\"%s\">>,"
                   " [], binary:copy(<<32>>, %d)).",
                   queue, len);
    cr_assert(rabbit_ctl(broker, NULL, "eval", publish, NULL));
}

static long peak_kb(void)
{
    struct rusage usage;

    cr_assert(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

static bool has_passed(void *arg)
{
    const struct wish *w = arg;

    return atomic_load(&w->talk->too_large) >= w->number;
}

/* Its size is announced in front of it. */
Test(bus, a_message_over_the_limit_is_read_past_and_never_held)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 0, .padding = BUS_BODY_MAX - 1};
    auto_bus_receiver struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    EXPECT_SOON(has_state, .receiver = r, .number = BUS_CONNECTED);
    atomic_store(&t.limit, 1);
    EXPECT_SOON(is_heard, .talk = &t, .number = 1);
    const long before_kb = peak_kb();
    say_large(broker, LARGE);
    say_large(broker, BUS_BODY_MAX + 1);
    EXPECT_SOON(has_passed, .talk = &t, .number = 2);
    cr_assert(peak_kb() - before_kb < LARGE / 1024 / 2, "%ld kB more", peak_kb() - before_kb);
    atomic_store(&t.limit, 2);
    EXPECT_SOON(is_heard, .talk = &t, .number = 2);
    cr_assert(bus_receiver_counts(r).connects == 1);
}

/* Of several, none waits for the others: each is on its way out before the first is joined. */
Test(bus, who_is_told_to_stop_ends_by_itself)
{
    auto_rabbit struct rabbit *broker = rabbit_shared(0);
    struct talk t = {.limit = 0};
    auto_bus_receiver struct bus_receiver *r = receiver(&t, rabbit_url(broker), 10000);
    auto_bus_sender struct bus_sender *s = sender(&t, rabbit_url(broker));

    EXPECT_SOON(has_state, .receiver = r, .number = BUS_CONNECTED);
    EXPECT_SOON(has_state, .sender = s, .number = BUS_CONNECTED);
    bus_sender_tell_stop(s);
    bus_receiver_tell_stop(r);
    EXPECT_SOON(has_state, .sender = s, .number = BUS_DOWN);
    EXPECT_SOON(has_state, .receiver = r, .number = BUS_DOWN);
}

/* Connected, and silent: what a host behind a broken network looks like. */
static int64_t stop_unanswered(void *arg)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char url[64], hello[8];
    struct talk t = {.limit = 1};

    (void)arg;
    cr_assert(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 5) == 0 &&
              getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    snprintf(url, sizeof(url), "amqp://127.0.0.1:%d", ntohs(a.sin_port));
    int64_t before_ms = clk_now_ms();
    struct bus_sender *s = sender(&t, url);
    int peer = accept(fd, NULL, NULL);
    cr_assert(recv(peer, hello, sizeof(hello), MSG_WAITALL) == sizeof(hello));
    (void)bus_sender_stop(s);
    int64_t took_ms = clk_now_ms() - before_ms;
    close(peer);
    close(fd);
    return took_ms;
}

Test(bus, a_silent_broker_holds_nobody)
{
    expect_quick(stop_unanswered, NULL);
}

Test(bus, odd_urls_are_refused)
{
    struct err e = {0};

    cr_assert(bus_url_check("amqp://u:p@host:5672/vhost", NULL, &e));
    cr_assert(bus_url_check("amqp://host", NULL, &e));
    cr_assert(bus_url_check("amqp://10.0.0.1", "ca.pem", &e));
    cr_assert(bus_url_check("amqps://host", "ca.pem", &e));
    cr_assert(!bus_url_check("amqps://host", NULL, &e), "nobody to trust");
    cr_assert(!bus_url_check("amqps://host", "", &e), "nobody to trust");
    cr_assert(!bus_url_check("amqps://10.0.0.1", "ca.pem", &e), "an address has no certificate");
    cr_assert(!bus_url_check("http://host", NULL, &e));
    cr_assert(!bus_url_check("amqp://host:notaport", NULL, &e));
    cr_assert(!bus_url_check("amqp://host/", NULL, &e), "no broker has an empty vhost");
    cr_assert(!bus_url_check("", NULL, &e));
}
