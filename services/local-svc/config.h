#pragma once

/* config: the settings of local-svc. */

#include <stdint.h>

#include "common/base/config.h"

struct local_config {
    const char *address;
    int64_t port;
    int64_t threads;
    int64_t connections_max;
    int64_t request_timeout_ms;
    const char *dc;
    const char *peers;
    const char *log_level;
    const char *conninfo;
    int64_t db_conns_max;
    int64_t db_acquire_timeout_ms;
    int64_t queue_items_max;
    int64_t watchers_max;
    int64_t suspect_ms;
    int64_t presume_ms;
    int64_t learn_ms;
    int64_t close_ms;
    int64_t retention_ms;
    int64_t audit_ms;
};

extern const struct config_table local_config_table;
