#pragma once

/* peers: the data centres that share caps: this one, and the others it trades with. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/num.h"
#include "common/domain/trade.h"

struct peers {
    char self[NAME_SIZE];
    size_t count;                           /* of the others; 0: this is the only data centre */
    char names[TRADE_PEERS_MAX][NAME_SIZE]; /* of the others, sorted */
};

/* `self` is a name; `others` are names separated by commas, as in LOCAL_PEERS; "" is none. */
MUST_CHECK bool peers_parse(const char *self, const char *others, struct peers *ret, struct err *e);

/* The index of a name among the others; -1: it is not one of them. */
int peers_find(const struct peers *p, const char *name);

/* The share of this data centre, and of the index-th other: all of them in the order of names. */
int64_t peers_own_share(const struct peers *p, int64_t total);
int64_t peers_share(const struct peers *p, int64_t total, size_t index);

/* Is it the turn of the index-th other (trade_has_turn())? */
bool peers_has_turn(const struct peers *p, size_t index, int64_t now_ms);
