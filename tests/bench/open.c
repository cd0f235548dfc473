#include <stdio.h>

#include "tests/bench/bench.h"
#include "tests/harness/proc.h"

#define OPENERS 16

struct opening {
    const struct bench_windows *windows;
    int next;
};

static size_t open_next(void *arg, int connection, char *out, size_t size)
{
    struct opening *o = arg;
    const struct bench_windows *w = o->windows;
    char path[100], body[300];

    (void)connection;
    snprintf(path, sizeof(path), "/intervals/%s-%d/%s", w->prefix, o->next++, w->starts_at);
    snprintf(body, sizeof(body),
             "{\"version\":1,\"ends_at\":\"%s\",\"state\":\"%s\",\"total\":%lld,"
             "\"paused\":false,\"topup_fraction\":%.6f,\"slice_max_fraction\":%.6f,"
             "\"autonomy_ms\":1000}",
             w->ends_at, w->state, (long long)w->total, w->slice, w->slice);
    return load_http_request(out, size, "PUT", path, body);
}

static enum load_verdict open_answer(void *arg, int connection, const char *data, size_t len)
{
    (void)arg, (void)connection;
    return load_http_answer(data, len);
}

void bench_open_windows(const struct bench_windows *w, int count)
{
    struct opening o = {.windows = w};
    const struct load_target target = {
        .port = w->port, .next = open_next, .answer = open_answer, .arg = &o};

    if (!load_all(&target, count < OPENERS ? count : OPENERS, count))
        harness_fail("bench: not all windows were opened");
}
