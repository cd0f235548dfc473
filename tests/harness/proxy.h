#pragma once

/*
 * proxy: a TCP proxy between a client and a service of ours that does to HTTP
 * requests what a bad network does: loses them, loses their answers, sends
 * them twice, keeps them waiting.
 *
 * It understands just enough HTTP/1.1 to know where a request ends (a head and
 * Content-Length); answers are passed through as they come.  For latency, cut
 * routes and messages through a broker see wire.h.  Everything here aborts with
 * a message when it fails, as in proc.h.
 */

#include <stdint.h>

#include "common/base/cleanup.h"

enum proxy_fault {
    PROXY_PASS,
    PROXY_LOSE_REQUEST, /* the connection ends before the service hears of it */
    PROXY_LOSE_ANSWER,  /* the service does its work, the connection ends before the answer */
    PROXY_TWICE,        /* the service gets it twice, on two connections; one answer is passed on */
    PROXY_DELAY,        /* the service gets it later, PROXY_DELAY_MS */
};

#define PROXY_DELAY_MS 300

struct proxy;

/* Listens on a free port of 127.0.0.1 and connects to another. */
struct proxy *proxy_start(int upstream_port);
int proxy_port(const struct proxy *p);

/* Ends all connections. */
struct proxy *proxy_stop(struct proxy *p);
CLEANUP_DEFINE(proxy, struct proxy, proxy_stop)
#define auto_proxy CLEANUP(proxy)

/* The next `times` requests that begin with `prefix` ("POST /topup") meet the fault. */
void proxy_inject(struct proxy *p, const char *prefix, enum proxy_fault fault, int64_t times);

/* How many of those have not come yet. */
int64_t proxy_pending(struct proxy *p);
