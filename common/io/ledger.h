#pragma once

/*
 * ledger: the mapped file in which a server records its slices.
 *
 * One file, MAP_SHARED, allocated in full when it is opened (a full disk is
 * found then, not in the middle of a consume), mode 0600, locked with flock: a
 * second process is refused.  A header and an array of entries of 128 bytes,
 * one a (cap, window).
 *
 * The header says whose file this is: the server's name, a random incarnation,
 * the host's boot id, and the file's own device and inode.  The same file on
 * the same boot carries on (kill -9, out of memory, a crash: the page cache
 * survives).  Another boot, a copy, a bad checksum or a missing file: a new
 * incarnation with no entries, since the file may be older than the truth.
 *
 * A file that could carry on, but for another server, is not opened at all:
 * the pool knows its slices by the server's name, so that under another one
 * all that it holds would be lost.
 *
 * Finding an entry is the caller's business (it keeps pointers to them);
 * claiming and releasing are for one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/prng.h"
#include "common/domain/slot.h"

struct ledger_entry {
    char cap[64]; /* zero-padded; not terminated if 64 bytes long */
    int64_t starts_at_ms;
    _Atomic uint32_t mark;           /* 0: free; otherwise a checksum of the key, written last */
    _Atomic uint32_t needed_until_s; /* since the host's boot, with which the file ends, too */
    struct slot slot;
};

_Static_assert(sizeof(struct ledger_entry) == 128, "128 bytes of ledger per cap and window");

struct ledger;

/*
 * `server`: a valid name.  `entries_max` fixes the size of a new file; a smaller existing file
 * grows, a larger one stays.
 */
MUST_CHECK bool ledger_open(const char *path, const char *server, int64_t entries_max,
                            struct ledger **ret, struct err *e);
struct ledger *ledger_close(struct ledger *l);
CLEANUP_DEFINE(ledger, struct ledger, ledger_close)
#define auto_ledger CLEANUP(ledger)

const char *ledger_incarnation(const struct ledger *l); /* a UUID */
int64_t ledger_generation(const struct ledger *l);  /* grows with each open of this incarnation */
bool ledger_is_new(const struct ledger *l);         /* this open began the incarnation */
const char *ledger_why_new(const struct ledger *l); /* "missing", "another boot", ...; "" if not */

/* A free entry for the key, or NULL if the ledger is full.  The key must not be in it yet. */
struct ledger_entry *ledger_claim(struct ledger *l, const char *cap, int64_t starts_at_ms);

/*
 * Until when, by clk_now_ms(), an entry must be kept whatever is said of its
 * window; 0 in a new one.  Rounded up to seconds.
 */
void ledger_need(struct ledger_entry *entry, int64_t until_ms);         /* not less long */
void ledger_need_at_most(struct ledger_entry *entry, int64_t until_ms); /* not longer */
int64_t ledger_needed_until_ms(const struct ledger_entry *entry);

/* Forgets the entry; nobody may use its slot any more. */
void ledger_release(struct ledger *l, struct ledger_entry *entry);

/* Calls `fn` for each entry in use, recovered: what an earlier process left. */
typedef void ledger_each_fn(void *arg, const char *cap, struct ledger_entry *entry);
void ledger_each(struct ledger *l, ledger_each_fn *fn, void *arg);

int64_t ledger_entries_used(const struct ledger *l);
int64_t ledger_entries_max(const struct ledger *l);
