#pragma once

/* config: the settings of migrate. */

#include <stdint.h>

#include "common/base/config.h"

struct migrate_config {
    const char *conninfo;
    const char *folder;
    int64_t wait_ms;
};

extern const struct config_table migrate_config_table;
