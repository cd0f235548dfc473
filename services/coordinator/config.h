#pragma once

/* config: the settings of the coordinator. */

#include <stdint.h>

#include "common/base/config.h"

struct coordinator_config {
    const char *address;
    int64_t port;
    int64_t threads;
    int64_t connections_max;
    int64_t request_timeout_ms;
    const char *log_level;
    const char *db;
    const char *role;
    const char *name;
    int64_t rest_ms;
    int64_t service_silent_ms;
    int64_t standby_missing_ms;
    const char *start_standby;
};

extern const struct config_table coordinator_config_table;
