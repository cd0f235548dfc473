#include "services/local-svc/config.h"

/* clang-format off */
static const struct config_row rows[] = {
    HTTPD_ROWS("LOCAL_", struct local_config, http, "8083", "2", "12000"),
    CONFIG_LOG_LEVEL("LOCAL_LOG_LEVEL", struct local_config, log_level),
    DB_POOL_ROWS("LOCAL_", struct local_config, db, 3),
    CONFIG_NAME("LOCAL_DC", struct local_config, dc,
                "local", "name of this data centre"),
    CONFIG_TEXT("LOCAL_PEERS", struct local_config, peers,
                "", "names of the other data centres, comma separated"),
    CONFIG_INT("LOCAL_QUEUE_ITEMS_MAX", struct local_config, queue_items_max,
               "20000", 1000, 1000000, "topup items waiting for a transaction, then 503"),
    CONFIG_INT("LOCAL_WATCHERS_MAX", struct local_config, watchers_max,
               "10000", 1, 1000000, "suspended GET /watch calls, then 503"),
    CONFIG_INT("LOCAL_SUSPECT_MS", struct local_config, suspect_ms,
               "10000", 100, 3600000, "silence after which a server's wishes are dropped, ms"),
    CONFIG_INT("LOCAL_PRESUME_MS", struct local_config, presume_ms,
               "60000", 100, 86400000, "silence after which a server's rests are presumed spent, ms"),
    CONFIG_INT("LOCAL_LEARN_MS", struct local_config, learn_ms,
               "6000", 100, 3600000, "in doubt what the database forgot: who has not spoken by then is gone, ms"),
    CONFIG_INT("LOCAL_CLOSE_MS", struct local_config, close_ms,
               "3600000", 0, 31622400000, "calendar time that a window's accounts stay open at most, ms"),
    CONFIG_INT("LOCAL_RETENTION_MS", struct local_config, retention_ms,
               "604800000", 0, 31622400000, "calendar time that closed windows are kept, ms"),
    CONFIG_INT("LOCAL_AUDIT_MS", struct local_config, audit_ms,
               "10000", 100, 86400000, "time between two audits for the metric, ms"),
};
/* clang-format on */

const struct config_table local_config_table = {
    .program = "local-svc",
    .what = "Holds this data centre's pools and cuts slices from them for volumecap servers.",
    .prefix = "LOCAL_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
