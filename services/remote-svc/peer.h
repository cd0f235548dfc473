#pragma once

/* peer: one other data centre, as it looks from here.  Thread-safe. */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/metric.h"
#include "common/base/num.h"
#include "common/io/bus.h"
#include "services/remote-svc/config.h"
#include "services/remote-svc/outgoing.h"

#define PEER_UNKNOWN INT64_C(-1)

struct peer_view {
    int64_t heard_ms; /* on the monotonic clock; PEER_UNKNOWN: never */
    bool is_up;
    int64_t clock_difference_ms; /* theirs minus ours, with the time that a message takes */
    int64_t rows_in_transit, units_in_transit; /* of what we sent, by the last look */

    /* Our definitions. */
    int64_t definitions_revision; /* the newest here */
    int64_t definitions_echoed;   /* what it says it has applied; PEER_UNKNOWN */

    /* Its definitions. */
    int64_t definitions_applied; /* here; PEER_UNKNOWN */
};

struct peer {
    const struct remote_config *config;
    struct remote_peer_setting setting;
    char queue[NAME_SIZE + 16]; /* where it listens */
    struct outgoing *rows;
    struct bus_sender *sender;
    struct metric_series *up, *in_transit, *waiting, *dropped;

    pthread_mutex_t lock; /* guards all below */
    struct peer_view view;
    bool wants_sync;        /* it was found again: tell it everything */
    bool has_definitions;   /* a message of ours waits */
    struct buf definitions; /* its members */
    int64_t said_ms;        /* when it was last told anything */
};

void peer_init(struct peer *p, const struct remote_config *config,
               const struct remote_peer_setting *setting);
void peer_done(struct peer *p);

struct peer_view peer_look(struct peer *p);
struct bus_counts peer_bus(struct peer *p);

/* A message of it has come; what it does not say is PEER_UNKNOWN. */
void peer_heard(struct peer *p, int64_t definitions_echoed, int64_t sent_at_ms);

/* Notices when it has fallen silent; true (once) if everything should be told again. */
bool peer_check(struct peer *p);

void peer_in_transit(struct peer *p, int64_t rows, int64_t units);
void peer_definitions_applied(struct peer *p, int64_t revision);
void peer_definitions_revision(struct peer *p, int64_t revision);

/* Rows of an array as local-svc gave it; those that name another peer are passed over. */
void peer_tell_rows(struct peer *p, struct span rows);

/* One message of definitions may wait: true if it has been taken over. */
bool peer_is_told_definitions(struct peer *p);
void peer_tell_definitions(struct peer *p, const struct buf *members);
