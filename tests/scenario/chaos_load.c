/* chaos_load: clients who consume and refund at random, and remember what they were told. */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/prng.h"
#include "tests/scenario/chaos.h"

#define THREADS 4
#define PACE_MS 1    /* leaves some of the machine to the services */
#define TROUBLE_MS 5 /* after an answer that says later, or none */
#define REFUND_ONE_IN 20

struct worker {
    pthread_t thread;
    struct client *servers[DC_REPLICAS_MAX];
    int servers_count;
    struct prng prng;
    struct tally *tally;
    const atomic_bool *stop;
    struct {
        int server, cap;
        int64_t starts_at_ms, units; /* 0 units: nothing to give back */
    } last;                          /* grant */
};

struct load {
    atomic_bool stop;
    struct worker workers[THREADS];
};

struct tally *tally_new(void)
{
    struct tally *t = calloc(1, sizeof(*t));

    CHECK(t != NULL);
    return t;
}

struct tally *tally_free(struct tally *t)
{
    if (t)
        free(t->rows);
    free(t);
    return NULL;
}

struct tally_row *tally_at(struct tally *t, int cap, int64_t starts_at_ms)
{
    /* The newest windows are at the end, and they are the ones in use. */
    for (int i = t->count - 1; i >= 0; i--)
        if (t->rows[i].cap == cap && t->rows[i].starts_at_ms == starts_at_ms)
            return &t->rows[i];
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->rows = reallocarray(t->rows, (size_t)t->room, sizeof(*t->rows));
        CHECK(t->rows != NULL);
    }
    t->rows[t->count] = (struct tally_row){.cap = cap, .starts_at_ms = starts_at_ms};
    return &t->rows[t->count++];
}

static void tally_add(struct tally *sum, const struct tally *t)
{
    for (int i = 0; i < t->count; i++) {
        struct tally_row *row = tally_at(sum, t->rows[i].cap, t->rows[i].starts_at_ms);
        row->granted += t->rows[i].granted;
        row->refunded += t->rows[i].refunded;
        row->perhaps_refunded += t->rows[i].perhaps_refunded;
    }
    for (int v = 0; v < VERDICTS; v++)
        sum->asked[v] += t->asked[v];
    for (int cap = 0; cap < CHAOS_CAPS; cap++)
        sum->perhaps_granted[cap] += t->perhaps_granted[cap];
}

static int64_t below(struct worker *w, int64_t n)
{
    return prng_below(&w->prng, n);
}

/* How long to wait before the next. */
static int consume_once(struct worker *w)
{
    int cap = (int)below(w, CHAOS_CAPS), server = (int)below(w, w->servers_count);
    int64_t n = 1 + below(w, chaos_caps[cap].amount_max);
    const char *mode = below(w, 4) == 0 ? "best_effort" : "all";
    struct consumed c = client_consume(w->servers[server], chaos_caps[cap].name, n, mode);

    w->tally->asked[c.verdict]++;
    if (c.verdict == VERDICT_GRANTED) {
        tally_at(w->tally, cap, c.starts_at_ms)->granted += c.granted;
        w->last.server = server;
        w->last.cap = cap;
        w->last.starts_at_ms = c.starts_at_ms;
        w->last.units = c.granted;
        return PACE_MS;
    }
    if (c.verdict == VERDICT_NO_ANSWER || c.verdict == VERDICT_ODD)
        w->tally->perhaps_granted[cap] += n;
    return c.verdict == VERDICT_USED_UP ? PACE_MS : TROUBLE_MS;
}

/* All of the latest grant, where it came from. */
static void refund_last(struct worker *w)
{
    char body[256], starts_at[TIME_TEXT_SIZE];
    const struct call call = {.method = "POST", .path = "/refund", .body = body};
    struct tally_row *row = tally_at(w->tally, w->last.cap, w->last.starts_at_ms);
    struct answer answer = {0};
    struct err e;

    time_format(w->last.starts_at_ms, starts_at);
    snprintf(body, sizeof(body), "{\"cap\":\"%s\",\"amount\":%lld,\"starts_at\":\"%s\"}",
             chaos_caps[w->last.cap].name, (long long)w->last.units, starts_at);
    if (!client_call(w->servers[w->last.server], &call, &answer, &e))
        row->perhaps_refunded += w->last.units;
    else if (answer.status == 200)
        row->refunded += w->last.units;
    w->last.units = 0;
}

static void *work(void *arg)
{
    struct worker *w = arg;

    while (!atomic_load(w->stop)) {
        if (w->last.units > 0 && below(w, REFUND_ONE_IN) == 0)
            refund_last(w);
        poll(NULL, 0, consume_once(w));
    }
    return NULL;
}

static void start_worker(struct worker *w, const struct dc *dc, uint64_t seed,
                         const atomic_bool *stop)
{
    *w = (struct worker){.prng.state = seed, .stop = stop, .tally = tally_new()};
    w->servers_count = dc_count(dc, DC_SERVER);
    for (int i = 0; i < w->servers_count; i++)
        w->servers[i] = dc_client(dc, DC_SERVER, i);
    CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
}

struct load *load_start(const struct dc *dc, uint64_t seed)
{
    struct load *l = calloc(1, sizeof(*l));

    CHECK(l != NULL);
    for (int i = 0; i < THREADS; i++)
        start_worker(&l->workers[i], dc, seed + (uint64_t)i + 1, &l->stop);
    return l;
}

struct tally *load_stop(struct load *l)
{
    struct tally *sum = tally_new();

    atomic_store(&l->stop, true);
    for (int i = 0; i < THREADS; i++) {
        struct worker *w = &l->workers[i];
        CHECK(pthread_join(w->thread, NULL) == 0);
        tally_add(sum, w->tally);
        tally_free(w->tally);
        for (int k = 0; k < w->servers_count; k++)
            client_free(w->servers[k]);
    }
    free(l);
    return sum;
}
