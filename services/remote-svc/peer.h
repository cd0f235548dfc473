#pragma once

/* peer: one other data centre, as it looks from here.  Thread-safe. */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/metric.h"
#include "common/base/num.h"
#include "common/io/bus.h"
#include "services/remote-svc/config.h"
#include "services/remote-svc/ears.h"
#include "services/remote-svc/outgoing.h"

#define PEER_UNKNOWN EARS_UNKNOWN

/*
 * What every message says besides its content; PEER_UNKNOWN where it is silent.
 * A run is a time in which one process of remote-svc acts, by a number that is
 * higher than those of all runs before it; its messages to one peer are
 * numbered from 1.
 */
struct peer_said {
    int64_t sent_at_ms;          /* its calendar clock */
    int64_t run, seq;            /* of this message */
    int64_t heard_ms_ago;        /* when it last heard us */
    int64_t heard_run, missed;   /* how many messages of that run of ours it has missed */
    int64_t rows_seq;            /* of messages with rows: which of them this is, from 1 */
    int64_t rows_done;           /* of that run of ours: the last that is done with */
    int64_t definitions_applied; /* of ours, up to this revision */
};

#define PEER_SAID_NOTHING                                                                          \
    ((struct peer_said){PEER_UNKNOWN, PEER_UNKNOWN, PEER_UNKNOWN, PEER_UNKNOWN, PEER_UNKNOWN,      \
                        PEER_UNKNOWN, PEER_UNKNOWN, PEER_UNKNOWN, PEER_UNKNOWN})

enum peer_hears { PEER_HEARS_UNKNOWN, PEER_HEARS_NOT, PEER_HEARS };

struct peer_view {
    int64_t heard_ms; /* on the monotonic clock; PEER_UNKNOWN: never */
    bool is_up;
    enum peer_hears hears_us;    /* by what it says; unknown unless it is up */
    int64_t clock_difference_ms; /* theirs minus ours, less the time that a message takes */
    int64_t rows_in_transit, units_in_transit; /* of what we sent, by the last look */
    int64_t missed;                            /* messages of ours, by what it says */

    /* Our definitions. */
    int64_t definitions_revision; /* the newest here */
    int64_t definitions_echoed;   /* what it says it has applied; PEER_UNKNOWN */

    /* Its definitions. */
    int64_t definitions_applied; /* here; PEER_UNKNOWN */
};

/* The metrics by peer: member, kind, name, help. */
/* clang-format off */
#define PEER_METRICS(X)                                                                            \
    X(up, GAUGE, "volumecap_peer_up", "1 if the data centre was heard of lately")                  \
    X(hears_us, GAUGE, "volumecap_peer_hears", "1 if it is up and says that it hears us")       \
    X(heard_at, GAUGE_SECONDS, "volumecap_peer_last_heard_timestamp_seconds",                      \
      "When it was heard last, in seconds since 1970; 0: never")                                   \
    X(clock_difference, GAUGE_SECONDS, "volumecap_peer_clock_difference_seconds",                  \
      "Its clock minus ours, less the time that a message takes")                                  \
    X(in_transit, GAUGE, "volumecap_peer_in_transit_units",                                        \
      "Units sent to it that it has not confirmed")                                                \
    X(waiting, GAUGE, "volumecap_peer_waiting_rows", "Rows not yet published")                     \
    X(dropped, COUNTER, "volumecap_peer_rows_dropped_total",                                       \
      "Rows for which there was no room; they are told later")                                     \
    X(sent_rows, COUNTER, "volumecap_peer_rows_sent_total", "Rows published")                      \
    X(sent_bytes, COUNTER, "volumecap_peer_sent_bytes_total", "Bodies of messages to it")          \
    X(received_bytes, COUNTER, "volumecap_peer_received_bytes_total",                              \
      "Bodies of messages of it, as far as they were believed")                                    \
    X(applied, COUNTER, "volumecap_peer_messages_applied_total",                                   \
      "Messages of rows that local-svc has taken")                                                 \
    X(rounds, COUNTER, "volumecap_peer_rounds_total",                                              \
      "Rounds over all open windows, in which it is told what has changed")                        \
    X(round_rows, COUNTER, "volumecap_peer_round_rows_total", "Rows that rounds told it")          \
    X(round_seconds, GAUGE_SECONDS, "volumecap_peer_round_duration_seconds",                       \
      "How long the last round took")
/* clang-format on */

struct peer_metrics {
#define X(member, kind, name, help) struct metric_series *member;
    PEER_METRICS(X)
#undef X
};

struct peer {
    const struct remote_config *config;
    struct remote_peer_setting setting;
    char queue[NAME_SIZE + 16]; /* where it listens */
    struct outgoing *rows;
    struct bus_sender *sender;
    struct peer_metrics metrics;

    pthread_mutex_t lock; /* guards all below */
    int64_t run;          /* ours */
    struct peer_view view;
    struct ears ears;           /* its messages as they came */
    bool was_found, has_missed; /* since peer_check(): tell it everything */
    int64_t difference_ms;      /* when the clock difference was measured */
    bool has_definitions;       /* a message of ours waits */
    struct buf definitions;     /* its members */
    int64_t said_ms;            /* when it was last told anything */
    bool owes_echo;             /* it should hear soon that its rows are done with */
    int64_t rows_seq, rows_ms;  /* of the last message with rows to it, and when */
    int64_t rows_done;          /* which of them it is done with */
    int64_t seq;                /* of the last message to it */
};

void peer_init(struct peer *p, const struct remote_config *config,
               const struct remote_peer_setting *setting);
void peer_done(struct peer *p);

struct peer_view peer_look(struct peer *p);
struct bus_counts peer_bus(struct peer *p);

/*
 * While this replica does not act: nothing is known, nothing waits, and what
 * is said next is said in a new run.
 */
void peer_rest(struct peer *p);

/*
 * A message of it has come; false: it is a replay, which nobody should believe.
 * One that the broker gives out again is none: it may not have been done with.
 */
bool peer_heard(struct peer *p, const struct peer_said *said, size_t bytes, bool is_redelivered);

/* The rows of this message of it are done with: it is told so soon. */
void peer_rows_done(struct peer *p, const struct peer_said *said);

/*
 * Not more than so many messages with rows are on the way to it: what waits
 * here is replaced by what is newer, what waits in a queue is not, and makes
 * all behind it late.  Whoever takes none is tried again, since they may be
 * lost, each time after twice the time, since it may only be slow.  Without
 * the lock, which the caller holds.
 */
#define PEER_ROWS_UNDER_WAY_MAX 4
#define PEER_ROWS_TRY_MS 1000
#define PEER_ROWS_TRIES_MAX 4 /* doublings */
bool peer_rows_may_go(const struct peer *p);

/* What it said in its last message could not be taken, and is gone. */
void peer_missed(struct peer *p);

/* As if it had said so itself. */
void peer_to_be_told_everything(struct peer *p);

/* What a message to it says besides: without the lock, which the caller holds. */
struct peer_said peer_say(struct peer *p);

/* Notices when it has fallen silent; each of the two is true once. */
struct peer_events {
    bool was_found;  /* it is heard again */
    bool has_missed; /* it says that messages of ours were lost */
};
struct peer_events peer_check(struct peer *p);

void peer_in_transit(struct peer *p, int64_t rows, int64_t units);
void peer_definitions_applied(struct peer *p, int64_t revision);
void peer_definitions_revision(struct peer *p, int64_t revision);

/* Rows of an array as local-svc gave it; those that name another peer are passed over. */
void peer_tell_rows(struct peer *p, struct span rows);

/* The same in a round, for those that it has not been told just so; how many. */
int64_t peer_tell_untold(struct peer *p, struct span rows);

/* Is there anything to gain from reading rows for it now: does its broker take them? */
bool peer_takes_rows(struct peer *p);

/* Of what it was given, at most so many rows wait or are under way. */
bool peer_has_drained(struct peer *p, int64_t rows);

/* One message of definitions may wait: true if it has been taken over. */
bool peer_is_told_definitions(struct peer *p);
void peer_tell_definitions(struct peer *p, const struct buf *members);
