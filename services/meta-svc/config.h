#pragma once

/* config: the settings of meta-svc. */

#include <stdint.h>

#include "common/base/config.h"
#include "common/io/db.h"
#include "common/io/httpd.h"

struct meta_config {
    struct httpd_settings http;
    const char *log_level;
    struct db_pool_settings db;
    const char *interval_url;
    const char *dc;
    int64_t watchers_max;
};

extern const struct config_table meta_config_table;
