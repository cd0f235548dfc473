#pragma once

/*
 * links: what lies between data centres, as proxies (wire.h): one from each
 * remote-svc to each other data centre's broker, and one between each broker
 * and its own remote-svc.
 *
 * They live in the process that started them.  Any process that knows the
 * folder can disturb them, by a socket there: the tests of a program, say,
 * which are processes of their own.  What fails aborts with a message.
 */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "tests/harness/wire.h"

#define LINKS_DCS_MAX 10
#define LINKS_TEXT_SIZE 64

struct links;

/* Between `count` data centres whose brokers have these ports. */
struct links *links_start(const char *folder, int count, const int64_t *broker_ports);

/* Where data centre `from` finds the broker of `to`, or its own. */
int64_t links_port(const struct links *l, int from, int to);

struct links *links_stop(struct links *l);

/* What `from` says to `to` arrives no more; nobody is told. */
void links_cut(const char *folder, int from, int to);

/* Nothing comes from it nor gets to it. */
void links_isolate(const char *folder, int dc);

/* The connection of `from` to the broker of `to` is reset, and new ones are refused. */
void links_reset(const char *folder, int from, int to);

/* Everything between any two takes so long, each way. */
void links_delay(const char *folder, int64_t ms);

/*
 * The next n deliveries of its own broker to a data centre in whose headers
 * the text occurs ("" for any) meet the fault; how many of those have not come
 * yet; what is held goes on.  See wire.h.
 */
void links_deliveries(const char *folder, int dc, enum wire_fault fault, const char *containing,
                      int64_t n);
int64_t links_deliveries_pending(const char *folder, int dc);
void links_release(const char *folder, int dc);

/* The next n such messages of `from` to `to` arrive with a bit flipped. */
void links_corrupt(const char *folder, int from, int to, const char *containing, int64_t n);

/* All of the above is over; what was held goes on. */
void links_heal(const char *folder);
