#pragma once

/*
 * judge: does what several data centres say of one window add up?
 *
 * The accounts of all data centres are read twice, and the second reading of
 * any of them begins after the first reading of all of them has ended.  So
 * there is a moment between the two at which every counter, which only grows,
 * is at least what it was in the first reading and at most what it is in the
 * second.  What must be small is taken from the first reading and what must be
 * large from the second: a rule that is found broken was broken at that
 * moment, however much moves meanwhile.
 *
 * Pure; the numbers of the rules are those of docs/PROTOCOL.md.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/domain/trade.h"

#define JUDGE_DCS_MAX (TRADE_PEERS_MAX + 1)
#define JUDGE_STRANGER (-1) /* in place of an index: a data centre whose accounts are not read */
#define JUDGE_FINDINGS_MAX 8

/* One data centre's account of a window; what is_known has false is otherwise all zero. */
struct judge_account {
    bool is_known;      /* it has the window */
    bool is_over;       /* closed, or past its end: one that does not have it may have purged it */
    bool has_strangers; /* it got units from, or sent units to, one that is not read */
    int home;           /* the index of the home it names; or JUDGE_STRANGER */
    int64_t total_max;  /* the largest total that was ever asked for */
    int64_t minted, burned, received, sent, granted, returned, consumed, refunded;
    int64_t sent_to[JUDGE_DCS_MAX], received_from[JUDGE_DCS_MAX];
};

/* Borrowed; one a data centre, in the same order in both readings. */
struct judge_window {
    size_t count;
    const struct judge_account *first[JUDGE_DCS_MAX], *second[JUDGE_DCS_MAX];
};

/* clang-format off */
#define JUDGE_RULES(X)                                                                           \
    X(JUDGE_RECEIVED, "I4") /* `to` has received more from `from` than that ever sent */          \
    X(JUDGE_SPENT,    "I5") /* more is spent everywhere than is in force at `from`, the home */   \
    X(JUDGE_MINTED,   "I5") /* more is in force at `from`, the home, than was ever asked for */   \
    X(JUDGE_SUM,      "I6") /* what is somewhere is not what was made */                          \
    X(JUDGE_AWAY,     "I7") /* `from` minted or burned, and is not the home */                    \
    X(JUDGE_HOMES,    "I7") /* not exactly one is the home, or they name different ones */        \
    X(JUDGE_OVERDUE,  "I9") /* what `from` sent has not reached `to` for too long */
/* clang-format on */

enum judge_rule {
#define X(rule, id) rule,
    JUDGE_RULES(X)
#undef X
};

extern const char *const judge_rule_ids[]; /* NULL-terminated */

struct judge_finding {
    enum judge_rule rule;
    int from, to;       /* data centres, see above; JUDGE_STRANGER: none in particular */
    int64_t found, due; /* what is, and what should be (at most); units, JUDGE_HOMES: homes */
};

/* Was the sum over all data centres (I6) checked? */
enum judge_sum {
    JUDGE_SUM_CHECKED,
    JUDGE_SUM_MOVING,     /* something changed between the readings: to be read again */
    JUDGE_SUM_INCOMPLETE, /* some account is not there to be read, or no longer */
};

struct judge_verdict {
    enum judge_sum sum;
    bool is_partly_known; /* some data centres have the window and some do not */
    int64_t violations;
    size_t count; /* of them in `findings`; the others are only counted */
    struct judge_finding findings[JUDGE_FINDINGS_MAX];
};

/*
 * I4 to I7.  A data centre that does not have the window has either not heard
 * of it yet, and then all its counters are 0, or has purged it when it was
 * over.  So while nobody who has the window calls it over, the counters of the
 * others are taken as 0; afterwards nothing is concluded from them.
 */
struct judge_verdict judge_window(const struct judge_window *w);

/* Units that had been sent by the first reading and were not received in the second; 0 if either
 * of the two does not have the window, or names another home. */
int64_t judge_on_the_way(const struct judge_window *w, size_t from, size_t to);
