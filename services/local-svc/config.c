#include "services/local-svc/config.h"

#define INT(member) CONFIG_INT, offsetof(struct local_config, member)
#define TEXT(member) CONFIG_TEXT, offsetof(struct local_config, member)
#define SECRET(member) CONFIG_SECRET, offsetof(struct local_config, member)

/* clang-format off */
static const struct config_row rows[] = {
    {"LOCAL_ADDRESS", TEXT(address),
     "127.0.0.1", 0, 0, "numeric address to listen on"},
    {"LOCAL_PORT", INT(port),
     "8083", 0, 65535, "TCP port; 0 picks a free one"},
    {"LOCAL_DC", TEXT(dc),
     "local", 0, 0, "the name of this data centre"},
    {"LOCAL_PEERS", TEXT(peers),
     "", 0, 0, "the names of the other data centres, comma separated"},
    {"LOCAL_THREADS", INT(threads),
     "2", 1, 64, "threads that serve HTTP"},
    {"LOCAL_CONNECTIONS_MAX", INT(connections_max),
     "12000", 1, 1000000, "open client connections"},
    {"LOCAL_REQUEST_TIMEOUT_MS", INT(request_timeout_ms),
     "3000", 10, 600000, "for a whole request to arrive, ms"},
    {"LOCAL_LOG_LEVEL", TEXT(log_level),
     "info", 0, 0, "debug, info, warn or error"},
    {"LOCAL_DB", SECRET(conninfo),
     NULL, 0, 0, "libpq conninfo of the database"},
    {"LOCAL_DB_CONNS_MAX", INT(db_conns_max),
     "8", 3, 256, "connections to the database, besides the one that listens"},
    {"LOCAL_DB_ACQUIRE_TIMEOUT_MS", INT(db_acquire_timeout_ms),
     "500", 1, 60000, "waiting for one of them, then 503, ms"},
    {"LOCAL_QUEUE_ITEMS_MAX", INT(queue_items_max),
     "20000", 1000, 1000000, "topup items waiting for a transaction, then 503"},
    {"LOCAL_WATCHERS_MAX", INT(watchers_max),
     "10000", 1, 1000000, "suspended GET /watch calls, then 503"},
    {"LOCAL_SUSPECT_MS", INT(suspect_ms),
     "10000", 100, 3600000, "silence after which a server's wishes are dropped, ms"},
    {"LOCAL_PRESUME_MS", INT(presume_ms),
     "60000", 100, 86400000, "silence after which a server's rests are presumed spent, ms"},
    {"LOCAL_LEARN_MS", INT(learn_ms),
     "6000", 100, 3600000, "in doubt what the database forgot: who has not spoken by then is gone, ms"},
    {"LOCAL_CLOSE_MS", INT(close_ms),
     "3600000", 0, 31622400000, "calendar time that a window's accounts stay open at most, ms"},
    {"LOCAL_RETENTION_MS", INT(retention_ms),
     "604800000", 0, 31622400000, "calendar time that closed windows are kept, ms"},
    {"LOCAL_AUDIT_MS", INT(audit_ms),
     "10000", 100, 86400000, "time between two audits for the metric, ms"},
};
/* clang-format on */

const struct config_table local_config_table = {
    .program = "local-svc",
    .what = "Holds this data centre's pools and cuts slices from them for volumecap servers.",
    .prefix = "LOCAL_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
