#pragma once

/*
 * ears: which messages of one other data centre have come, by their numbers.
 * Runs are ordered, and so are the messages of each.
 */

#include <stdbool.h>
#include <stdint.h>

#define EARS_UNKNOWN INT64_C(-1)

/*
 * By how many an honest message may be overtaken.  Our queue keeps 10,000
 * messages, for a minute: of all that it can hold back, while its sender says
 * 270 things a second, none is taken for a replay.  One that comes later still
 * was counted as missed, and is told again.  2 kB for each peer.
 */
#define EARS_SEEN_MAX 16384

struct ears {
    int64_t run, last_seq; /* EARS_UNKNOWN: nothing has been heard */
    int64_t missed;    /* messages that others of that run have overtaken, or that were of no use */
    int64_t rows_done; /* the last with rows that is done with */
    uint64_t seen[EARS_SEEN_MAX / 64]; /* of the last ones, by number, modulo */
};

/* clang-format off */
enum ears_verdict {
    EARS_NEWS,    /* later than all before: it says how things are now */
    EARS_LATE,    /* newer ones have overtaken it, and it comes for the first time */
    EARS_REPLAYED /* it has come before, is of an earlier run, or too late to know */
};
/* clang-format on */

void ears_init(struct ears *ears);

/* A message of this run and number has come; both are known. */
enum ears_verdict ears_hear(struct ears *ears, int64_t run, int64_t seq);
