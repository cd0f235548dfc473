#include "common/io/httpd_reaper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/wait.h"

struct httpd_reaper_slot {
    struct httpd_reaper_slot *prev, *next; /* guarded by the reaper's mutex */
    int fd;
    _Atomic int64_t deadline_ms;
};

/*
 * The mutex is held while sockets are shut down: a slot is removed before its
 * socket is closed, so a number that is in the list is never a stranger's.
 */
struct httpd_reaper {
    pthread_mutex_t mutex;
    pthread_cond_t stopped;         /* with mutex */
    bool stopping;                  /* guarded by mutex */
    struct httpd_reaper_slot slots; /* guarded by mutex; the ring's anchor */
    int64_t period_ms;
    struct metric *reaped;
    pthread_t thread;
};

static void cut_late(struct httpd_reaper *r)
{
    int64_t now_ms = clk_now_ms();

    for (struct httpd_reaper_slot *s = r->slots.next; s != &r->slots; s = s->next) {
        int64_t deadline_ms = atomic_load(&s->deadline_ms);
        if (now_ms < deadline_ms)
            continue;
        /* The deadline that was read must still be the one that holds. */
        if (!atomic_compare_exchange_strong(&s->deadline_ms, &deadline_ms, HTTPD_NO_DEADLINE))
            continue;
        (void)shutdown(s->fd, SHUT_RDWR);
        metric_inc(r->reaped, 1);
    }
}

static void *reaper_main(void *arg)
{
    struct httpd_reaper *r = arg;

    pthread_mutex_lock(&r->mutex);
    while (!r->stopping) {
        (void)wait_until(&r->stopped, &r->mutex, wait_deadline(r->period_ms));
        cut_late(r);
    }
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

static struct httpd_reaper *reaper_free(struct httpd_reaper *r)
{
    pthread_cond_destroy(&r->stopped);
    pthread_mutex_destroy(&r->mutex);
    free(r);
    return NULL;
}

bool httpd_reaper_start(int64_t period_ms, struct metric *reaped, struct httpd_reaper **ret,
                        struct err *e)
{
    struct httpd_reaper *r = calloc(1, sizeof(*r));

    CHECK(period_ms > 0);
    if (!r)
        return err_set(e, ERR_INTERNAL, "out of memory");
    r->period_ms = period_ms;
    r->reaped = reaped;
    r->slots.prev = r->slots.next = &r->slots;
    pthread_mutex_init(&r->mutex, NULL);
    wait_init(&r->stopped);
    int error = pthread_create(&r->thread, NULL, reaper_main, r);
    if (error != 0) {
        (void)reaper_free(r);
        return err_set(e, ERR_INTERNAL, "cannot start a thread: %s", strerror(error));
    }
    *ret = r;
    return true;
}

struct httpd_reaper *httpd_reaper_stop(struct httpd_reaper *r)
{
    if (!r)
        return NULL;
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    CHECK(r->slots.next == &r->slots);
    pthread_cond_signal(&r->stopped);
    pthread_mutex_unlock(&r->mutex);
    pthread_join(r->thread, NULL);
    return reaper_free(r);
}

struct httpd_reaper_slot *httpd_reaper_add(struct httpd_reaper *r, int fd, int64_t deadline_ms)
{
    struct httpd_reaper_slot *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->fd = fd;
    atomic_init(&s->deadline_ms, deadline_ms);
    pthread_mutex_lock(&r->mutex);
    s->prev = r->slots.prev;
    s->next = &r->slots;
    s->prev->next = s->next->prev = s;
    pthread_mutex_unlock(&r->mutex);
    return s;
}

void httpd_reaper_remove(struct httpd_reaper *r, struct httpd_reaper_slot *slot)
{
    pthread_mutex_lock(&r->mutex);
    slot->prev->next = slot->next;
    slot->next->prev = slot->prev;
    pthread_mutex_unlock(&r->mutex);
    free(slot);
}

void httpd_reaper_move(struct httpd_reaper_slot *slot, int64_t deadline_ms)
{
    atomic_store(&slot->deadline_ms, deadline_ms);
}
