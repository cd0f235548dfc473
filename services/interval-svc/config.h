#pragma once

/* config: the settings of interval-svc. */

#include <stdint.h>

#include "common/base/config.h"
#include "common/io/db.h"
#include "common/io/httpd.h"

struct interval_config {
    struct httpd_settings http;
    const char *log_level;
    struct db_pool_settings db;
    const char *local_url;
    const char *coordinator_url;
    int64_t alone;
    int64_t retention_ms;
};

extern const struct config_table interval_config_table;
