#pragma once

/*
 * trade: units between data centres.
 *
 * For each window, DC i keeps a row for each other DC j: `sent` is what i ever
 * sent to j, `received` what i ever got from j; both only grow, and i alone
 * writes them.  i tells j its row; j credits max(0, sent_ij - received_ji) and
 * tells i, in its own row, how much it has received.  A row that is lost is
 * sent again, one that is repeated or late changes nothing.  What was sent and
 * not yet received is in transit: it belongs to the receiver, and nobody takes
 * it back.
 *
 * The other members of a row (want, free, rate, spent) are hints: they steer
 * the policy, never safety.  Pure: the time is an argument.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/domain/pool.h"

#define TRADE_PEERS_MAX 31

/* What this DC knows of one other DC, in one window. */
struct trade_peer {
    int64_t sent;     /* by us, to it */
    int64_t received; /* by us, from it */
    int64_t echoed;   /* of what we sent, what it says it has received */
    int64_t want;     /* what it asks us for */
    int64_t lack;     /* of that, what its servers lack already, or what it will burn; a part of
                         pool.wanted_elsewhere */
    int64_t burn;     /* of that, what it will burn */
    int64_t free;     /* hints, of its last row */
    int64_t spent;    /* consumed - refunded + presumed there; a part of pool.spent_elsewhere */
    int64_t rate_milli;
    int64_t version;     /* of its last row: older ones carry no hints */
    int64_t incarnation; /* the highest that it spoke in: what it said before that is void */
    int64_t heard;       /* of ours, the highest that it has heard, as it says */
    /* Since when it has not answered: a time of trade_context.now_ms. */
    int64_t unechoed_since_ms;   /* with an echo of anything new, while units are in transit */
    int64_t unanswered_since_ms; /* with a row, while it is asked for units; 0: it has, or is not */
};

/* The time, which steers the policy alone. */
struct trade_context {
    int64_t now_ms;      /* any real clock that the data centre's services share */
    int64_t ends_in_ms;  /* the window; 0: it is over, and nothing is asked for or given */
    int64_t incarnation; /* of this DC (learn.h) */
    bool peer_has_turn;  /* whose row this is: see trade_has_turn() */
};

/* What DC i tells DC j. */
struct trade_row {
    int64_t sent;     /* i to j, cumulative */
    int64_t received; /* j to i, cumulative: the echo */
    int64_t want;     /* what i asks j for: soon needed */
    int64_t lack;     /* of that, what its servers lack already, or what it will burn */
    int64_t burn;     /* of that, what it will burn: given before any demand */
    int64_t free, spent, rate_milli;
    int64_t total;     /* as i knows it; 0: it does not say, or has heard of a newer one */
    int64_t total_max; /* the largest total i ever heard of, also in rows; 0: it does not say */
    /*
     * The version of the cap's definition, as its home numbers them, that `total` is of; or the
     * newest that i has heard of.  0: it does not say, as older releases do not;
     * then total_max may be of any version, and j is outdated until it has heard of as large a
     * total itself.  So nobody says too early that all is spent; a j that came after the total was
     * lowered does not say so at all, in this window.
     */
    int64_t definition;
    int64_t version;     /* grows with each row that i makes for j, in one incarnation of i */
    int64_t incarnation; /* of i */
    /* Of j, the highest that i has heard in this window: i takes no row of an earlier one any
     * more, so that `received` is all it ever got of those.  0 while i cannot answer for that. */
    int64_t heard;
    bool in_doubt; /* i has forgotten something, and waits to hear of j */
};

/* clang-format off */
#define TRADE_VERDICTS(X)                                                                   \
    X(TRADE_APPLIED, "applied")                                                             \
    X(TRADE_STALE,   "stale")   /* of before the sender's database went back: void */       \
    X(TRADE_FORGOTTEN, "forgotten") /* it knows more of us than we do: nothing changes; the  \
                                   pool must be in doubt before the row is taken */         \
    X(TRADE_ABSURD,  "absurd")  /* more than the total: refused, nothing changes */
/* clang-format on */

enum trade_verdict {
#define X(verdict, name) verdict,
    TRADE_VERDICTS(X)
#undef X
};

extern const char *const trade_verdict_names[]; /* NULL-terminated */

struct trade_result {
    enum trade_verdict verdict;
    struct pool pool;       /* after */
    struct trade_peer peer; /* after */
    int64_t credited;       /* units that arrived */
    int64_t given;          /* units sent in answer to its want */
    enum pool_news news;    /* for this DC's servers */
    bool answer;            /* the peer should hear our row now: units moved, or it asks for more */
    bool answer_wish; /* it asks again in vain, or is in doubt: likewise, unless it did just now */
};

bool trade_peer_is_sound(const struct trade_peer *q);

/* On the way to this peer, or there and not yet echoed. */
int64_t trade_in_transit(const struct trade_peer *q);

/*
 * Takes a row: credits what is new, remembers the hints, and gives what it can
 * spare.  Of units of a raise that is not known here yet, only those that fit
 * below the total are credited; the others stay in transit until it is.  Whoever asks knows only of
 * what had arrived when he asked; what is on its way to him is asked for no more.
 */
struct trade_result trade_receive(const struct pool *p, const struct trade_peer *q,
                                  const struct trade_row *row, const struct trade_context *ctx);

/*
 * Where several DCs lack units, each may have a part of what any of them waits
 * for.  So what is of no use here goes to the one whose turn it is.  For each
 * second lots are drawn, everywhere the same ones: `place` is among the names of
 * all `count` DCs, this one included.  Turns in order would let clocks that are
 * apart by a turn hand units on for ever, and keep step with clients that ask
 * again each second; so clocks that disagree cost time alone.  Only in answer to
 * a row: what is of no use here may be of use to others if the peer is cut off.
 */
bool trade_has_turn(size_t count, size_t place, int64_t now_ms);

/*
 * Gives a peer that was left short what came free since.  Its wish is what its
 * last row asked for, less all that was sent in the meantime.  Returns how much.
 */
int64_t trade_give(struct pool *p, struct trade_peer *q, const struct trade_context *ctx);

/* What to ask a peer for; see struct trade_row. */
struct trade_ask {
    int64_t want, lack, burn;
};

/* Who tells, and what he can answer for. */
struct trade_teller {
    int64_t version;     /* from the caller's counter */
    int64_t incarnation; /* of this DC */
    bool answers;        /* all servers of this DC have spoken in this incarnation */
};

/* The row for a peer. */
struct trade_row trade_row_for(const struct pool *p, const struct trade_peer *q,
                               const struct trade_ask *ask, const struct trade_teller *teller);

/* In doubt: has it said, since this DC's database went back, what it ever got of us? */
bool trade_has_answered(const struct trade_peer *q, int64_t incarnation);

/* Sends n units, 1 <= n <= trade_sendable(). */
void trade_send(struct pool *p, struct trade_peer *q, int64_t n, int64_t now_ms);

/* What is free, and can be sent before a counter is at its end. */
int64_t trade_sendable(const struct pool *p, const struct trade_peer *q);

/*
 * What to ask each peer for.  Units to be burned are asked of all in
 * proportion to what they have; what is missing for five seconds of demand of
 * those that can spare most, as soon as less than two seconds are left.  Nobody
 * counts on a peer that has not answered for a second: it is asked as before,
 * and the others as if it were not there.
 *
 * `home` is the index of the cap's home, -1 if that is here.  As long as it has
 * not been heard of a new window, the share that it sends is on its way, and
 * only it is asked, who knows so: others would give what is not needed.
 */
void trade_plan(const struct pool *p, const struct trade_peer *peers, size_t count, int home,
                const struct trade_context *ctx, struct trade_ask *ret);

/* What the last row to a peer asked for is now this; from here on it may be silent. */
void trade_note_ask(struct trade_peer *q, const struct trade_ask *ask, int64_t now_ms);

#define TRADE_TELL_EVERY_MS 20     /* news quicker than this are said in one row */
#define TRADE_ASK_AGAIN_MS 250     /* an ask that is not answered is said again after this ... */
#define TRADE_ASK_AGAIN_MAX_MS 750 /* ... and twice it, and so on: at least once in each turn */
#define TRADE_ANSWER_EVERY_MS 100  /* who asks again in vain is answered no more often */

/*
 * A window that is not here, ends or ended then (0: not known), at this
 * calendar time: has it ended so long ago, while this DC was away, that it will
 * never be here?  Then units for it are gone.
 */
bool trade_never_comes(int64_t ends_at_ms, int64_t calendar_ms);

/* Was it so short ago?  A clock that was set back must not silence anyone. */
bool trade_is_within(int64_t ago_ms, int64_t ms);

/* So long after `told_at_ms`, when it was told last, a peer is told again what it is asked for. */
int64_t trade_ask_again_ms(const struct trade_peer *q, int64_t told_at_ms);

/*
 * A peer that was told `told` so long ago: must it hear now that we ask for `now`?  More at once,
 * and that nothing is lacking any more since it is here.  That nobody waits any more only when it
 * would be told again: a wish that comes and goes is one wish.
 */
bool trade_is_to_be_told(const struct pool *p, const struct trade_ask *told,
                         const struct trade_ask *now, int64_t ago_ms, int64_t again_ms);

/* Would trade_plan() ask anyone for anything? */
bool trade_is_needed(const struct pool *p, const struct trade_context *ctx);

/* The even share of the index-th of `count` DCs; the remainder goes to the first. */
int64_t trade_share(int64_t total, size_t count, size_t index);

/*
 * After a total was lowered: what a DC that holds more than its share of the
 * new one sends home at once, out of what is free.
 */
int64_t trade_excess(const struct pool *p, int64_t share);

/*
 * The home has told this row: is there too much here if it is more than the share?
 * Only if both have the same total in mind, so that no definition is on its way,
 * and nothing was ever granted or asked for here.  Then units are here that were
 * under way when the total was lowered.
 */
bool trade_has_share_only(const struct pool *p, const struct trade_row *row,
                          const struct trade_context *ctx);
