#include "common/base/clk.h"

#include <time.h>

#include "common/base/check.h"

static int64_t read_ns(clockid_t clock)
{
    struct timespec ts;

    CHECK(clock_gettime(clock, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clk_now_ns(void)
{
    return read_ns(CLOCK_BOOTTIME);
}

int64_t clk_now_ms(void)
{
    return clk_now_ns() / 1000000;
}

int64_t clk_utc_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}
