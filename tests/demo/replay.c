#include "tests/demo/replay.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/prng.h"
#include "tests/harness/client.h"

#define THREADS_PER_LANE 12
#define GIVE_UP_MS 30000
#define BACKOFF_MIN_MS 5
#define BACKOFF_MAX_MS 100
#define NAP_MS 50 /* at most so long until a stop is noticed */

struct lane {
    struct replay *replay;
    int port;
    size_t *rows; /* of the trace, those of this lane's clients that ask a cap */
    size_t count;
    _Atomic(size_t) next;
    pthread_t threads[THREADS_PER_LANE];
};

struct replay {
    struct replay_config config;
    struct lane lanes[REPLAY_LANES_MAX];
    _Atomic(int) running; /* threads */
    atomic_bool stopping;
};

static void sleep_ms(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&pause, NULL);
}

static bool is_stopping(const struct replay *r)
{
    return atomic_load(&r->stopping);
}

static void sleep_until(const struct replay *r, int64_t at_ms)
{
    for (int64_t now = clk_now_ms(); now < at_ms && !is_stopping(r); now = clk_now_ms())
        sleep_ms(min_i64(at_ms - now, NAP_MS));
}

static int64_t due_ms(const struct replay_config *c, int64_t at_s)
{
    return c->first_due_ms + (at_s - c->plan->trace->rows[0].at_s) * 1000 / c->plan->speed;
}

static void note_slowness(struct tally *t, int64_t ms)
{
    int64_t slowest = atomic_load(&t->slowest_ms);

    while (ms > slowest && !atomic_compare_exchange_weak(&t->slowest_ms, &slowest, ms))
        continue;
}

/* Repeats the request until the answer is final; 409 and 404 are a window about to open. */
static void ask(const struct replay *r, struct client *server, struct prng *prng,
                const struct trace_row *row)
{
    struct tally *tally = r->config.tally;
    int cap = plan_cap_of(r->config.plan, row);
    int64_t due = due_ms(&r->config, row->at_s), backoff_ms = BACKOFF_MIN_MS;

    atomic_fetch_add(&tally->asked, 1);
    while (clk_now_ms() - due < GIVE_UP_MS && !is_stopping(r)) {
        struct consumed answer = client_consume(server, plan_cap_id(r->config.plan, cap), 1, NULL);
        if (answer.verdict == VERDICT_GRANTED || answer.verdict == VERDICT_USED_UP) {
            tally_answer(tally, cap, row->at_s, &answer);
            note_slowness(tally, clk_now_ms() - due);
            return;
        }
        atomic_fetch_add(&tally->retried[answer.verdict], 1);
        sleep_ms(backoff_ms + prng_below(prng, backoff_ms));
        backoff_ms = min_i64(2 * backoff_ms, BACKOFF_MAX_MS);
    }
    atomic_fetch_add(&tally->unanswered, 1);
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    struct replay *r = lane->replay;
    struct prng prng = {.state = prng_entropy()};
    auto_client struct client *server = client_new("volumecap-server", lane->port);

    while (!is_stopping(r)) {
        size_t i = atomic_fetch_add(&lane->next, 1);
        if (i >= lane->count)
            break;
        const struct trace_row *row = &r->config.plan->trace->rows[lane->rows[i]];
        sleep_until(r, due_ms(&r->config, row->at_s));
        if (!is_stopping(r))
            ask(r, server, &prng, row);
    }
    atomic_fetch_sub(&r->running, 1);
    return NULL;
}

static void fill_lanes(struct replay *r)
{
    const struct trace *t = r->config.plan->trace;

    for (int i = 0; i < r->config.servers; i++) {
        r->lanes[i].replay = r;
        r->lanes[i].port = r->config.ports[i];
        r->lanes[i].rows = calloc(t->count, sizeof(size_t));
        CHECK(r->lanes[i].rows != NULL);
    }
    for (size_t i = 0; i < t->count; i++) {
        struct lane *lane = &r->lanes[t->rows[i].client % r->config.servers];
        if (plan_cap_of(r->config.plan, &t->rows[i]) >= 0)
            lane->rows[lane->count++] = i;
    }
}

struct replay *replay_start(const struct replay_config *config)
{
    struct replay *r = calloc(1, sizeof(*r));

    CHECK(r != NULL && config->servers >= 1 && config->servers <= REPLAY_LANES_MAX);
    r->config = *config;
    fill_lanes(r);
    atomic_store(&r->running, config->servers * THREADS_PER_LANE);
    for (int i = 0; i < config->servers; i++)
        for (int k = 0; k < THREADS_PER_LANE; k++)
            CHECK(pthread_create(&r->lanes[i].threads[k], NULL, run_lane, &r->lanes[i]) == 0);
    return r;
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
    for (int i = 0; i < r->config.servers; i++) {
        for (int k = 0; k < THREADS_PER_LANE; k++)
            CHECK(pthread_join(r->lanes[i].threads[k], NULL) == 0);
        free(r->lanes[i].rows);
    }
    free(r);
    return NULL;
}
