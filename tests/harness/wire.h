#pragma once

/*
 * wire: the network between two programs, for tests, benches and demos: a TCP
 * proxy that delays, slows, cuts and resets, and that knows enough AMQP 0-9-1
 * to lose, repeat, hold and reorder single messages.
 *
 * Which proxy?  proxy.h is for HTTP requests between services (a request or
 * its answer is lost, or sent twice).  This one is for everything below:
 * bytes, connections, routes; and for messages on their way through a broker.
 *
 * It listens on a free port of 127.0.0.1, connects each client to the upstream
 * port and passes bytes on, both ways, on one thread that sleeps while nothing
 * happens.  What is under way is held in memory: at most 2 MiB for each way of
 * a connection (so with a delay of 200 ms some 10 MB/s fit through), then the
 * sender is made to wait, as TCP does.
 *
 * Faults may change at any time, from any thread; a call returns when they are
 * in force, for the connections that exist as well as for new ones.  They
 * come together as one likes: a line may be slow and late and cut.  Everything
 * here aborts with a message when it fails, as in proc.h.
 *
 * What is not like a real network: the kernel of this host acknowledges to
 * both ends whatever happens, so neither TCP keepalive nor retransmission
 * timeouts see a cut; who is to notice it needs heartbeats or deadlines of its
 * own.  Connecting takes no time, whatever the delay.  TLS passes, unread.
 */

#include <stdint.h>

#include "common/base/cleanup.h"

#define WIRE_LINKS_MAX 200 /* connections at a time; further ones are reset, and counted */

struct wire;

struct wire *wire_start(int64_t upstream_port);      /* bytes */
struct wire *wire_start_amqp(int64_t upstream_port); /* bytes, and messages to and from a broker */
int64_t wire_port(const struct wire *w);

/* Ends all connections. */
struct wire *wire_stop(struct wire *w);
CLEANUP_DEFINE(wire, struct wire, wire_stop)
#define auto_wire CLEANUP(wire)

/* ---- the line */

enum wire_ways {
    WIRE_TO_UPSTREAM = 1,
    WIRE_TO_CLIENT = 2,
    WIRE_BOTH_WAYS = WIRE_TO_UPSTREAM | WIRE_TO_CLIENT,
};

/* Each byte, and the end of a connection, arrives `ms` later, in order; 0: at once. */
void wire_delay(struct wire *w, enum wire_ways ways, int64_t ms);

/* Not more than so many bytes a second in each way, all connections together; 0: no limit. */
void wire_slow(struct wire *w, enum wire_ways ways, int64_t bytes_per_s);

/*
 * Nothing arrives any more, silently: no byte, no end, no reset.  A sender
 * sees that nothing is taken once all buffers are full.  With one way cut, the
 * other goes on.  New connections are accepted, and as silent; upstream hears
 * of them when the way to it is whole again, if the client is still there.
 */
void wire_cut(struct wire *w, enum wire_ways ways);

/* The end of a cut: what was held goes on, in connections that both ends still have. */
void wire_join(struct wire *w, enum wire_ways ways);

/*
 * Upstream has died and come back: it knows the connections of now no more
 * (it sees them reset), the clients are not told.  New ones work.
 */
void wire_half_open(struct wire *w);

/* All connections are reset and new ones refused, until wire_heal(). */
void wire_reset(struct wire *w);

/* No fault any more, of messages neither: what was held is released; half-open ends get a reset. */
void wire_heal(struct wire *w);

/*
 * ---- messages, on a wire_start_amqp() between a client and its broker
 *
 * A delivery is what the broker hands to a consumer: basic.deliver, the
 * content header and the body.  Consumers must acknowledge (not no_ack) and
 * mind the prefetch count: a broker hands out no more than that while
 * deliveries are held.  Heartbeats and all else pass meanwhile.
 *
 * What is held for a connection is forgotten with it; the broker delivers it
 * again on the next one.  Examined are channels 1 to 15 and messages of up to
 * 4 MiB; others pass as they are.
 */

enum wire_fault {
    WIRE_HOLD,    /* kept until wire_release() */
    WIRE_DROP,    /* lost: the broker gets an acknowledgement in the consumer's name */
    WIRE_REPEAT,  /* twice, with the same tag; the consumer's second acknowledgement is swallowed */
    WIRE_REVERSE, /* kept until all of them have come, then the last first; two of them: a swap */
};

/*
 * The next `n` deliveries in whose headers (names and values of its header
 * table, and properties) the text occurs meet the fault; NULL: any.  This
 * replaces what is still pending of the last call; 0: nothing any more.
 */
void wire_deliveries(struct wire *w, enum wire_fault fault, const char *containing, int64_t n);
int64_t wire_deliveries_pending(struct wire *w); /* how many of those have not come yet */

/* What is held goes on, in order; an incomplete WIRE_REVERSE goes on reversed. */
void wire_release(struct wire *w);

/* In the bodies of the next `n` such messages that clients publish, a bit is wrong. */
void wire_publishes_corrupt(struct wire *w, const char *containing, int64_t n);
int64_t wire_publishes_pending(struct wire *w);

/* ---- what happened */

struct wire_counts {
    int64_t links;                  /* connections, now; half-open ones too */
    int64_t accepted, refused;      /* connections; refused: WIRE_LINKS_MAX */
    int64_t to_upstream, to_client; /* bytes that arrived */
    int64_t turns;                  /* of the event loop: none while nothing happens */

    /* Deliveries. `passed` have been given to the consumer, the second copies not counted. */
    int64_t passed, dropped, repeated, reversed;
    int64_t held; /* now, for wire_release() */
    int64_t acks_swallowed;
    int64_t published, corrupted;
};

struct wire_counts wire_counts(struct wire *w);
