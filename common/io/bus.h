#pragma once

/*
 * bus: messages through RabbitMQ, on librabbitmq.
 *
 * A sender has one connection to one broker and a thread of its own: it asks
 * for messages, publishes them to one queue, persistent, and counts the
 * broker's confirms.  A receiver has one connection, declares its queue and
 * acknowledges a message when its handler is done with it.
 *
 * Nothing here promises delivery: messages that were not confirmed when a
 * connection broke are forgotten, the queue is bounded, expires and drops its
 * oldest.  Whoever sends says the same again until an answer shows that it was
 * heard.
 *
 * Both come back after any failure, with a backoff and jitter.  A broker that
 * stops reading cannot hold a thread for ever: a watchdog closes the socket of
 * a call that takes longer than BUS_CALL_MS.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"

#define BUS_HEADERS_MAX 8
#define BUS_CALL_MS 5000       /* connecting, a publish, a confirm: longer is a failure */
#define BUS_UNCONFIRMED_MAX 32 /* messages under way in one sender */
#define BUS_BODY_MAX (1024 * 1024)

struct bus_header {
    char name[16];
    char value[80];
};

struct bus_message {
    struct bus_header headers[BUS_HEADERS_MAX];
    size_t headers_count;
    struct buf body;     /* a sender's callback fills it; a receiver's handler only reads it */
    bool is_redelivered; /* by the broker's word: a receiver had it before, and was not done with it
                          */
};

void bus_header_set(struct bus_message *m, const char *name, const char *value);
const char *bus_header(const struct bus_message *m, const char *name); /* or NULL */

/* clang-format off */
#define BUS_STATES(X)                                                             \
    X(BUS_DOWN,      "down")                                                      \
    X(BUS_CONNECTED, "connected")                                                 \
    X(BUS_BLOCKED,   "blocked")   /* the broker has an alarm and takes nothing */
/* clang-format on */

enum bus_state {
#define X(state, name) state,
    BUS_STATES(X)
#undef X
};

extern const char *const bus_state_names[];

/*
 * Refuses what is not amqp[s]://[user[:password]@]host[:port][/vhost].  With amqps, for links that
 * leave the house, the broker must have a certificate for its name, which an address is not, from
 * an authority in the file `ca`.
 */
MUST_CHECK bool bus_url_check(const char *url, const char *ca, struct err *e);

/* What a connection has seen so far. */
struct bus_counts {
    enum bus_state state;
    int64_t connects;
    int64_t failures; /* connections that did not come about, or broke */
    int64_t published, confirmed;
    int64_t refused;     /* by the broker: nacked, or returned because there is no such queue */
    int64_t lost;        /* not confirmed when the connection broke */
    int64_t unconfirmed; /* now */
    bool queue_missing;  /* the last message that was settled came back: nobody listens there */
    int64_t received;
};

/* Asked by the connection's thread, five times a second: while it is false there is no connection.
 */
typedef bool bus_wanted(void *arg);

/* ---- sending */

/* Fills an empty message; false: there is nothing to send now.  On the sender's thread. */
typedef bool bus_next(void *arg, struct bus_message *ret);

struct bus_sender_config {
    const char *name;  /* in log lines: whose broker it is; borrowed */
    const char *url;   /* borrowed */
    const char *ca;    /* borrowed; for amqps, a file; else NULL or "" */
    const char *queue; /* borrowed */
    bus_next *next;
    bus_wanted *wanted; /* NULL: always */
    void *arg;          /* of both */
};

struct bus_sender;

/* The broker need not be there. */
MUST_CHECK bool bus_sender_start(const struct bus_sender_config *config, struct bus_sender **ret,
                                 struct err *e);
void bus_sender_wake(struct bus_sender *s); /* there is something; otherwise it asks each 200 ms */
struct bus_counts bus_sender_counts(struct bus_sender *s);

/* Stopping may take BUS_CALL_MS, while it connects: who stops several tells all of them first. */
void bus_sender_tell_stop(struct bus_sender *s);
struct bus_sender *bus_sender_stop(struct bus_sender *s);
CLEANUP_DEFINE(bus_sender, struct bus_sender, bus_sender_stop)
#define auto_bus_sender CLEANUP(bus_sender)

/* ---- receiving */

/* True: done with it, whatever came of it.  False: try again later.  On the receiver's thread. */
typedef bool bus_handler(void *arg, const struct bus_message *m);

struct bus_receiver_config {
    const char *name;
    const char *url;
    const char *ca;
    const char *queue;
    int64_t ttl_ms;                  /* of messages in the queue */
    int64_t messages_max, bytes_max; /* beyond them the oldest are dropped */
    bus_handler *handle;
    bus_wanted *wanted; /* NULL: always */
    void *arg;          /* of both */
};

struct bus_receiver;

MUST_CHECK bool bus_receiver_start(const struct bus_receiver_config *config,
                                   struct bus_receiver **ret, struct err *e);
struct bus_counts bus_receiver_counts(struct bus_receiver *r);
void bus_receiver_tell_stop(struct bus_receiver *r); /* like bus_sender_tell_stop() */
struct bus_receiver *bus_receiver_stop(struct bus_receiver *r);
CLEANUP_DEFINE(bus_receiver, struct bus_receiver, bus_receiver_stop)
#define auto_bus_receiver CLEANUP(bus_receiver)
