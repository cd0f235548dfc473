#pragma once

/*
 * fake_local: a local-svc in the test's own process, on arrays: the real quota
 * law (common/domain), no database.  Tests hold it, break it and look inside.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/domain/pool.h"

struct fake_local;

struct fake_local *fake_local_start(void); /* aborts if it cannot */
struct fake_local *fake_local_stop(struct fake_local *f);
CLEANUP_DEFINE(fake_local, struct fake_local, fake_local_stop)
#define auto_fake_local CLEANUP(fake_local)

const char *fake_local_url(const struct fake_local *f);

struct fake_window {
    const char *cap;
    int64_t starts_at_ms, ends_at_ms;
    int64_t starts_in_ms, ends_in_ms; /* from now */
    int state;                        /* enum interval_state */
    int64_t total;
    bool paused;
};

/* Announces a window, or changes what is given: its total is retargeted. */
void fake_local_set(struct fake_local *f, const struct fake_window *w);

/* Its end, as the watch tells it; and the same without telling, as a purge does. */
void fake_local_close(struct fake_local *f, const char *cap, int64_t starts_at_ms);
void fake_local_forget(struct fake_local *f, const char *cap, int64_t starts_at_ms);

/* A row without a change, which asks to report. */
void fake_local_recall(struct fake_local *f, const char *cap, int64_t starts_at_ms);

/* Units go to somebody else, as far as they are free. */
void fake_local_take(struct fake_local *f, const char *cap, int64_t starts_at_ms, int64_t units);

/* What topups and returns are answered with; 0: rightly.  503, 409, 500... */
void fake_local_answer(struct fake_local *f, int status);

/* The same for the watch. */
void fake_local_answer_watch(struct fake_local *f, int status);

/* Topups are carried out, and their answers are lost. */
void fake_local_lose_answers(struct fake_local *f, bool lose);

/* Whatever has an item of this cap fails as a whole, with 500; "": none does. */
void fake_local_choke_on(struct fake_local *f, const char *cap);

/*
 * Its database went back to before the first grant.  Grants nothing any more in this
 * incarnation, and learns what servers tell.
 */
void fake_local_go_back(struct fake_local *f, int64_t incarnation);

/* The incarnation in which a server last said that it had told all; 0 at first. */
int64_t fake_local_told_in(struct fake_local *f);

/* The pool of a window; zero if there is none. */
struct pool fake_local_pool(struct fake_local *f, const char *cap, int64_t starts_at_ms);

int64_t fake_local_topups(struct fake_local *f);  /* calls of POST /topup so far */
int64_t fake_local_returns(struct fake_local *f); /* of POST /return */
