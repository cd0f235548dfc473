#pragma once

/* config: the settings of interval-svc. */

#include <stdint.h>

#include "common/base/config.h"

struct interval_config {
    const char *address;
    int64_t port;
    int64_t threads;
    int64_t connections_max;
    int64_t request_timeout_ms;
    const char *log_level;
    const char *db;
    int64_t db_conns_max;
    int64_t db_acquire_timeout_ms;
    const char *local_url;
    const char *coordinator_url;
    int64_t alone;
    int64_t retention_ms;
};

extern const struct config_table interval_config_table;
