#pragma once

/*
 * bus_internal: one connection and its thread, for bus*.c alone.
 *
 *   bus.c          names, headers, URLs
 *   bus_conn.c     the connection: thread, watchdog, login, backoff
 *   bus_send.c     publishing and confirms
 *   bus_receive.c  the queue and its consumer
 */

#include <amqp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/prng.h"
#include "common/io/bus.h"

#define BUS_CHANNEL 1
#define BUS_POLL_MS 200

struct bus_conn;

/* What a sender and a receiver do with an open connection. */
struct bus_role {
    /* On the open channel, right after login. */
    bool (*open)(void *arg, struct bus_conn *c, struct err *e);
    /* A bounded amount of work; false: the connection is of no use any more. */
    bool (*step)(void *arg, struct bus_conn *c, struct err *e);
    void (*closed)(void *arg);
};

struct bus_conn {
    const char *name, *url, *ca;
    const struct bus_role *role;
    void *arg;
    bus_wanted *wanted; /* NULL: always */
    void *wanted_arg;
    pthread_t thread, watchdog;
    int wake_fd; /* an eventfd */
    atomic_bool stopped;

    /* The thread's. */
    amqp_connection_state_t amqp;
    struct prng prng;
    int64_t backoff_ms;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t stop;
    int fd;                /* -1: none, or not to be touched */
    int64_t busy_until_ms; /* 0: not in a call */
    struct bus_counts counts;
};

MUST_CHECK bool bus_conn_start(struct bus_conn *c, struct err *e);
void bus_conn_tell_stop(struct bus_conn *c); /* does not wait */
void bus_conn_stop(struct bus_conn *c);      /* joins; safe if it was never started */
void bus_conn_wake(struct bus_conn *c);
struct bus_counts bus_conn_counts(struct bus_conn *c);

/* Around every call that may block: the watchdog ends it when it takes too long. */
void bus_conn_busy(struct bus_conn *c);
void bus_conn_idle(struct bus_conn *c);

/* Changes one count under the lock. */
void bus_conn_count(struct bus_conn *c, int64_t *count, int64_t n);
void bus_conn_queue(struct bus_conn *c, bool is_missing);
void bus_conn_state(struct bus_conn *c, enum bus_state state);

/* Waits until a frame may be there, or bus_conn_wake(), or `ms`. */
void bus_conn_wait(struct bus_conn *c, int64_t ms);

/* Whatever comes; only stopping ends it early. */
void bus_conn_pause(struct bus_conn *c, int64_t ms);

/* The next frame if there is one. False: the connection failed. */
MUST_CHECK bool bus_conn_frame(struct bus_conn *c, amqp_frame_t *ret, bool *ret_any, struct err *e);

/* What frames of the connection itself mean (blocked, unblocked, close); false: it is over. */
MUST_CHECK bool bus_conn_handle(struct bus_conn *c, const amqp_frame_t *frame, struct err *e);

MUST_CHECK bool bus_reply_check(amqp_rpc_reply_t reply, const char *what, struct err *e);
MUST_CHECK bool bus_status_check(int status, const char *what, struct err *e);
