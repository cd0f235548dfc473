#pragma once

/*
 * run: one audit, from the first question to the report.
 *
 * Goes over all windows once, block by block, and then again and again over
 * those that moved or had units on their way, until there are none or it has
 * waited long enough.
 */

#include "services/audit/options.h"
#include "services/audit/report.h"

/* False: the data centres are not what they are said to be; bad usage.  Otherwise `ret` has all. */
MUST_CHECK bool run_audit(const struct options *o, struct report *ret, struct err *e);
