#include "services/coordinator/terms.h"

#include "common/base/num.h"

/* How much longer somebody may believe the predecessor. */
static int64_t belief_ms(const struct terms_predecessor *p)
{
    int64_t lease_ms = TERMS_LEASE_MS - p->seen_ms_ago;

    if (!p->exists || p->released || p->is_us)
        return 0;
    /*
     * Its session has ended on the server where we have one: it was told of
     * that, or is dead, or had been silent for longer than its lease.
     */
    if (p->was_seen)
        return min_i64(TERMS_GRACE_MS, lease_ms);
    /*
     * The server was started anew, or is another one now: the holder may still
     * talk to the one before, and the last heartbeats may not be here.
     */
    return min_i64(TERMS_LEASE_MS, lease_ms + TERMS_LEASE_MS);
}

int64_t terms_wait_ms(const struct terms_predecessor *p)
{
    /* One that was not to begin yet had a predecessor itself. */
    int64_t wait_ms = max_i64(belief_ms(p), p->exists ? p->acts_in_ms : 0);

    return min_i64(max_i64(wait_ms, 0), TERMS_LEASE_MS);
}
