#include "services/local-svc/witness.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/num.h"

struct witness {
    pthread_mutex_t mutex;
    struct learn_memory memory; /* guarded by mutex */
    bool has_left;              /* guarded by mutex */
    int64_t seen_ms;            /* guarded by mutex: when the database was last reached */
    char process[UUID_SIZE];
};

static void lock(struct witness *w)
{
    CHECK(pthread_mutex_lock(&w->mutex) == 0);
}

static void unlock(struct witness *w)
{
    CHECK(pthread_mutex_unlock(&w->mutex) == 0);
}

struct witness *witness_new(void)
{
    struct witness *w = calloc(1, sizeof(*w));

    CHECK(w != NULL && pthread_mutex_init(&w->mutex, NULL) == 0);
    uuid_random(w->process);
    return w;
}

struct witness *witness_free(struct witness *w)
{
    if (!w)
        return NULL;
    CHECK(pthread_mutex_destroy(&w->mutex) == 0);
    free(w);
    return NULL;
}

const char *witness_process(const struct witness *w)
{
    return w->process;
}

struct learn_memory witness_memory(struct witness *w)
{
    lock(w);
    struct learn_memory memory = w->memory;
    memory.was_away = clk_now_ms() - w->seen_ms >= WITNESS_STRUCK_MS / 2;
    unlock(w);
    return memory;
}

/* The larger of each: transactions of several threads end in any order. */
void witness_saw(struct witness *w, int64_t commits, int64_t writers)
{
    lock(w);
    w->memory.is_known = true;
    w->memory.commits = max_i64(w->memory.commits, commits);
    w->memory.writers = max_i64(w->memory.writers, writers);
    w->seen_ms = clk_now_ms();
    unlock(w);
}

void witness_leave(struct witness *w)
{
    lock(w);
    w->has_left = true;
    unlock(w);
}

bool witness_has_left(struct witness *w)
{
    lock(w);
    bool has_left = w->has_left;
    unlock(w);
    return has_left;
}

void witness_forget(struct witness *w)
{
    lock(w);
    w->memory = (struct learn_memory){.writers = w->memory.writers};
    unlock(w);
}
