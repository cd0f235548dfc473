#pragma once

/*
 * wire_internal: for wire*.c alone.
 *
 *   wire.c        the thread, its event loop, and what others tell it
 *   wire_link.c   one connection: two sockets, and what is under way between them
 *   wire_amqp.c   frames, deliveries, and what is done to them
 *
 * All state is guarded by the wire's lock, which the thread gives up only
 * while it waits for events.  The thread alone opens and closes sockets.
 */

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/harness/wire.h"

/* An end of a connection, and the way that begins there: bit `1 << side` of enum wire_ways. */
enum wire_side { WIRE_CLIENT, WIRE_UPSTREAM };

static inline enum wire_side wire_other(enum wire_side side)
{
    return side == WIRE_CLIENT ? WIRE_UPSTREAM : WIRE_CLIENT;
}

/* ---- what is under way */

struct wire_piece {
    struct wire_piece *next;
    int64_t came_at_ns;
    size_t len, passed; /* so much of it has been passed on */
    char data[];
};

struct wire_queue {
    struct wire_piece *first, *last;
    size_t bytes; /* of memory */
    int64_t count;
};

struct wire_piece *wire_piece_new(const void *data, size_t len);
void wire_queue_add(struct wire_queue *q, struct wire_piece *p);
void wire_queue_add_first(struct wire_queue *q, struct wire_piece *p);
struct wire_piece *wire_queue_take(struct wire_queue *q); /* or NULL */
void wire_queue_clear(struct wire_queue *q);

/* ---- a connection */

enum wire_end {
    WIRE_END_NONE,
    WIRE_END_CLOSED, /* nothing more will be sent */
    WIRE_END_RESET,
};

/* One way of one connection. */
struct wire_flow {
    struct wire_queue queue;
    bool is_full; /* the receiver takes nothing now */
    enum wire_end end;
    int64_t ended_at_ns;
    bool is_end_told;
};

enum wire_link_state {
    WIRE_LINK_WAITING, /* the way to upstream is cut: it has not heard of it */
    WIRE_LINK_CONNECTING,
    WIRE_LINK_OPEN,
    WIRE_LINK_HALF_OPEN, /* upstream knows it no more, the client is not told */
};

struct wire_amqp;

struct wire_link {
    struct wire *wire;
    enum wire_link_state state;
    int fds[2];                /* by side; -1: gone */
    bool is_hung[2];           /* poll() would say so without end: look when it may be read again */
    struct wire_flow flows[2]; /* by the side where they begin */
    struct wire_amqp *amqp;    /* NULL if the wire knows bytes alone */
    bool is_over;              /* to be freed */
};

struct wire_link *wire_link_new(struct wire *w, int client); /* takes the socket */
void wire_link_free(struct wire_link *l);
void wire_link_connect(struct wire_link *l);
void wire_link_watch(const struct wire_link *l, struct pollfd ret[2]);
void wire_link_hear(struct wire_link *l, const struct pollfd fds[2]);
void wire_link_pass(struct wire_link *l);      /* what is due */
void wire_link_reset(struct wire_link *l);     /* both ends, at once */
void wire_link_half_open(struct wire_link *l); /* upstream's end */

/* Bytes set out from `side` now, behind those before them. */
void wire_link_put(struct wire_link *l, enum wire_side side, struct wire_piece *p);
void wire_link_put_bytes(struct wire_link *l, enum wire_side side, const void *data, size_t len);

/* ---- AMQP */

struct wire_amqp *wire_amqp_new(void);
struct wire_amqp *wire_amqp_free(struct wire_amqp *a);
void wire_amqp_take(struct wire_link *l, enum wire_side side, const char *data, size_t len);
void wire_amqp_release(struct wire_link *l);
void wire_amqp_forget(struct wire_link *l); /* what is held, and who is to answer twice */
int64_t wire_amqp_held(const struct wire_link *l);

/* ---- all of it */

/* One way of the line, for all connections. */
struct wire_line {
    int64_t delay_ns;
    int64_t bytes_per_s; /* 0: no limit */
    int64_t busy_until_ns;
    bool is_cut;
};

struct wire_rule {
    enum wire_fault fault;
    char containing[64]; /* empty: anything */
    int64_t pending;
};

struct wire {
    pthread_mutex_t lock;  /* guards all below, but what is set before the thread starts */
    pthread_cond_t obeyed; /* `orders` are 0 again */
    pthread_t thread;
    bool is_amqp;
    int64_t port, upstream_port;
    int keeper;   /* keeps the port ours while nobody listens */
    int listener; /* -1: new connections are refused */
    int bell;     /* an eventfd */
    unsigned orders;
    bool is_stopping;

    struct wire_line lines[2]; /* by the side where they begin */
    struct wire_rule deliveries, publishes;
    struct wire_counts counts;

    struct wire_link *links[WIRE_LINKS_MAX];
    size_t links_count, links_first; /* the one whose turn it is to be first */
    struct pollfd fds[2 + 2 * WIRE_LINKS_MAX];
    int64_t now_ns;  /* of this turn */
    int64_t wake_ns; /* when the next is due; INT64_MAX: nothing is */
};

/* True: it is time. False: the thread will come back when it is. */
bool wire_is_due(struct wire *w, int64_t at_ns);
