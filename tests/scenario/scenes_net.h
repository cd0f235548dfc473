#pragma once

/*
 * scenes_net: a real link between data centres: whatever one says to another's
 * broker goes over a pair of virtual Ethernet devices, one of whose ends is in
 * a network namespace of its own, and can be taken down.  Then packets are
 * lost, and both ends have nothing but their own clocks to notice it by.
 *
 * It needs root, and a machine that gives namespaces; it says so where it has not.
 */

#include <stdbool.h>

#include "tests/harness/dcs.h"

/* In the runner, before its data centres start; false: this machine refuses. */
bool net_start(void);

/* For dcs_options. */
dcs_route_fn net_route;

/* In the tests: is there such a link?  Takes it down, and up. */
bool net_is_there(void);
void net_set(bool is_up);
