#pragma once

/* config: the settings of local-svc. */

#include <stdint.h>

#include "common/base/config.h"
#include "common/io/httpd.h"

struct local_config {
    struct httpd_settings http;
    const char *log_level;
    const char *dc;
    const char *peers;
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
