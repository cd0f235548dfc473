#pragma once

/*
 * httpd_reaper: cuts connections that miss their deadline.
 *
 * libmicrohttpd's timeout counts inactivity, so one byte every few seconds
 * keeps a connection alive for ever.  Here each connection has a deadline for
 * the phase it is in; a thread shuts down the sockets that have passed theirs,
 * and libmicrohttpd then sees a closed peer.  It cannot send a 408 from the
 * outside; a closed connection is what a slow sender gets.
 */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/metric.h"

struct httpd_reaper;
struct httpd_reaper_slot; /* a connection */

#define HTTPD_NO_DEADLINE INT64_MAX

/* Looks at all connections every `period_ms`; counts those it cuts in `reaped` (borrowed). */
MUST_CHECK bool httpd_reaper_start(int64_t period_ms, struct metric *reaped,
                                   struct httpd_reaper **ret, struct err *e);
/* Every slot must have been removed before. */
struct httpd_reaper *httpd_reaper_stop(struct httpd_reaper *r);
CLEANUP_DEFINE(httpd_reaper, struct httpd_reaper, httpd_reaper_stop)

/* NULL if out of memory.  The socket stays the caller's, and open until the slot is removed. */
struct httpd_reaper_slot *httpd_reaper_add(struct httpd_reaper *r, int fd, int64_t deadline_ms);
void httpd_reaper_remove(struct httpd_reaper *r, struct httpd_reaper_slot *slot);

/* Moves the deadline (clk_now_ms), from any thread, without a lock. */
void httpd_reaper_move(struct httpd_reaper_slot *slot, int64_t deadline_ms);
