#include "services/volumecap-server/windows.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "common/base/check.h"

/* More windows of a cap than this are never open or planned at once; the rest is being closed. */
#define PICK_MAX 8

/* A steady stream of clients must not keep the watch and the topper out. */
static void init_lock(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;

    CHECK(pthread_rwlockattr_init(&attr) == 0);
    CHECK(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
    CHECK(pthread_rwlock_init(lock, &attr) == 0);
    (void)pthread_rwlockattr_destroy(&attr);
}

/* The low bits choose the shard, the high ones the place in its map. */
static unsigned place_of(uint64_t hash)
{
    return (unsigned)(hash >> 32);
}

struct windows_shard *windows_shard_of(struct windows *t, const char *cap)
{
    return &t->shards[hash_text(cap) % WINDOWS_SHARDS];
}

struct windows_cap *windows_find(struct windows_shard *shard, const char *cap)
{
    struct windows_cap *found = NULL;

    HASH_FIND_BYHASHVALUE(hh, shard->caps, cap, strlen(cap), place_of(hash_text(cap)), found);
    return found;
}

struct window *windows_find_window(const struct windows_cap *cap, int64_t starts_at_ms)
{
    for (size_t i = 0; i < cap->count; i++)
        if (cap->windows[i]->bounds.starts_at_ms == starts_at_ms)
            return cap->windows[i];
    return NULL;
}

struct window *windows_current(const struct windows_cap *cap, int64_t now_ms)
{
    struct window_bounds bounds[PICK_MAX];
    struct window *windows[PICK_MAX];
    size_t count = 0;

    for (size_t i = 0; i < cap->count && count < PICK_MAX; i++) {
        struct window *w = cap->windows[i];
        if (!w->announced || w->state > INTERVAL_OPEN)
            continue;
        windows[count] = w;
        bounds[count++] = w->bounds;
    }
    int picked = window_pick(bounds, count, now_ms);
    return picked < 0 ? NULL : windows[picked];
}

static struct windows_cap *add_cap(struct windows_shard *shard, const char *name)
{
    struct windows_cap *cap = calloc(1, sizeof(*cap));

    if (!cap)
        return NULL;
    memcpy(cap->name, name, strlen(name) + 1);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->caps, cap->name, strlen(name), place_of(hash_text(name)),
                                cap);
    return cap;
}

static void remove_cap(struct windows_shard *shard, struct windows_cap *cap)
{
    HASH_DEL(shard->caps, cap);
    free((void *)cap->windows);
    free(cap);
}

static bool make_room(struct windows_cap *cap)
{
    if (cap->count < cap->room)
        return true;
    size_t room = cap->room == 0 ? 2 : 2 * cap->room;
    struct window **windows =
        (struct window **)reallocarray((void *)cap->windows, room, sizeof(*windows));
    if (!windows)
        return false;
    cap->windows = windows;
    cap->room = room;
    return true;
}

static void insert(struct windows_cap *cap, struct window *w)
{
    size_t at = cap->count++;

    for (; at > 0 && cap->windows[at - 1]->bounds.starts_at_ms > w->bounds.starts_at_ms; at--)
        cap->windows[at] = cap->windows[at - 1];
    cap->windows[at] = w;
    w->cap = cap;
}

struct window *windows_add(struct windows *t, struct windows_shard *shard, const char *name,
                           int64_t starts_at_ms)
{
    struct windows_cap *cap = windows_find(shard, name);
    auto_free struct window *w = calloc(1, sizeof(*w));

    if (!cap)
        cap = add_cap(shard, name);
    if (!cap || !w)
        return NULL; /* a cap without windows does no harm, and is found again */
    if (!make_room(cap))
        return NULL;
    w->bounds.starts_at_ms = starts_at_ms;
    w->slice = slice_new(0);
    insert(cap, w);
    atomic_fetch_add(&t->count, 1);
    return TAKE(w);
}

void windows_remove(struct windows *t, struct windows_shard *shard, struct window *w)
{
    struct windows_cap *cap = w->cap;
    size_t at = 0;

    CHECK(w->entry == NULL);
    while (cap->windows[at] != w)
        at++;
    cap->count--;
    for (; at < cap->count; at++)
        cap->windows[at] = cap->windows[at + 1];
    free(w);
    atomic_fetch_sub(&t->count, 1);
    if (cap->count == 0)
        remove_cap(shard, cap);
}

static void hold(struct windows *t, struct window *w, struct ledger_entry *entry)
{
    w->entry = entry;
    DL_APPEND2(t->held, w, held_prev, held_next);
}

bool windows_claim(struct windows *t, struct window *w)
{
    struct ledger_entry *entry = ledger_claim(t->ledger, w->cap->name, w->bounds.starts_at_ms);

    if (!entry)
        return false;
    ledger_need(entry, w->needed_ms);
    hold(t, w, entry);
    return true;
}

void windows_release(struct windows *t, struct window *w)
{
    DL_DELETE2(t->held, w, held_prev, held_next);
    ledger_release(t->ledger, w->entry);
    w->entry = NULL;
}

struct adoption {
    struct windows *t;
    bool failed;
};

/* Whether there is still such a window, the watch will say; the pool hears of it in any case. */
static void adopt(void *arg, const char *cap, struct ledger_entry *entry)
{
    struct adoption *a = arg;
    struct windows_shard *shard = windows_shard_of(a->t, cap);
    struct window *w = windows_add(a->t, shard, cap, entry->starts_at_ms);

    if (!w) {
        a->failed = true;
        return;
    }
    hold(a->t, w, entry);
    atomic_store(&w->report, true);
    /* With units in hand it is no newcomer, who would be given a first slice. */
    w->slice.last_slice = slot_rest(&entry->slot);
}

bool windows_new(struct ledger *ledger, struct windows **ret, struct err *e)
{
    auto_windows struct windows *t = calloc(1, sizeof(*t));
    struct adoption adoption = {.t = t};

    if (!t)
        return err_set(e, ERR_INTERNAL, "out of memory");
    t->ledger = ledger;
    for (size_t i = 0; i < WINDOWS_SHARDS; i++)
        init_lock(&t->shards[i].lock);
    ledger_each(ledger, adopt, &adoption);
    if (adoption.failed)
        return err_set(e, ERR_INTERNAL, "out of memory");
    *ret = TAKE(t);
    return true;
}

static void free_shard(struct windows_shard *shard)
{
    struct windows_cap *cap = NULL, *next = NULL;

    HASH_ITER(hh, shard->caps, cap, next)
    {
        for (size_t i = 0; i < cap->count; i++)
            free(cap->windows[i]);
        remove_cap(shard, cap);
    }
    (void)pthread_rwlock_destroy(&shard->lock);
}

/* The entries stay in the ledger: they are the next process's. */
struct windows *windows_free(struct windows *t)
{
    if (!t)
        return NULL;
    for (size_t i = 0; i < WINDOWS_SHARDS; i++)
        free_shard(&t->shards[i]);
    free(t);
    return NULL;
}
