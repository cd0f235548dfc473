#pragma once

/*
 * windows: the table of caps and their windows that this server knows, in
 * memory.
 *
 * Three parties meet here: clients spend (spend.h), the watch announces
 * (announce.h), and the topper keeps the slices (upkeep.h).  The table is cut
 * into shards with a read-write lock each.  Clients and readers hold it
 * shared: they change only what is atomic.  The watch and the topper hold it
 * alone, for one window at a time.  No lock is held across I/O.
 *
 * Only the topper's thread removes windows and caps, so it may keep pointers
 * to them without a lock.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/domain/interval.h"
#include "common/domain/slice.h"
#include "common/domain/window.h"
#include "common/io/ledger.h"

/* A table that cannot grow is out of memory for caps: that is no state to go on in. */
#define uthash_fatal(msg) check_failed(msg, __FILE__, __LINE__, __func__)
#include <uthash.h>

#define NEVER_MS INT64_MAX

struct windows_cap;

struct window {
    struct windows_cap *cap;
    struct window_bounds bounds;

    /* What the watch says. */
    int64_t total;
    int state; /* enum interval_state */
    bool paused;
    bool announced;    /* false: only the ledger knows of it, from an earlier process, or still */
    uint64_t snapshot; /* the latest snapshot that had it */
    uint64_t news;     /* counts the watch's rows: an answer older than these is not believed */
    int64_t needed_ms; /* no database opens it again later than that, even if it goes back */

    /* The slice. */
    struct ledger_entry *entry; /* NULL: nothing was asked for yet */
    struct slice slice;

    /* What clients tell the topper; see attention.h for when they ring. */
    _Atomic int64_t asked;   /* units asked for since the last visit */
    _Atomic int64_t low;     /* ring when the rest is at or below, */
    _Atomic int64_t look_ms; /* or from this time on */
    atomic_bool report;      /* tell the pool at the next visit, whatever else */

    /* The topper's own. */
    struct rate rate;
    bool in_call;                /* an answer is awaited */
    struct slot_counts reported; /* what the pool has confirmed */
    int64_t reported_ms;
    int64_t prefetch_ms; /* from when a window ahead is asked for */
    int64_t ask_ms;      /* not before, after an answer that brought nothing */
    int64_t vain_min;    /* pool_report.want_min of that ask: who waits for less may ask before */
    int64_t backoff_ms;
    int64_t aside_ms; /* not before: local-svc cannot digest what is said of it */
    int64_t aside_for_ms;
    struct window *held_prev, *held_next; /* the list of windows with an entry */

    /* attention.c's own. */
    atomic_bool rung;
    struct window *rung_prev, *rung_next;
    int64_t due_ms;
    size_t due_place; /* in the heap, from 1; 0: not in it */
};

struct windows_cap {
    char name[NAME_SIZE];
    struct window **windows; /* by starts_at */
    size_t count, room;
    UT_hash_handle hh;
};

#define WINDOWS_SHARDS 64

struct windows_shard {
    pthread_rwlock_t lock; /* guards the map and everything reached through it */
    struct windows_cap *caps;
};

struct windows {
    struct windows_shard shards[WINDOWS_SHARDS];
    struct ledger *ledger; /* claimed from and released to by the topper's thread */
    struct window *held;   /* the topper's */
    _Atomic int64_t count; /* of windows */
    atomic_bool synced;    /* the watch's first snapshot is complete */
    atomic_bool outdated;  /* the pool's database went back: the watch must begin anew */
    atomic_bool refused;   /* the pool no longer takes us for the owner of our slices */
};

/* The ledger is borrowed, and what it holds from an earlier process becomes windows. */
MUST_CHECK bool windows_new(struct ledger *ledger, struct windows **ret, struct err *e);
struct windows *windows_free(struct windows *t);
CLEANUP_DEFINE(windows, struct windows, windows_free)
#define auto_windows CLEANUP(windows)

struct windows_shard *windows_shard_of(struct windows *t, const char *cap);

/* With the shard's lock held in any way. */
struct windows_cap *windows_find(struct windows_shard *shard, const char *cap);
struct window *windows_find_window(const struct windows_cap *cap, int64_t starts_at_ms);

/* The window that clients spend from at now_ms; NULL: none. */
struct window *windows_current(const struct windows_cap *cap, int64_t now_ms);

/* With the shard's lock held alone.  NULL: out of memory. */
struct window *windows_add(struct windows *t, struct windows_shard *shard, const char *cap,
                           int64_t starts_at_ms);

/* The topper's thread only, with the shard's lock held alone; frees the window. */
void windows_remove(struct windows *t, struct windows_shard *shard, struct window *w);

/* The topper's thread only, with the shard's lock held alone.  False: the ledger is full. */
bool windows_claim(struct windows *t, struct window *w);
void windows_release(struct windows *t, struct window *w);

/*
 * A window that is open is so for everyone: clients have read the clock a
 * moment before they come to the window, maybe before it was measured, and the
 * one that they would have come to may be gone by then.
 */
#define OPEN_BEFORE_MS INT64_C(0)

/* When a window opens, by a measure. */
static inline int64_t window_opens_ms(int64_t measured_ms, int64_t starts_in_ms)
{
    return starts_in_ms > 0 ? measured_ms + starts_in_ms : OPEN_BEFORE_MS;
}

static inline struct slot *window_slot(const struct window *w)
{
    return w->entry ? &w->entry->slot : NULL;
}

static inline int64_t window_rest(const struct window *w)
{
    return w->entry ? slot_rest(&w->entry->slot) : 0;
}
