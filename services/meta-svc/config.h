#pragma once

/* config: the settings of meta-svc. */

#include <stdint.h>

#include "common/base/config.h"

struct meta_config {
    const char *address;
    int64_t port;
    int64_t threads;
    int64_t connections_max;
    int64_t request_timeout_ms;
    const char *log_level;
    const char *db;
    int64_t db_conns_max;
    int64_t db_acquire_timeout_ms;
    const char *interval_url;
    const char *dc;
    int64_t watchers_max;
};

extern const struct config_table meta_config_table;
