#include "services/interval-svc/config.h"

#include "common/io/replicas.h"

/* clang-format off */
#define AT(member) offsetof(struct interval_config, member)
static const struct config_row rows[] = {
    {"INTERVAL_ADDRESS",               CONFIG_TEXT,   AT(address),
     "127.0.0.1", 0, 0,         "numeric address to listen on"},
    {"INTERVAL_PORT",                  CONFIG_INT,    AT(port),
     "8082",      0, 65535,     "port to listen on; 0 picks any"},
    {"INTERVAL_THREADS",               CONFIG_INT,    AT(threads),
     "2",         1, 256,       "threads that answer requests"},
    {"INTERVAL_CONNECTIONS_MAX",       CONFIG_INT,    AT(connections_max),
     "1000",      1, 100000,    "open connections at most"},
    {"INTERVAL_REQUEST_TIMEOUT_MS",    CONFIG_INT,    AT(request_timeout_ms),
     "3000",      100, 600000,  "time for a client to send its request, ms"},
    {"INTERVAL_LOG_LEVEL",             CONFIG_TEXT,   AT(log_level),
     "info",      0, 0,         "debug, info, warn or error"},
    {"INTERVAL_DB",                    CONFIG_SECRET, AT(db),
     NULL,        0, 0,         "libpq conninfo of the data centre's database"},
    {"INTERVAL_DB_CONNS_MAX",          CONFIG_INT,    AT(db_conns_max),
     "8",         1, 256,       "database connections at most"},
    {"INTERVAL_DB_ACQUIRE_TIMEOUT_MS", CONFIG_INT,    AT(db_acquire_timeout_ms),
     "500",       1, 60000,     "wait for a database connection, then 503, ms"},
    {"INTERVAL_LOCAL_URL",             CONFIG_TEXT,   AT(local_url),
     "http://127.0.0.1:8083", 0, 0, "where local-svc is" REPLICAS_HELP},
    {"INTERVAL_COORDINATOR_URL",       CONFIG_TEXT,   AT(coordinator_url),
     "",          0, 0,         "the coordinator beside this replica, http://127.0.0.1:8086; empty: none"},
    {"INTERVAL_ALONE",                 CONFIG_INT,    AT(alone),
     "0",         0, 1,         "1: the only replica, which acts without a coordinator; without either none acts"},
    {"INTERVAL_RETENTION_MS",          CONFIG_INT,    AT(retention_ms),
     "604800000", 0, 31622400000, "calendar time that windows are kept after their end, ms"},
};
#undef AT
/* clang-format on */

const struct config_table interval_config_table = {
    .program = "interval-svc",
    .what = "Cuts the windows of caps, current and next, and tells local-svc of each.",
    .prefix = "INTERVAL_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
