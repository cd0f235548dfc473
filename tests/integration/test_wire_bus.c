/* The wire between our own senders and receivers and a real broker. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/io/bus.h"
#include "tests/harness/proc.h"
#include "tests/harness/rabbit.h"
#include "tests/harness/wire.h"

#define SOON_MS 60000 /* by then what is to happen has happened, on a busy machine too */

RABBIT_SUITE(1);

static char queue[32]; /* this test's */

/* A sender says what it is told to; a receiver writes down what it hears. */
struct talk {
    struct rabbit *broker;
    struct wire *said, *heard; /* between the sender and the broker, the broker and the receiver */
    struct bus_sender *sender;
    struct bus_receiver *receiver;
    char urls[2][64];
    pthread_mutex_t lock; /* guards all below */
    int to_say, words_said;
    const char *kind;
    char text[2048]; /* all words heard, a space after each */
    int words_heard;
};

static bool next(void *arg, struct bus_message *ret)
{
    struct talk *t = arg;

    pthread_mutex_lock(&t->lock);
    const bool any = t->to_say > 0;
    if (any) {
        t->to_say--;
        bus_header_set(ret, "kind", t->kind);
        buf_printf(&ret->body, "%s%d", t->kind, ++t->words_said);
    }
    pthread_mutex_unlock(&t->lock);
    return any;
}

static bool hear(void *arg, const struct bus_message *m)
{
    struct talk *t = arg;

    pthread_mutex_lock(&t->lock);
    const size_t len = strlen(t->text);
    (void)snprintf(t->text + len, sizeof(t->text) - len, "%s ", buf_text(&m->body));
    t->words_heard++;
    pthread_mutex_unlock(&t->lock);
    return true;
}

struct wish {
    struct talk *talk;
    int64_t number;
};

static bool is_receiving(void *arg)
{
    const struct wish *w = arg;

    return bus_receiver_counts(w->talk->receiver).state == BUS_CONNECTED;
}

static bool has_heard(void *arg)
{
    const struct wish *w = arg;

    pthread_mutex_lock(&w->talk->lock);
    const bool ok = w->talk->words_heard >= w->number;
    pthread_mutex_unlock(&w->talk->lock);
    return ok;
}

static bool is_confirmed(void *arg)
{
    const struct wish *w = arg;

    return bus_sender_counts(w->talk->sender).confirmed >= w->number;
}

static bool has_held(void *arg)
{
    const struct wish *w = arg;

    return wire_counts(w->talk->heard).held == w->number;
}

static bool has_dropped(void *arg)
{
    const struct wish *w = arg;

    return wire_counts(w->talk->heard).dropped == w->number;
}

static bool has_swallowed(void *arg)
{
    const struct wish *w = arg;

    return wire_counts(w->talk->heard).acks_swallowed == w->number;
}

static bool is_cut_off(void *arg)
{
    const struct wish *w = arg;

    return bus_receiver_counts(w->talk->receiver).state == BUS_DOWN;
}

static bool is_empty(void *arg)
{
    const struct wish *w = arg;

    return rabbit_messages(w->talk->broker, queue) == 0;
}

static void expect_soon(bool (*condition)(void *), struct talk *t, int64_t number, const char *what)
{
    struct wish w = {.talk = t, .number = number};

    cr_assert(harness_await(condition, &w, SOON_MS), "not soon: %s; heard: %s", what, t->text);
}
#define EXPECT_SOON(condition, t, number) expect_soon(condition, t, number, #condition)

static void talk_start(struct talk *t)
{
    struct err e = {0};

    t->broker = rabbit_shared(0);
    t->said = wire_start_amqp(rabbit_port(t->broker));
    t->heard = wire_start_amqp(rabbit_port(t->broker));
    (void)snprintf(t->urls[0], sizeof(t->urls[0]), "amqp://127.0.0.1:%lld",
                   (long long)wire_port(t->said));
    (void)snprintf(t->urls[1], sizeof(t->urls[1]), "amqp://127.0.0.1:%lld",
                   (long long)wire_port(t->heard));
    const struct bus_receiver_config receiver = {.name = "test",
                                                 .url = t->urls[1],
                                                 .queue = queue,
                                                 .ttl_ms = 60000,
                                                 .messages_max = 1000,
                                                 .bytes_max = 64 << 20,
                                                 .handle = hear,
                                                 .arg = t};
    const struct bus_sender_config sender = {
        .name = "test", .url = t->urls[0], .queue = queue, .next = next, .arg = t};

    cr_assert(bus_receiver_start(&receiver, &t->receiver, &e), "%s", e.msg);
    EXPECT_SOON(is_receiving, t, 0);
    cr_assert(bus_sender_start(&sender, &t->sender, &e), "%s", e.msg);
}

static void talk_done(struct talk *t)
{
    (void)bus_sender_stop(t->sender);
    (void)bus_receiver_stop(t->receiver);
    (void)wire_stop(t->said);
    (void)wire_stop(t->heard);
    (void)rabbit_free(t->broker);
}
#define auto_talk __attribute__((cleanup(talk_done)))

/* And the broker has them. */
static void say(struct talk *t, const char *kind, int words)
{
    pthread_mutex_lock(&t->lock);
    t->kind = kind;
    t->to_say = words;
    const int all = t->words_said + words;
    pthread_mutex_unlock(&t->lock);
    bus_sender_wake(t->sender);
    EXPECT_SOON(is_confirmed, t, all);
}

static void expect_heard(struct talk *t, int words, const char *text)
{
    EXPECT_SOON(has_heard, t, words);
    pthread_mutex_lock(&t->lock);
    cr_assert(strcmp(t->text, text) == 0, "heard: %s", t->text);
    t->text[0] = '\0';
    t->words_heard = 0;
    pthread_mutex_unlock(&t->lock);
}

static void begin(void)
{
    log_level_set(LOG_ERROR);
    (void)snprintf(queue, sizeof(queue), "volumecap.test-%d", getpid());
}

TestSuite(wire_bus, .init = begin);

/* One talk for all that leaves the connection whole: what is wrong would show in the next step. */
Test(wire_bus, holds_drops_repeats_and_reverses_messages_of_a_kind)
{
    auto_talk struct talk t = {.lock = PTHREAD_MUTEX_INITIALIZER};

    talk_start(&t);
    say(&t, "rows", 1);
    expect_heard(&t, 1, "rows1 ");

    wire_deliveries(t.heard, WIRE_HOLD, "rows", 2);
    say(&t, "hello", 1);
    say(&t, "rows", 2);
    EXPECT_SOON(has_held, &t, 2);
    say(&t, "rows", 1);
    expect_heard(&t, 2, "hello2 rows5 ");
    wire_release(t.heard);
    expect_heard(&t, 2, "rows3 rows4 ");

    wire_deliveries(t.heard, WIRE_DROP, "rows", 2);
    say(&t, "hello", 1);
    say(&t, "rows", 3);
    expect_heard(&t, 2, "hello6 rows9 ");
    EXPECT_SOON(has_dropped, &t, 2);
    EXPECT_SOON(is_empty, &t, 0); /* the broker has forgotten them */

    wire_deliveries(t.heard, WIRE_REPEAT, "rows", 2);
    say(&t, "hello", 1);
    say(&t, "rows", 3);
    expect_heard(&t, 6, "hello10 rows11 rows11 rows12 rows12 rows13 ");
    EXPECT_SOON(has_swallowed, &t, 2);

    wire_deliveries(t.heard, WIRE_REVERSE, "rows", 3);
    say(&t, "rows", 2);
    say(&t, "hello", 1);
    say(&t, "rows", 2);
    expect_heard(&t, 5, "hello16 rows17 rows15 rows14 rows18 ");

    EXPECT_SOON(is_empty, &t, 0);
    cr_assert(bus_receiver_counts(t.receiver).connects == 1, "the broker closed the channel");
    cr_assert(bus_sender_counts(t.sender).connects == 1);
}

Test(wire_bus, corrupts_what_is_published)
{
    auto_talk struct talk t = {.lock = PTHREAD_MUTEX_INITIALIZER};

    talk_start(&t);
    wire_publishes_corrupt(t.said, "rows", 2);
    say(&t, "hello", 1);
    say(&t, "rows", 3);
    EXPECT_SOON(has_heard, &t, 4);
    pthread_mutex_lock(&t.lock);
    cr_assert(strncmp(t.text, "hello1 ", 7) == 0, "heard: %s", t.text);
    cr_assert(!strstr(t.text, "rows2 ") && !strstr(t.text, "rows3 "), "heard: %s", t.text);
    cr_assert(strstr(t.text, " rows4 ") != NULL, "heard: %s", t.text);
    pthread_mutex_unlock(&t.lock);
    cr_assert(wire_publishes_pending(t.said) == 0 && wire_counts(t.said).corrupted == 2);
}

/* A message that is held when its consumer is cut off comes on the next connection. */
Test(wire_bus, what_is_held_survives_a_cut_that_heals)
{
    auto_talk struct talk t = {.lock = PTHREAD_MUTEX_INITIALIZER};

    talk_start(&t);
    wire_deliveries(t.heard, WIRE_HOLD, NULL, 1);
    say(&t, "rows", 1);
    EXPECT_SOON(has_held, &t, 1);
    wire_cut(t.heard, WIRE_BOTH_WAYS);
    EXPECT_SOON(is_cut_off, &t, 0); /* for want of heartbeats */
    wire_heal(t.heard);
    expect_heard(&t, 1, "rows1 ");

    EXPECT_SOON(is_empty, &t, 0); /* the broker has heard so, and does not say it again */
    wire_reset(t.heard);
    EXPECT_SOON(is_cut_off, &t, 0);
    say(&t, "rows", 1);
    wire_heal(t.heard);
    expect_heard(&t, 1, "rows2 ");
}
