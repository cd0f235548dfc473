#include "tests/demo/replay.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/prng.h"
#include "common/base/wait.h"
#include "tests/harness/client.h"

#define THREADS_PER_LANE 24
#define GIVE_UP_MS 120000
#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 500
#define NAP_MS 50 /* at most so long until a stop is noticed */

/* A request that is still to be answered. */
struct ask {
    const struct trace_row *row;
    int64_t due_ms;   /* when it is to be sent, again if it was sent before */
    int64_t first_ms; /* when it was sent first; 0: not yet */
    int64_t backoff_ms;
};

struct lane {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct replay *replay;
    int dc, port;
    struct ask *asks; /* guarded by mutex; the one that is due first comes last */
    size_t count;     /* guarded by mutex */
    size_t in_flight; /* guarded by mutex; taken out of `asks`, perhaps to come back */
    pthread_t threads[THREADS_PER_LANE];
};

struct replay {
    struct replay_config config;
    struct lane lanes[REPLAY_LANES_MAX];
    int lanes_count;
    atomic_bool is_cut_off[DCS_MAX];
    _Atomic(int) running; /* threads */
    atomic_bool stopping;
};

static int64_t due_ms(const struct replay_config *c, const struct trace_row *row)
{
    return c->first_due_ms + (row->at_s - c->plan->trace->rows[0].at_s) * 1000 / c->plan->speed;
}

/* Until something changes or the time has come, and no longer than a nap. */
static void nap(struct lane *lane, int64_t at_ms)
{
    int64_t ms = min_i64(at_ms - clk_now_ms(), NAP_MS);

    (void)wait_until(&lane->changed, &lane->mutex, wait_deadline(ms));
}

/* Waits for the next request that is due; false if there will be none. */
static bool take(struct lane *lane, struct ask *ret)
{
    bool found = false;

    CHECK(pthread_mutex_lock(&lane->mutex) == 0);
    while (!atomic_load(&lane->replay->stopping) && lane->count + lane->in_flight > 0) {
        const struct ask *first = lane->count > 0 ? &lane->asks[lane->count - 1] : NULL;
        found = first && first->due_ms <= clk_now_ms();
        if (found) {
            *ret = *first;
            lane->count--;
            lane->in_flight++;
            break;
        }
        nap(lane, first ? first->due_ms : INT64_MAX);
    }
    CHECK(pthread_mutex_unlock(&lane->mutex) == 0);
    return found;
}

/* A request that was taken is through, or comes back to be sent again. */
static void put(struct lane *lane, const struct ask *again)
{
    CHECK(pthread_mutex_lock(&lane->mutex) == 0);
    lane->in_flight--;
    if (again) {
        size_t at = lane->count++;
        for (; at > 0 && lane->asks[at - 1].due_ms < again->due_ms; at--)
            lane->asks[at] = lane->asks[at - 1];
        lane->asks[at] = *again;
    }
    CHECK(pthread_cond_signal(&lane->changed) == 0);
    CHECK(pthread_mutex_unlock(&lane->mutex) == 0);
}

static void note_slowness(struct tally *t, int64_t ms)
{
    int64_t slowest = atomic_load(&t->slowest_ms);

    while (ms > slowest && !atomic_compare_exchange_weak(&t->slowest_ms, &slowest, ms))
        continue;
}

/* As long as the server asks for, if it does; and not all at the same time. */
static int64_t pause_ms(const struct ask *ask, const struct consumed *answer, struct prng *prng)
{
    int64_t least_ms = max_i64(answer->retry_after_s * 1000, ask->backoff_ms / 2);

    return least_ms + prng_below(prng, least_ms);
}

/* Sends it once; true if the answer is final, or no more is hoped for. */
static bool try_once(const struct lane *lane, struct client *server, struct ask *ask,
                     struct prng *prng)
{
    const struct replay *r = lane->replay;
    struct tally *tally = r->config.tally;
    int cap = plan_cap_of(r->config.plan, ask->row);

    if (clk_now_ms() - ask->first_ms >= GIVE_UP_MS) {
        atomic_fetch_add(&tally->unanswered, 1);
        return true;
    }
    struct consumed answer = client_consume(server, plan_cap_id(r->config.plan, cap), 1, NULL);
    if (answer.verdict == VERDICT_UNREACHABLE && atomic_load(&r->is_cut_off[lane->dc])) {
        atomic_fetch_add(&tally->cut_off, 1);
        return true;
    }
    if (answer.verdict != VERDICT_GRANTED && answer.verdict != VERDICT_USED_UP) {
        atomic_fetch_add(&tally->retried[answer.verdict], 1);
        ask->backoff_ms = min_i64(max_i64(2 * ask->backoff_ms, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
        ask->due_ms = clk_now_ms() + pause_ms(ask, &answer, prng);
        return false;
    }
    tally_answer(tally, lane->dc, cap, ask->row->at_s, &answer);
    note_slowness(tally, clk_now_ms() - due_ms(&r->config, ask->row));
    return true;
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    struct prng prng = {.state = prng_entropy()};
    auto_client struct client *server = client_new("volumecap-server", lane->port);
    struct ask ask = {.row = NULL};

    while (take(lane, &ask)) {
        if (ask.first_ms == 0) {
            ask.first_ms = clk_now_ms();
            atomic_fetch_add(&lane->replay->config.tally->asked, 1);
        }
        put(lane, try_once(lane, server, &ask, &prng) ? NULL : &ask);
    }
    atomic_fetch_sub(&lane->replay->running, 1);
    return NULL;
}

static void init_lane(struct replay *r, int i)
{
    struct lane *lane = &r->lanes[i];

    CHECK(pthread_mutex_init(&lane->mutex, NULL) == 0);
    wait_init(&lane->changed);
    lane->replay = r;
    lane->dc = i / r->config.servers;
    lane->port = r->config.ports[i];
    lane->asks = calloc(r->config.plan->trace->count, sizeof(*lane->asks));
    CHECK(lane->asks != NULL);
}

static void fill_lanes(struct replay *r)
{
    const struct trace *t = r->config.plan->trace;

    for (size_t i = t->count; i-- > 0;) {
        const struct trace_row *row = &t->rows[i];
        int dc = plan_dc_of(row->client, r->config.dcs);
        struct lane *lane = &r->lanes[dc * r->config.servers + row->client % r->config.servers];
        if (plan_cap_of(r->config.plan, row) >= 0)
            lane->asks[lane->count++] = (struct ask){.row = row, .due_ms = due_ms(&r->config, row)};
    }
}

struct replay *replay_start(const struct replay_config *config)
{
    struct replay *r = calloc(1, sizeof(*r));

    CHECK(r != NULL && config->dcs >= 1 && config->servers >= 1);
    r->config = *config;
    r->lanes_count = config->dcs * config->servers;
    CHECK(r->lanes_count <= REPLAY_LANES_MAX);
    for (int i = 0; i < r->lanes_count; i++)
        init_lane(r, i);
    fill_lanes(r);
    atomic_store(&r->running, r->lanes_count * THREADS_PER_LANE);
    for (int i = 0; i < r->lanes_count; i++)
        for (int k = 0; k < THREADS_PER_LANE; k++)
            CHECK(pthread_create(&r->lanes[i].threads[k], NULL, run_lane, &r->lanes[i]) == 0);
    return r;
}

void replay_cut_off(struct replay *r, int dc, bool is_cut_off)
{
    atomic_store(&r->is_cut_off[dc], is_cut_off);
}

bool replay_is_done(const struct replay *r)
{
    return atomic_load(&r->running) == 0;
}

struct replay *replay_stop(struct replay *r)
{
    if (!r)
        return NULL;
    atomic_store(&r->stopping, true);
    for (int i = 0; i < r->lanes_count; i++) {
        for (int k = 0; k < THREADS_PER_LANE; k++)
            CHECK(pthread_join(r->lanes[i].threads[k], NULL) == 0);
        CHECK(pthread_cond_destroy(&r->lanes[i].changed) == 0);
        CHECK(pthread_mutex_destroy(&r->lanes[i].mutex) == 0);
        free(r->lanes[i].asks);
    }
    free(r);
    return NULL;
}
