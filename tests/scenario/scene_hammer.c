/* The client on a thread of its own; see scene.h. */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "tests/scenario/scene.h"

#define TROUBLE_MS 2

struct hammer {
    pthread_t thread;
    struct client *server;
    char cap[NAME_SIZE];
    int pause_ms;
    atomic_bool stop;
    atomic_int_fast64_t granted, unanswered;
};

static void *run(void *arg)
{
    struct hammer *h = arg;

    while (!atomic_load(&h->stop)) {
        enum verdict v = client_consume(h->server, h->cap, 1, NULL).verdict;
        if (v == VERDICT_GRANTED)
            atomic_fetch_add(&h->granted, 1);
        if (v != VERDICT_GRANTED || h->pause_ms > 0)
            poll(NULL, 0, v == VERDICT_GRANTED ? h->pause_ms : TROUBLE_MS);
        if (v == VERDICT_NO_ANSWER)
            atomic_fetch_add(&h->unanswered, 1);
    }
    return NULL;
}

struct hammer *hammer_start(int server_port, const char *cap)
{
    return hammer_start_slow(server_port, cap, 0);
}

struct hammer *hammer_start_slow(int server_port, const char *cap, int pause_ms)
{
    struct hammer *h = calloc(1, sizeof(*h));

    CHECK(h != NULL);
    h->server = client_new("volumecap-server", server_port);
    snprintf(h->cap, sizeof(h->cap), "%s", cap);
    h->pause_ms = pause_ms;
    CHECK(pthread_create(&h->thread, NULL, run, h) == 0);
    return h;
}

int64_t hammer_granted(const struct hammer *h)
{
    return atomic_load(&h->granted);
}

struct hammered hammer_stop(struct hammer *h)
{
    atomic_store(&h->stop, true);
    CHECK(pthread_join(h->thread, NULL) == 0);
    struct hammered ret = {.granted = atomic_load(&h->granted),
                           .unanswered = atomic_load(&h->unanswered)};
    client_free(h->server);
    free(h);
    return ret;
}
