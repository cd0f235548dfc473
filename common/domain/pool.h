#pragma once

/*
 * pool: what a DC holds of one window, and the slices cut from it: the quota
 * law (docs/PROTOCOL.md).
 *
 *   free = minted - burned + received - sent - granted + returned   >= 0
 *   rest of a slice = granted - returned - consumed + refunded      >= 0
 *
 * Every amount is a cumulative counter that only grows.  A pool's granted,
 * returned, consumed and refunded are the sums of its slices'; its received
 * and sent are the sums of its peer rows' (trade.h).  Only the home of a cap
 * mints and burns.
 *
 * Pure: plain structs in, decisions out.  The store locks and loads, calls
 * pool_topup() once per item, and saves; the simulator does the same on arrays.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/num.h"

/* As heard_definition: somebody has heard of a larger total, and does not say in which version.  It
 * is newer than all that are known, for as long as the total is larger. */
#define POOL_DEFINITION_UNSAID UNITS_MAX

struct pool {
    bool home;             /* this DC mints and burns the units of the cap */
    int64_t requested;     /* the window's total as it is asked for, over all DCs */
    int64_t requested_max; /* the largest it ever was: no DC can hold more */
    int64_t definition;    /* whose total that is: the version, as the cap's home numbers them;
                              only grows; 0: not known */
    int64_t heard_max;     /* the largest total that another DC has heard of; its definition may be
                              on its way to us, or be older than ours */
    int64_t heard_definition; /* the newest version that another DC has heard of, or
                                 POOL_DEFINITION_UNSAID */
    int64_t minted, burned;
    int64_t received, sent; /* from and to other DCs */
    int64_t granted, returned, consumed, refunded;
    int64_t presumed;         /* rests of slices whose servers have been silent for long */
    int64_t wanted;           /* units that servers asked for and did not get */
    int64_t wanted_elsewhere; /* units that other DCs lack, or want to burn, and ask of us */
    int64_t rate_milli;       /* the servers' demand together, thousandths of a unit a second */
    int64_t spent_elsewhere;  /* what other DCs said last that they spent, or presume spent */
    int64_t recalled_at_ms; /* real time of the last recall; any clock that servers of a DC share */
    int64_t topup_ppm, slice_max_ppm, autonomy_ms;
    bool accepts; /* planned or open, not paused, not past its end: units may be granted */
    bool paused;
    /* The database went back, and may have forgotten grants and units sent (learn.h): nothing is
     * granted, sent or burned, and free may seem to be less than 0, until pool_trust(). */
    bool in_doubt;
};

/* The pool's side of a slice: one (window, server, incarnation). */
struct pool_slice {
    int64_t granted, returned, consumed, refunded;
    int64_t presumed;   /* the part of pool.presumed that is this slice's */
    int64_t wanted;     /* the part of pool.wanted that is this slice's */
    int64_t rate_milli; /* the part of pool.rate_milli that is this slice's */
    bool frozen;        /* the server contradicted us: nothing more is granted */
};

/* What a server says about its slice, as it came over the wire. */
struct pool_report {
    int64_t granted_known; /* the largest `granted` it has recorded */
    int64_t returned, consumed, refunded;
    int64_t want;       /* 0: only a report */
    int64_t want_min;   /* of that: fewer are of no use to those who wait there; 0: nobody waits */
    int64_t rate_milli; /* demand in thousandths of a unit per second; -1: unknown */
};

/* clang-format off */
#define POOL_STATES(X)                                                                          \
    X(POOL_OPEN,    "open")    /* units were granted, or none were wanted */                     \
    X(POOL_DRY,     "dry")     /* nothing free here, or too little; there is more: `left` */   \
    X(POOL_USED_UP, "used_up") /* every unit is spent */                                         \
    X(POOL_PAUSED,  "paused")                                                                   \
    X(POOL_CLOSED,  "closed")  /* over: hand back everything */                                  \
    X(POOL_FROZEN,  "frozen")  /* the server's numbers contradict the pool's */                  \
    X(POOL_UNKNOWN, "unknown") /* there is no such window here */
/* clang-format on */

enum pool_state {
#define X(state, name) state,
    POOL_STATES(X)
#undef X
};

extern const char *const pool_state_names[]; /* NULL-terminated */

struct pool_answer {
    int64_t granted; /* cumulative, for this slice */
    int64_t keep;    /* hand back what is above; UNITS_MAX: nothing */
    int64_t left;    /* units not spent, outside this slice, that may still come: an upper bound */
    int state;       /* enum pool_state */
};

/* What the watch has to tell servers because of this topup. */
enum pool_news {
    POOL_NO_NEWS,
    POOL_NEWS_RECALL,  /* someone is short: report what you hold */
    POOL_NEWS_CHANGED, /* units came free, or the last one was spent: ask again */
};

struct pool_topup {
    struct pool pool;        /* after */
    struct pool_slice slice; /* after */
    struct pool_answer answer;
    enum pool_news news;
    /* The server was granted more than this database knows of: it has forgotten, and nothing was
     * changed.  The pool must be in doubt before the report is taken. */
    bool is_forgotten;
};

struct pool_context {
    int64_t active_servers; /* >= 1 */
    int64_t now_ms;         /* the clock of recalled_at_ms */
};

/* Burns what is free of what is to be burned: after units came in. */
void pool_burn_excess(struct pool *p);

bool pool_is_sound(const struct pool *p);
bool pool_slice_is_sound(const struct pool_slice *s);

/* Can the slice be one of the pool's?  Data that was loaded may say otherwise; pool_topup(),
 * pool_presume() and pool_forget_wish() need it to be true. */
bool pool_has_slice(const struct pool *p, const struct pool_slice *s);

int64_t pool_free(const struct pool *p);
int64_t pool_held(const struct pool *p);      /* sum of the rests of all slices */
int64_t pool_holding(const struct pool *p);   /* all that came to this DC and did not leave it */
int64_t pool_effective(const struct pool *p); /* minted - burned: at home, the total in force */
int64_t pool_pending(const struct pool *p);   /* at home: to be burned to reach `requested` */
int64_t pool_available(const struct pool *p); /* here, and not presumed spent nor to be burned */
int64_t pool_abroad(const struct pool *p);    /* at most so much can still be spent elsewhere */

/*
 * Others have heard of a larger total than this DC ever did, in a newer definition than its own.
 * A larger total of an older one is history, that was over before this DC heard of the cap.
 */
bool pool_is_outdated(const struct pool *p);

/* Spent above `requested`, in all DCs as far as is known: reported, not hidden. */
int64_t pool_overspent(const struct pool *p);
int64_t pool_slice_rest(const struct pool_slice *s);

/* The largest slice, and what a lost server can strand at most of this window. */
int64_t pool_slice_max(const struct pool *p);
int64_t pool_strand_max(const struct pool *p);

/* The size of a slice for someone who wants `want` >= 1 units; 0 if nothing is free. */
int64_t pool_slice_size(const struct pool *p, const struct pool_context *ctx, int64_t want,
                        int64_t rate_milli);

/*
 * Applies a report (the maximum of each counter), then decides the grant.
 * Grants only if the server knows of all that it was granted before, so that a
 * lost answer is repeated and never doubled; and as much as is of use there, or
 * nothing, so that no two servers each hold a part of what either waits for.
 * A report that contradicts itself or the pool changes nothing but slice.frozen.
 * One that knows of more grants than the pool is refused (is_forgotten), or, in
 * doubt, believed.
 */
struct pool_topup pool_topup(const struct pool *p, const struct pool_slice *s,
                             const struct pool_report *r, const struct pool_context *ctx);

/*
 * The window's total becomes `requested`.  At home: mints at once, burns what
 * is free, the rest as it comes back.  Elsewhere it is only noted.
 */
struct pool pool_retarget(const struct pool *p, int64_t requested);

/*
 * All that could know more has spoken, and the pool was told: it is no longer
 * in doubt.  Units that are out and were not minted here as far as is known
 * were minted, at home, and that was forgotten.  Elsewhere they came from another
 * DC that has not said so yet: then the pool stays in doubt.  So it does when more
 * would be here, or minted, than the total ever was: except for what this DC's own
 * servers hold, that is another's word, or a raise that has yet to be heard of.
 */
struct pool pool_trust(const struct pool *p);

/*
 * A server has been silent for long: its rest counts as spent until it speaks.
 * News go out, to others and to the server itself, should it be listening.
 */
struct pool_topup pool_presume(const struct pool *p, const struct pool_slice *s);

/* A server has been silent for a while: what it wanted no longer counts. */
struct pool_topup pool_forget_wish(const struct pool *p, const struct pool_slice *s);
