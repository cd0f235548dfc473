#pragma once

/* ticker: what time brings: windows open and close, servers fall silent, the old is forgotten. */

#include "services/local-svc/worker.h"

/* arg: struct local_app. */
worker_tick ticker_tick;

/* The audit and the gauges, for /metrics; apart, since both read whole tables. */
worker_tick auditor_tick;

/* Asks of other data centres that were not met, or are not needed any more. */
worker_tick trader_tick;
