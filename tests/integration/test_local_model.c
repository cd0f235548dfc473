/*
 * local_model: the SQL store against the pure pool on arrays.  Both get the
 * same random asks, announcements and silences; every answer and all accounts
 * must agree.  What the simulator proves of the one then holds for the other.
 */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/prng.h"
#include "common/domain/cap.h"
#include "common/domain/interval.h"
#include "common/io/db.h"
#include "services/local-svc/audit.h"
#include "services/local-svc/store_interval.h"
#include "services/local-svc/store_pools.h"
#include "services/local-svc/store_time.h"
#include "services/local-svc/store_topup.h"
#include "tests/harness/pg.h"

PG_SUITE();

#define CAPS 3
#define SERVERS 4
#define STEPS 400
#define BATCH_MAX 6                      /* requests in one transaction */
#define STARTS_MS INT64_C(1577836800000) /* 2020-01-01 */
#define ENDS_MS INT64_C(4102444800000)   /* 2100-01-01: the window is open all the time */

/* What a server's ledger says. */
struct holder {
    int64_t granted_known, returned, consumed, refunded;
};

struct world {
    struct prng prng;
    struct db *db;
    struct witness *witness;
    int64_t version;
    struct pool pools[CAPS];
    struct pool_slice slices[CAPS][SERVERS];
    struct holder holders[CAPS][SERVERS];
};

/* No other data centres. */
static const struct peers alone = {.self = "local"};

static int64_t below(struct world *w, int64_t n)
{
    return prng_below(&w->prng, n);
}

static struct window_key key_of(int cap)
{
    struct window_key key = {.starts_at_ms = STARTS_MS};

    (void)snprintf(key.cap, sizeof(key.cap), "cap-%d", cap);
    return key;
}

static struct topup_server server_of(int server)
{
    struct topup_server s = {.generation = 1};

    (void)snprintf(s.name, sizeof(s.name), "server-%d", server);
    (void)snprintf(s.incarnation, sizeof(s.incarnation), "00000000-0000-4000-8000-00000000000%d",
                   server);
    (void)snprintf(s.process, sizeof(s.process), "00000000-0000-4000-8000-00000000001%d", server);
    return s;
}

/* ---- the same to both */

static void announce(struct world *w, int cap)
{
    const struct announcement a = {
        .key = key_of(cap),
        .version = ++w->version,
        .ends_at_ms = ENDS_MS,
        .state = INTERVAL_OPEN,
        .total = below(w, 2000),
        .paused = below(w, 10) == 0,
        .topup_ppm = CAP_TOPUP_PPM_DEFAULT,
        .slice_max_ppm = CAP_SLICE_MAX_PPM_DEFAULT * (1 + below(w, 5)),
        .autonomy_ms = CAP_AUTONOMY_MS_DEFAULT,
    };
    struct pool *p = &w->pools[cap];
    struct units_moved moved = {0};
    struct err e = {0};

    cr_assert(store_interval(w->db, w->witness, &alone, &a, &moved, &e), "%s", e.msg);
    p->home = true;
    p->topup_ppm = a.topup_ppm;
    p->slice_max_ppm = a.slice_max_ppm;
    p->autonomy_ms = a.autonomy_ms;
    p->paused = a.paused;
    p->accepts = !a.paused;
    *p = pool_retarget(p, a.total);
}

static void fall_silent(struct world *w)
{
    struct err e = {0};
    bool more = true;

    while (more)
        cr_assert(store_settle(w->db, SILENCE_PRESUMED, 0, &more, &e), "%s", e.msg);
    for (int cap = 0; cap < CAPS; cap++) {
        for (int server = 0; server < SERVERS; server++) {
            struct pool_topup t = pool_presume(&w->pools[cap], &w->slices[cap][server]);
            w->pools[cap] = t.pool;
            w->slices[cap][server] = t.slice;
        }
    }
}

/* Clients spend, refund; the server gives some back.  Now and then an old report is said again. */
static struct pool_report next_report(struct world *w, struct holder *h)
{
    struct holder old = *h;
    int64_t rest = h->granted_known - h->returned - h->consumed + h->refunded;

    h->consumed += below(w, rest + 1);
    h->refunded += below(w, 4) == 0 ? below(w, h->consumed - h->refunded + 1) : 0;
    rest = h->granted_known - h->returned - h->consumed + h->refunded;
    h->returned += below(w, 4) == 0 ? below(w, rest + 1) : 0;
    if (below(w, 8) == 0)
        *h = old;
    int64_t want = below(w, 3) == 0 ? 0 : 1 + below(w, 40);
    return (struct pool_report){
        .granted_known = below(w, 12) == 0 ? below(w, h->granted_known + 1) : h->granted_known,
        .returned = h->returned,
        .consumed = h->consumed,
        .refunded = h->refunded,
        .want = want,
        .want_min = below(w, 2) == 0 ? 0 : below(w, want + 1),
        .rate_milli = below(w, 3) == 0 ? -1 : below(w, 5000),
    };
}

static void expect_same_answer(const struct pool_answer *stored, const struct pool_answer *pure)
{
    cr_assert_eq(stored->granted, pure->granted);
    cr_assert_eq(stored->keep, pure->keep);
    cr_assert_eq(stored->left, pure->left);
    cr_assert_str_eq(pool_state_names[stored->state], pool_state_names[pure->state]);
}

/* The array's side of one item; `knows` is whether the answer reaches the server. */
static void apply_pure(struct world *w, int cap, int server, const struct pool_report *r,
                       const struct pool_answer *stored, bool knows)
{
    const struct pool_context context = {.active_servers = SERVERS, .now_ms = 0};
    struct pool_topup t = pool_topup(&w->pools[cap], &w->slices[cap][server], r, &context);
    struct holder *h = &w->holders[cap][server];

    expect_same_answer(stored, &t.answer);
    w->pools[cap] = t.pool;
    w->slices[cap][server] = t.slice;
    if (knows)
        h->granted_known = max_i64(h->granted_known, t.answer.granted);
}

static void topup_batch(struct world *w)
{
    struct topup_item items[BATCH_MAX][CAPS];
    struct topup_answer answers[BATCH_MAX][CAPS];
    struct topup_request requests[BATCH_MAX], *pointers[BATCH_MAX];
    struct topup_batch batch = {.requests = pointers,
                                .count = (size_t)(1 + below(w, BATCH_MAX)),
                                .active_servers = SERVERS,
                                .peers = &alone};
    int servers[BATCH_MAX];
    struct err e = {0};

    for (size_t i = 0; i < batch.count; i++) {
        servers[i] = (int)below(w, SERVERS);
        requests[i] = (struct topup_request){.server = server_of(servers[i]),
                                             .count = (size_t)(1 + below(w, CAPS)),
                                             .items = items[i],
                                             .answers = answers[i]};
        pointers[i] = &requests[i];
        for (int cap = 0; cap < (int)requests[i].count; cap++)
            items[i][cap] =
                (struct topup_item){key_of(cap), next_report(w, &w->holders[cap][servers[i]])};
    }
    cr_assert(store_topup(w->db, w->witness, &batch, &e), "%s", e.msg);
    for (size_t i = 0; i < batch.count; i++)
        for (int cap = 0; cap < (int)requests[i].count; cap++)
            apply_pure(w, cap, servers[i], &items[i][cap].report, &answers[i][cap].pool,
                       below(w, 6) != 0);
}

/* ---- the accounts */

static void expect_same_pool(const struct pool *stored, const struct pool *pure)
{
    cr_assert_eq(stored->home, pure->home);
    cr_assert_eq(stored->requested, pure->requested);
    cr_assert_eq(stored->requested_max, pure->requested_max);
    cr_assert_eq(stored->minted, pure->minted);
    cr_assert_eq(stored->burned, pure->burned);
    cr_assert_eq(stored->granted, pure->granted);
    cr_assert_eq(stored->returned, pure->returned);
    cr_assert_eq(stored->consumed, pure->consumed);
    cr_assert_eq(stored->refunded, pure->refunded);
    cr_assert_eq(stored->presumed, pure->presumed);
    cr_assert_eq(stored->wanted, pure->wanted);
    cr_assert_eq(stored->received, 0);
    cr_assert_eq(stored->sent, 0);
}

static void expect_same_slice(const struct pool_slice *stored, const struct pool_slice *pure)
{
    cr_assert_eq(stored->granted, pure->granted);
    cr_assert_eq(stored->returned, pure->returned);
    cr_assert_eq(stored->consumed, pure->consumed);
    cr_assert_eq(stored->refunded, pure->refunded);
    cr_assert_eq(stored->presumed, pure->presumed);
    cr_assert_eq(stored->wanted, pure->wanted);
    cr_assert_eq(stored->frozen, pure->frozen);
}

static void expect_same_accounts(struct world *w)
{
    struct err e = {0};

    for (int cap = 0; cap < CAPS; cap++) {
        auto_pool_views struct pool_views views = {0};

        cr_assert(store_pools_of(w->db, key_of(cap).cap, &views, &e), "%s", e.msg);
        cr_assert_eq(views.pools_count, 1);
        expect_same_pool(&views.pools[0].pool, &w->pools[cap]);
        for (size_t i = 0; i < views.slices_count; i++) {
            int server = atoi(views.slices[i].server + strlen("server-"));
            expect_same_slice(&views.slices[i].slice, &w->slices[cap][server]);
        }
    }
}

static void expect_clean_audit(struct world *w)
{
    struct audit audit;
    struct err e = {0};

    cr_assert(audit_run(w->db, &audit, &e), "%s", e.msg);
    for (size_t i = 0; i < AUDIT_CHECKS; i++)
        cr_assert_eq(audit.results[i].violations, 0, "%s: %s", audit.results[i].id,
                     audit.results[i].examples[0]);
}

static void run(uint64_t seed)
{
    auto_pg_db struct pg_db *fresh = pg_fresh_db();
    auto_db struct db *db = NULL;
    auto_witness struct witness *witness = witness_new();
    struct world w = {.prng = {seed}};
    struct err e = {0};

    cr_assert(db_open(&(struct db_pool_settings){pg_conninfo_of(fresh), 2, 30000}, NULL, &db, &e),
              "%s", e.msg);
    w.db = db;
    w.witness = witness;
    for (int cap = 0; cap < CAPS; cap++)
        announce(&w, cap);
    for (int step = 0; step < STEPS; step++) {
        int64_t what = below(&w, 20);

        if (what == 0)
            announce(&w, (int)below(&w, CAPS));
        else if (what == 1)
            fall_silent(&w);
        else
            topup_batch(&w);
        if (step % 50 == 49)
            expect_same_accounts(&w);
    }
    expect_same_accounts(&w);
    expect_clean_audit(&w);
}

Test(local_model, the_store_and_the_arrays_agree_seed_1)
{
    run(1);
}

Test(local_model, the_store_and_the_arrays_agree_seed_2)
{
    run(2);
}

Test(local_model, the_store_and_the_arrays_agree_on_a_fresh_seed)
{
    uint64_t seed = prng_entropy();

    cr_log_info("seed %llu", (unsigned long long)seed);
    run(seed);
}
