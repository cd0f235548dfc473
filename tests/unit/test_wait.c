#include <criterion/criterion.h>
#include <pthread.h>

#include "common/base/wait.h"

struct bell {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool rung; /* guarded by mutex */
};

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct timespec monotonic_now(void)
{
    struct timespec t;

    cr_assert(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return t;
}

static void init(struct bell *b)
{
    *b = (struct bell){.rung = false};
    cr_assert(pthread_mutex_init(&b->mutex, NULL) == 0);
    wait_init(&b->cond);
}

static void done(struct bell *b)
{
    cr_assert(pthread_cond_destroy(&b->cond) == 0);
    cr_assert(pthread_mutex_destroy(&b->mutex) == 0);
}

static void *ring(void *arg)
{
    struct bell *b = arg;

    cr_assert(pthread_mutex_lock(&b->mutex) == 0);
    b->rung = true;
    cr_assert(pthread_cond_signal(&b->cond) == 0);
    cr_assert(pthread_mutex_unlock(&b->mutex) == 0);
    return NULL;
}

/* Whenever it is asked, the deadline lies between that much after "before" and after "after". */
Test(wait, a_deadline_is_so_many_ms_from_now)
{
    static const struct {
        const char *name;
        int64_t ms, counts_as_ms;
    } rows[] = {
        {"none is now", 0, 0},
        {"less than none is now", -1, 0},
        {"much less than none is now", INT64_MIN, 0},
        {"a part of a second", 999, 999},
        {"more than a second", 1001, 1001},
        {"a century", INT64_C(3155760000000), INT64_C(3155760000000)},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ns = rows[i].counts_as_ms * 1000000;
        int64_t before = ns_of(monotonic_now());
        struct timespec deadline = wait_deadline(rows[i].ms);
        int64_t after = ns_of(monotonic_now());

        cr_expect(ns_of(deadline) >= before + ns && ns_of(deadline) <= after + ns, "%s",
                  rows[i].name);
        cr_expect(deadline.tv_nsec >= 0 && deadline.tv_nsec < 1000000000, "%s", rows[i].name);
    }
}

/* It may wake without a reason, and then waits on: it ends only with the time. */
Test(wait, ends_with_the_time_and_not_before)
{
    struct bell b;
    init(&b);
    struct timespec deadline = wait_deadline(20);

    cr_assert(pthread_mutex_lock(&b.mutex) == 0);
    while (wait_until(&b.cond, &b.mutex, deadline))
        continue;
    cr_expect(ns_of(monotonic_now()) >= ns_of(deadline));
    cr_assert(pthread_mutex_unlock(&b.mutex) == 0);
    done(&b);
}

Test(wait, a_time_that_is_over_is_not_waited_for)
{
    struct bell b;
    init(&b);

    cr_assert(pthread_mutex_lock(&b.mutex) == 0);
    cr_expect(!wait_until(&b.cond, &b.mutex, wait_deadline(INT64_MIN)));
    cr_assert(pthread_mutex_unlock(&b.mutex) == 0);
    done(&b);
}

/* The thread cannot ring before the wait has begun: it needs the mutex. */
Test(wait, the_longest_wait_is_ended_by_a_signal)
{
    struct bell b;
    pthread_t thread;
    init(&b);

    cr_assert(pthread_mutex_lock(&b.mutex) == 0);
    cr_assert(pthread_create(&thread, NULL, ring, &b) == 0);
    while (!b.rung)
        cr_assert(wait_until(&b.cond, &b.mutex, wait_deadline(INT64_MAX)));
    cr_assert(pthread_mutex_unlock(&b.mutex) == 0);
    cr_assert(pthread_join(thread, NULL) == 0);
    done(&b);
}
