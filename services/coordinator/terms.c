#include "services/coordinator/terms.h"

#include "common/base/num.h"

/*
 * How much longer somebody may believe the predecessor.  The age of its last
 * heartbeat is no help: it is by the database's clock, which may step, and be
 * another server's.
 */
static int64_t belief_ms(const struct terms_predecessor *p)
{
    if (!p->exists || p->released || p->is_us)
        return 0;
    /*
     * If its session was on this server it was told of its end, or is dead, or
     * had been silent for longer than its lease.  Otherwise it may still talk to
     * the server before this one.
     */
    return p->was_seen ? TERMS_GRACE_MS : TERMS_LEASE_MS;
}

int64_t terms_wait_ms(const struct terms_predecessor *p)
{
    /* One that was not to begin yet had a predecessor itself. */
    int64_t wait_ms = max_i64(belief_ms(p), p->exists ? p->acts_in_ms : 0);

    return min_i64(wait_ms, TERMS_LEASE_MS);
}
