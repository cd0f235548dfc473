#include "tests/demo/tally.h"

#include <string.h>

#include "common/base/check.h"

#define HOUR_S 3600

static int64_t *counters(size_t count)
{
    int64_t *ret = calloc(count, sizeof(*ret));

    CHECK(ret != NULL);
    return ret;
}

struct tally *tally_new(const struct plan *p)
{
    struct tally *t = calloc(1, sizeof(*t));

    CHECK(t != NULL && pthread_mutex_init(&t->mutex, NULL) == 0);
    t->plan = p;
    t->hours = (size_t)div_ceil(p->ends_at_s - p->starts_at_s, HOUR_S);
    t->granted_by_hour = counters(t->hours);
    t->refused_by_hour = counters(t->hours);
    for (int i = 0; i < p->caps_count; i++)
        t->caps[i].granted_by_hour = counters(t->hours);
    return t;
}

struct tally *tally_free(struct tally *t)
{
    if (!t)
        return NULL;
    for (int i = 0; i < t->plan->caps_count; i++) {
        free(t->caps[i].windows);
        free(t->caps[i].granted_by_hour);
    }
    free(t->granted_by_hour);
    free(t->refused_by_hour);
    CHECK(pthread_mutex_destroy(&t->mutex) == 0);
    free(t);
    return NULL;
}

/* The window, made if it is new. */
static struct tally_window *window_at(struct tally_cap *cap, int64_t starts_at_ms)
{
    size_t at = cap->windows_count;

    while (at > 0 && cap->windows[at - 1].starts_at_ms > starts_at_ms)
        at--;
    if (at > 0 && cap->windows[at - 1].starts_at_ms == starts_at_ms)
        return &cap->windows[at - 1];

    cap->windows = reallocarray(cap->windows, cap->windows_count + 1, sizeof(*cap->windows));
    CHECK(cap->windows != NULL);
    memmove(&cap->windows[at + 1], &cap->windows[at],
            (cap->windows_count - at) * sizeof(*cap->windows));
    cap->windows_count++;
    cap->windows[at] = (struct tally_window){.starts_at_ms = starts_at_ms};
    return &cap->windows[at];
}

void tally_answer(struct tally *t, int dc, int cap, int64_t at_s, const struct consumed *answer)
{
    size_t hour = (size_t)((at_s - t->plan->starts_at_s) / HOUR_S);
    bool granted = answer->verdict == VERDICT_GRANTED;

    CHECK(hour < t->hours);
    CHECK(pthread_mutex_lock(&t->mutex) == 0);
    struct tally_window *window = window_at(&t->caps[cap], answer->starts_at_ms);
    if (granted) {
        window->granted += answer->granted;
        window->granted_by_dc[dc] += answer->granted;
        t->caps[cap].granted_by_hour[hour] += answer->granted;
        t->granted_by_hour[hour] += answer->granted;
    } else {
        window->refused++;
        t->refused_by_hour[hour]++;
    }
    CHECK(pthread_mutex_unlock(&t->mutex) == 0);
    atomic_fetch_add(granted ? &t->granted : &t->refused, 1);
}

const struct tally_window *tally_find(const struct tally *t, int cap, int64_t starts_at_ms)
{
    const struct tally_cap *c = &t->caps[cap];

    for (size_t i = 0; i < c->windows_count; i++)
        if (c->windows[i].starts_at_ms == starts_at_ms)
            return &c->windows[i];
    return NULL;
}
