#include "tests/harness/promise.h"

#include <inttypes.h>
#include <stdio.h>

#define BUSY_MS 30000

bool promise_kept(const char *what, int64_t took_ms, int64_t promised_ms)
{
    printf("time: %s: %" PRId64 " ms (promised: %" PRId64 ")\n", what, took_ms, promised_ms);
    (void)fflush(stdout);
    return took_ms < promised_ms + BUSY_MS;
}
