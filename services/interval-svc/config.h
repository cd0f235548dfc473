#pragma once

/* config: the settings of interval-svc. */

#include <stdint.h>

#include "common/base/config.h"
#include "common/io/db.h"
#include "common/io/httpd.h"
#include "common/io/leader.h"

struct interval_config {
    struct httpd_settings http;
    const char *log_level;
    struct db_pool_settings db;
    const char *local_url;
    struct leader_settings leader;
    int64_t retention_ms;
};

extern const struct config_table interval_config_table;
