#pragma once

/*
 * standing: where this coordinator stands, shared between the elector's thread,
 * which writes it, and those that ask.
 *
 * Whether it is primary depends on the clock at the moment of asking: a process
 * that was frozen finds its validity over, before any thread of it has noticed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/num.h"
#include "services/coordinator/store.h"

/* clang-format off */
#define STANDING_STATES(X) \
    X(STANDING_CONNECTING, "connecting") /* does not know yet who has the lock */       \
    X(STANDING_STANDBY,    "standby")    /* takes the lock as soon as it is free */     \
    X(STANDING_ELECTED,    "elected")    /* has the lock, and waits until it may act */ \
    X(STANDING_PRIMARY,    "primary")                                                   \
    X(STANDING_LEAVING,    "leaving")    /* has the lock, and says that it does not act */ \
    X(STANDING_RESTING,    "resting")    /* lets others go first: stepped down, or its service is silent */
/* clang-format on */

enum standing_state {
#define X(state, name) state,
    STANDING_STATES(X)
#undef X
};

extern const char *const standing_names[];

struct standing;

struct standing *standing_new(void);
struct standing *standing_free(struct standing *s);
CLEANUP_DEFINE(standing, struct standing, standing_free)
#define auto_standing CLEANUP(standing)

/* What a service is told. */
struct standing_answer {
    enum standing_state state;
    int64_t epoch;          /* ours if primary, otherwise the last one seen */
    int64_t valid_for_ms;   /* above 0 only if primary */
    char holder[NAME_SIZE]; /* "": nobody, or it gave up */
    int64_t since_ms;       /* when it won, since 1970, by the database's clock; -1: nobody */
};

/* From any thread.  What it says may be believed for valid_for_ms: that is remembered. */
struct standing_answer standing_tell(struct standing *s);

/* The same for the service beside us, which has heard of epochs up to `heard_epoch`. */
struct standing_answer standing_tell_service(struct standing *s, int64_t heard_epoch);

/* When the service asked last, by clk_now_ms(); 0: it never has. */
int64_t standing_asked_ms(struct standing *s);

/* The highest epoch that was ever heard of here, by us or by the service. */
int64_t standing_heard_epoch(struct standing *s);

/* As standing_tell() for what is only shown, so that nobody has to wait for whom it is shown to. */
struct standing_answer standing_look(struct standing *s);

/* What the last heartbeat found, ages as of now; ERR_UNAVAILABLE if that is too long ago. */
MUST_CHECK bool standing_sight(struct standing *s, struct coordinator_sight *ret, struct err *e);

/* A request to step down: from any thread.  ERR_CONFLICT unless primary or elected. */
typedef void standing_left(void *arg, const struct standing_answer *answer);
MUST_CHECK bool standing_ask_to_leave(struct standing *s, standing_left *left, void *arg,
                                      struct err *e);

/* ---- the elector's side */

enum standing_state standing_state(struct standing *s);
void standing_enter(struct standing *s, enum standing_state state);

/* We have won; the lease counts from when the database was asked. */
void standing_win(struct standing *s, const struct coordinator_self *self, int64_t epoch,
                  int64_t asked_ms);
void standing_beat(struct standing *s, const struct coordinator_sight *sight, int64_t asked_ms);

/* Until when we are, or will be, primary; by clk_now_ms(). */
int64_t standing_lease_until_ms(struct standing *s);

/* Until when somebody may believe that we are primary; by clk_now_ms(). */
int64_t standing_told_until_ms(struct standing *s);

bool standing_is_asked_to_leave(struct standing *s);

/* Answers whoever asked us to leave, if somebody did. */
void standing_has_left(struct standing *s);
