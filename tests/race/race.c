#include "tests/race/race.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "common/base/check.h"

#define RACE_MS 1000
#define THREADS_MAX 32

struct race {
    pthread_barrier_t start;
    atomic_bool over, served;
};

struct runner {
    struct race_thread thread;
    const struct race_part *part;
    struct race *race;
    pthread_t id;
};

static void *run(void *arg)
{
    struct runner *r = arg;
    const atomic_bool *end = r->part->serves ? &r->race->served : &r->race->over;

    (void)pthread_barrier_wait(&r->race->start);
    do
        r->part->step(&r->thread);
    while (!atomic_load(end));
    return NULL;
}

static int fill(struct runner *runners, struct race *race, const struct race_part *part,
                uint64_t seed)
{
    CHECK(part->threads >= 1 && part->threads <= THREADS_MAX);
    for (int i = 0; i < part->threads; i++)
        runners[i] = (struct runner){
            .thread = {.arg = part->arg, .index = i, .prng = {seed * THREADS_MAX + (uint64_t)i}},
            .part = part,
            .race = race,
        };
    return part->threads;
}

static void wait_ms(int64_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

static void join(struct runner *runners, int threads, bool serves)
{
    for (int i = 0; i < threads; i++)
        if (runners[i].part->serves == serves)
            CHECK(pthread_join(runners[i].id, NULL) == 0);
}

void race_run(const struct race_part *parts, size_t count)
{
    struct runner runners[THREADS_MAX];
    struct race race = {.over = false};
    int threads = 0;

    for (size_t i = 0; i < count; i++) {
        CHECK(threads + parts[i].threads <= THREADS_MAX);
        threads += fill(runners + threads, &race, &parts[i], i);
    }
    CHECK(pthread_barrier_init(&race.start, NULL, (unsigned)threads) == 0);
    for (int i = 0; i < threads; i++)
        CHECK(pthread_create(&runners[i].id, NULL, run, &runners[i]) == 0);
    wait_ms(RACE_MS);
    atomic_store(&race.over, true);
    join(runners, threads, /* serves= */ false);
    atomic_store(&race.served, true);
    join(runners, threads, /* serves= */ true);
    (void)pthread_barrier_destroy(&race.start);
}
