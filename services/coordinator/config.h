#pragma once

/* config: the settings of the coordinator. */

#include <stdint.h>

#include "common/base/config.h"
#include "common/io/httpd.h"

struct coordinator_config {
    struct httpd_settings http;
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
