#include "services/audit/stopper.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/wait.h"

struct stopper {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool stopped; /* guarded by mutex */
    bool ending;  /* likewise: the signal is our own */
    pthread_t thread;
    struct httpc *const *clients;
    size_t count;
};

static sigset_t stop_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    return set;
}

static void *take_signal(void *arg)
{
    struct stopper *s = arg;
    sigset_t set = stop_signals();
    int signal = 0;

    CHECK(sigwait(&set, &signal) == 0);
    (void)pthread_mutex_lock(&s->mutex);
    s->stopped = true;
    bool ending = s->ending;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->mutex);
    for (size_t i = 0; !ending && i < s->count; i++)
        httpc_cancel(s->clients[i]);
    return NULL;
}

struct stopper *stopper_start(struct httpc *const *clients, size_t count)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set = stop_signals();
    struct stopper *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    s->clients = clients;
    s->count = count;
    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    wait_init(&s->changed);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0);
    CHECK(pthread_create(&s->thread, NULL, take_signal, s) == 0);
    return s;
}

struct stopper *stopper_end(struct stopper *s)
{
    if (s == NULL)
        return NULL;
    (void)pthread_mutex_lock(&s->mutex);
    bool has_ended = s->stopped;
    s->ending = true;
    (void)pthread_mutex_unlock(&s->mutex);
    /* A thread that has ended and was not joined may still be named. */
    if (!has_ended)
        (void)pthread_kill(s->thread, SIGINT);
    (void)pthread_join(s->thread, NULL);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
    return NULL;
}

bool stopper_is_stopped(struct stopper *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    bool stopped = s->stopped;
    (void)pthread_mutex_unlock(&s->mutex);
    return stopped;
}

void stopper_wait(struct stopper *s, int64_t ms)
{
    const struct timespec until = wait_deadline(ms);

    (void)pthread_mutex_lock(&s->mutex);
    while (!s->stopped && wait_until(&s->changed, &s->mutex, until))
        continue;
    (void)pthread_mutex_unlock(&s->mutex);
}
