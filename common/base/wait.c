#include "common/base/wait.h"

#include <errno.h>

#include "common/base/check.h"
#include "common/base/num.h"

void wait_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;

    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(cond, &monotonic) == 0);
    CHECK(pthread_condattr_destroy(&monotonic) == 0);
}

struct timespec wait_deadline(int64_t ms)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    ms = max_i64(ms, 0);
    int64_t ns = t.tv_nsec + ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + ns / 1000000000;
    t.tv_nsec = ns % 1000000000;
    return t;
}

bool wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, struct timespec deadline)
{
    int status = pthread_cond_timedwait(cond, mutex, &deadline);

    CHECK(status == 0 || status == ETIMEDOUT);
    return status == 0;
}
