#pragma once

/*
 * scene_standby: what happens to the primary of what acts once, and how soon
 * users of the data centre see a new one act.
 */

#include "tests/scenario/scene.h"

struct fault {
    const char *cap; /* ids of its caps begin with it */
    const char *what;
    int64_t promised_ms;
    void (*strike)(struct scene *s);
    bool counts_from_end;            /* of the strike: what it does takes a while by itself */
    void (*repair)(struct scene *s); /* before what is dead is started again; NULL: nothing */
    bool old_lives;                  /* the old primary can be asked whether it acts */
    bool either;                     /* the old primary may win again */
};

/*
 * The first replica of interval-svc is made primary, a few tenths of a second
 * before midnight it is struck, and a cap is defined.  Then: spending goes on
 * without a break, the new day is served from midnight on, the new cap can be
 * spent as soon as somebody acts, and the day after next is planned.  How long
 * this takes is printed; it fails only far beyond the promise (promise.h).
 *
 * Afterwards all is repaired: the old primary changes nothing when it is back.
 */
void expect_takeover(struct scene *s, const struct fault *f);

/* Does that replica do what only one may do, by its own word?  Both are false if it has none. */
bool is_acting(const struct scene *s, enum dc_kind kind, int i);
bool is_resting(const struct scene *s, enum dc_kind kind, int i);

/* The first replica is told to hand over, and does, being the primary. */
void step_down(struct scene *s, enum dc_kind kind);

/* What is dead is started again; waits until there is a primary, and the other stands by. */
void stand_by_again(struct scene *s, enum dc_kind kind);
