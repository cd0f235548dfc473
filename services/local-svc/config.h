#pragma once

/* config: the settings of local-svc. */

#include <stdint.h>

#include "common/base/config.h"
#include "common/io/db.h"
#include "common/io/httpd.h"

struct local_config {
    struct httpd_settings http;
    const char *log_level;
    struct db_pool_settings db;
    const char *dc;
    const char *peers;
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
