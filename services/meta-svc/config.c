#include "services/meta-svc/config.h"

#include "common/io/replicas.h"

/* clang-format off */
static const struct config_row rows[] = {
    CONFIG_TEXT("META_ADDRESS", struct meta_config, address,
                "127.0.0.1", "numeric address to listen on"),
    CONFIG_INT("META_PORT", struct meta_config, port,
               "8081", 0, 65535, "port to listen on; 0 picks any"),
    CONFIG_INT("META_THREADS", struct meta_config, threads,
               "2", 1, 256, "threads that answer requests"),
    CONFIG_INT("META_CONNECTIONS_MAX", struct meta_config, connections_max,
               "1000", 1, 100000, "open connections at most"),
    CONFIG_INT("META_REQUEST_TIMEOUT_MS", struct meta_config, request_timeout_ms,
               "3000", 100, 600000, "time for a client to send its request, ms"),
    CONFIG_LOG_LEVEL("META_LOG_LEVEL", struct meta_config, log_level),
    CONFIG_SECRET("META_DB", struct meta_config, db,
                  NULL, "libpq conninfo of the data centre's database"),
    CONFIG_INT("META_DB_CONNS_MAX", struct meta_config, db_conns_max,
               "8", 1, 256, "database connections at most"),
    CONFIG_INT("META_DB_ACQUIRE_TIMEOUT_MS", struct meta_config, db_acquire_timeout_ms,
               "500", 1, 60000, "wait for a database connection, then 503, ms"),
    CONFIG_TEXT("META_INTERVAL_URL", struct meta_config, interval_url,
                "http://127.0.0.1:8082", "where interval-svc is" REPLICAS_HELP),
    CONFIG_NAME("META_DC", struct meta_config, dc,
                "local", "name of this data centre: the home of what is defined here"),
    CONFIG_INT("META_WATCHERS_MAX", struct meta_config, watchers_max,
               "16", 1, 1000, "suspended GET /definitions calls, then 503"),
};
/* clang-format on */

const struct config_table meta_config_table = {
    .program = "meta-svc",
    .what = "Keeps the definitions of caps and tells interval-svc of each change.",
    .prefix = "META_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
