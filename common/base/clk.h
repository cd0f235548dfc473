#pragma once

/*
 * clk: the real monotonic clock, for durations and deadlines, in
 * milliseconds.  It counts suspension (CLOCK_BOOTTIME).  Calendar time is the
 * database's alone: schema `calendar` in migrations/.
 */

#include <stdint.h>

int64_t clk_now_ms(void);
int64_t clk_now_ns(void);

/* UTC of this host in milliseconds since 1970, for log lines only. */
int64_t clk_utc_ms(void);
