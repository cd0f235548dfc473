#include "services/migrate/config.h"

/* clang-format off */
static const struct config_row rows[] = {
    CONFIG_SECRET("MIGRATE_DB", struct migrate_config, conninfo,
                  NULL, "libpq conninfo of the database"),
    CONFIG_TEXT("MIGRATE_DIR", struct migrate_config, folder,
                "migrations", "the folder of NNNN_what.sql files"),
    CONFIG_INT("MIGRATE_WAIT_MS", struct migrate_config, wait_ms,
               "30000", 0, 600000, "how long to wait for the database, ms"),
};
/* clang-format on */

const struct config_table migrate_config_table = {
    .program = "migrate",
    .what = "Brings the database up to the migrations in a folder; does nothing if it is there.",
    .prefix = "MIGRATE_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
