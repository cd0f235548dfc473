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
    atomic_bool stop;
    int64_t amount, pause_ms;
    atomic_int_fast64_t granted, refused, unanswered;
};

static void count(struct hammer *h, enum verdict v)
{
    if (v == VERDICT_GRANTED)
        atomic_fetch_add(&h->granted, 1);
    else if (v == VERDICT_NO_ANSWER)
        atomic_fetch_add(&h->unanswered, 1);
    else
        atomic_fetch_add(&h->refused, 1);
}

static void *run(void *arg)
{
    struct hammer *h = arg;

    while (!atomic_load(&h->stop)) {
        enum verdict v = client_consume(h->server, h->cap, h->amount, NULL).verdict;
        int64_t pause_ms = v == VERDICT_GRANTED ? h->pause_ms : TROUBLE_MS;

        count(h, v);
        if (pause_ms > 0)
            poll(NULL, 0, (int)pause_ms);
    }
    return NULL;
}

static struct hammer *start(int server_port, const char *cap, int64_t amount, int64_t pause_ms)
{
    struct hammer *h = calloc(1, sizeof(*h));

    CHECK(h != NULL);
    h->server = client_new("volumecap-server", server_port);
    h->amount = amount;
    h->pause_ms = pause_ms;
    snprintf(h->cap, sizeof(h->cap), "%s", cap);
    CHECK(pthread_create(&h->thread, NULL, run, h) == 0);
    return h;
}

struct hammer *hammer_start_paced(int server_port, const char *cap, int64_t pause_ms)
{
    return start(server_port, cap, 1, pause_ms);
}

struct hammer *hammer_start_amount(int server_port, const char *cap, int64_t amount)
{
    return start(server_port, cap, amount, 0);
}

struct hammer *hammer_start(int server_port, const char *cap)
{
    return start(server_port, cap, 1, 0);
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
                           .refused = atomic_load(&h->refused),
                           .unanswered = atomic_load(&h->unanswered)};
    client_free(h->server);
    free(h);
    return ret;
}
