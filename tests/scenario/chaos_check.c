/* chaos_check: what the clients know against what the accounts say, window by window. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/harness/proc.h"
#include "tests/scenario/chaos.h"

#define REST_MS 60000

struct check {
    const struct tally *tally;
    struct client *local;
    int seen;     /* windows of the tally that the accounts know */
    int restless; /* windows of which a server still holds units */
    int broken;
    int64_t consumed[CHAOS_CAPS], granted[CHAOS_CAPS];
};

static int cap_of(const char *name)
{
    for (int i = 0; i < CHAOS_CAPS; i++)
        if (strcmp(chaos_caps[i].name, name) == 0)
            return i;
    CHECK(false);
    return -1;
}

static int64_t held(const struct pool_row *p)
{
    return p->granted - p->returned - p->consumed + p->refunded;
}

static void count_restless(void *arg, const struct pool_row *p)
{
    struct check *c = arg;

    c->restless += held(p) != 0 || p->free + p->consumed - p->refunded != p->effective;
}

static bool is_at_rest(void *arg)
{
    struct check *c = arg;
    struct err e;

    c->restless = 0;
    return client_pools(c->local, count_restless, c, &e) && c->restless == 0;
}

static void claim(struct check *c, bool holds, const char *what, const struct pool_row *p)
{
    char starts_at[TIME_TEXT_SIZE];

    if (holds)
        return;
    c->broken++;
    time_format(p->starts_at_ms, starts_at);
    printf("BROKEN: %s: %s %s: effective %" PRId64 " free %" PRId64 " granted %" PRId64
           " returned %" PRId64 " consumed %" PRId64 " refunded %" PRId64 "\n",
           what, p->cap, starts_at, p->effective, p->free, p->granted, p->returned, p->consumed,
           p->refunded);
}

static const struct tally_row *row_of(const struct check *c, int cap, int64_t starts_at_ms)
{
    static const struct tally_row nothing;

    for (int i = 0; i < c->tally->count; i++)
        if (c->tally->rows[i].cap == cap && c->tally->rows[i].starts_at_ms == starts_at_ms)
            return &c->tally->rows[i];
    return &nothing;
}

static void check_window(void *arg, const struct pool_row *p)
{
    struct check *c = arg;
    int cap = cap_of(p->cap);
    const struct tally_row *row = row_of(c, cap, p->starts_at_ms);

    c->seen += row->granted > 0;
    c->consumed[cap] += p->consumed;
    c->granted[cap] += row->granted;
    claim(c, row->granted <= p->consumed, "a yes that the accounts do not know", p);
    claim(c, p->consumed - p->refunded <= chaos_caps[cap].total, "spent above the total", p);
    claim(c, p->consumed - p->refunded <= p->effective, "spent above what was minted", p);
    claim(c, row->refunded <= p->refunded, "a refund that the accounts do not know", p);
    claim(c, p->refunded <= row->refunded + row->perhaps_refunded, "a refund of nobody", p);
    claim(c, held(p) == 0, "units stranded at a server", p);
    claim(c, p->free + p->consumed - p->refunded == p->effective, "units lost or made", p);
}

/* What was taken without a yes is at most what was asked for without an answer. */
static void check_lost(struct check *c)
{
    for (int i = 0; i < CHAOS_CAPS; i++) {
        int64_t unanswered = c->consumed[i] - c->granted[i];
        printf("chaos: %-6s %-5s granted %7" PRId64 ", consumed without a yes %" PRId64 " (%" PRId64
               " asked without an answer)\n",
               chaos_caps[i].name, chaos_caps[i].interval, c->granted[i], unanswered,
               c->tally->perhaps_granted[i]);
        if (unanswered > c->tally->perhaps_granted[i]) {
            printf("BROKEN: units of %s were taken for nobody\n", chaos_caps[i].name);
            c->broken++;
        }
    }
}

static int granted_windows(const struct tally *t)
{
    int count = 0;

    for (int i = 0; i < t->count; i++)
        count += t->rows[i].granted > 0;
    return count;
}

/* Every cap is defined, and has an open window, all the time. */
static void check_never(struct check *c, enum verdict v)
{
    if (c->tally->asked[v] == 0)
        return;
    printf("BROKEN: %" PRId64 " times: %s\n", c->tally->asked[v], verdict_name(v));
    c->broken++;
}

int chaos_check(const struct dc *dc, const struct tally *t)
{
    auto_client struct client *local = dc_client(dc, DC_LOCAL, 0);
    struct check c = {.tally = t, .local = local};
    struct err e = {0};

    /* Whether in time or not: the claims below say what is wrong with which window. */
    (void)harness_await(is_at_rest, &c, REST_MS);
    if (!client_pools(local, check_window, &c, &e))
        harness_fail("%s", e.msg);
    check_lost(&c);
    if (c.seen != granted_windows(t)) {
        printf("BROKEN: %d windows were spent from, the accounts know %d\n", granted_windows(t),
               c.seen);
        c.broken++;
    }
    check_never(&c, VERDICT_ODD);
    check_never(&c, VERDICT_UNKNOWN);
    check_never(&c, VERDICT_NOT_OPEN);
    if (!client_audit(local, &e)) {
        printf("BROKEN: %s\n", e.msg);
        c.broken++;
    }
    return c.broken;
}
