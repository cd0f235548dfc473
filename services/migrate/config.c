#include "services/migrate/config.h"

/* clang-format off */
static const struct config_row rows[] = {
    {"MIGRATE_DB", CONFIG_SECRET, offsetof(struct migrate_config, conninfo),
     NULL, 0, 0, "libpq conninfo of the database"},
    {"MIGRATE_DIR", CONFIG_TEXT, offsetof(struct migrate_config, folder),
     "migrations", 0, 0, "the folder of NNNN_what.sql files"},
    {"MIGRATE_WAIT_MS", CONFIG_INT, offsetof(struct migrate_config, wait_ms),
     "30000", 0, 600000, "how long to wait for the database, ms"},
};
/* clang-format on */

const struct config_table migrate_config_table = {
    .program = "migrate",
    .what = "Brings the database up to the migrations in a folder; does nothing if it is there.",
    .prefix = "MIGRATE_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
