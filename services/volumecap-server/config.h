#pragma once

/* config: everything an operator can set; nothing else reads the environment. */

#include <stdint.h>

#include "common/base/config.h"
#include "common/io/httpd.h"

struct server_config {
    struct httpd_settings http;
    const char *log_level;
    const char *name;
    const char *local_url;
    const char *ledger;
    int64_t ledger_entries;
    int64_t wait_ms;
    int64_t waiting_max;
    int64_t report_ms;
    int64_t remember_ms;
};

extern const struct config_table server_config_table;
