#pragma once

/*
 * slot: what one server knows of its slice of one window, as it lies in the
 * mapped ledger; the only place where units are consumed.
 *
 *   rest = granted + refunded - used          used = consumed + returned
 *
 * All counters only grow, up to UNITS_MAX.  `used` is the one contended word.
 * A yes is given only after `used` was raised, so that a process killed in
 * between loses a unit instead of making one.
 *
 * Returning is exact even if killed in the middle: the flag SLOT_FROZEN in
 * `used` stops consumers, the new values are noted as an intent, written, and
 * the flag is cleared.  slot_recover() completes a noted intent and clears a
 * flag without one.  Only one thread returns and grants; any number consume
 * and refund.
 *
 * Atomics are the only machinery here: no clock, no I/O, no allocation.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct slot {
    _Atomic int64_t granted;
    _Atomic int64_t used; /* | SLOT_FROZEN while units are being returned */
    _Atomic int64_t returned;
    _Atomic int64_t refunded;
    _Atomic int64_t intent_returned;
    _Atomic int64_t intent_used; /* 0: no intent; written last, so it validates the other */
};

#define SLOT_FROZEN (INT64_C(1) << 62)

enum consume_mode {
    CONSUME_ALL,         /* all or nothing */
    CONSUME_BEST_EFFORT, /* what is left, at least one */
    CONSUME_CHECK,       /* changes nothing: would `all` succeed? */
};

extern const char *const consume_mode_names[]; /* NULL-terminated */

enum slot_verdict {
    SLOT_GRANTED,    /* units were taken (or, for a check, could be) */
    SLOT_SHORT,      /* the slice's rest does not cover it */
    SLOT_FROZEN_NOW, /* a return did not finish within the bounded wait: unreachable */
};

struct slot_take {
    enum slot_verdict verdict;
    int64_t units; /* taken; for a check, what could be taken */
    int64_t rest;  /* of the slice, afterwards */
};

/* n >= 1. */
struct slot_take slot_consume(struct slot *s, int64_t n, enum consume_mode mode);

/* False if n is more than was consumed and not yet refunded.  n >= 1. */
bool slot_refund(struct slot *s, int64_t n);

/* Raises `granted` to a pool's answer; a smaller one is an old answer and changes nothing. */
void slot_grant(struct slot *s, int64_t granted);

/* Gives back at most n units of the rest; returns how many.  Reports come after it. */
int64_t slot_return(struct slot *s, int64_t n);

/* The steps of slot_return, for the simulator, which dies between any two. */
bool slot_return_freeze(struct slot *s);             /* false: frozen already */
int64_t slot_return_note(struct slot *s, int64_t n); /* 0: nothing to return; still finish */
void slot_return_raise(struct slot *s);              /* `returned` */
void slot_return_settle(struct slot *s);             /* `used`, then the intent is gone */
void slot_return_finish(struct slot *s);

/* After a crash, before anyone else uses the slot. */
void slot_recover(struct slot *s);

/* Can it be one that our code wrote?  For ledgers read from disk. */
bool slot_is_sound(const struct slot *s);

/* A consistent copy, for reports; only for the thread that returns. */
struct slot_counts {
    int64_t granted, returned, consumed, refunded;
};
struct slot_counts slot_counts(const struct slot *s);
int64_t slot_rest(const struct slot *s); /* may be old by the time it is read */
