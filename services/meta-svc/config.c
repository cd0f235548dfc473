#include "services/meta-svc/config.h"

#include "common/io/replicas.h"

/* clang-format off */
#define AT(member) offsetof(struct meta_config, member)
static const struct config_row rows[] = {
    {"META_ADDRESS",               CONFIG_TEXT,   AT(address),
     "127.0.0.1", 0, 0,         "numeric address to listen on"},
    {"META_PORT",                  CONFIG_INT,    AT(port),
     "8081",      0, 65535,     "port to listen on; 0 picks any"},
    {"META_THREADS",               CONFIG_INT,    AT(threads),
     "2",         1, 256,       "threads that answer requests"},
    {"META_CONNECTIONS_MAX",       CONFIG_INT,    AT(connections_max),
     "1000",      1, 100000,    "open connections at most"},
    {"META_REQUEST_TIMEOUT_MS",    CONFIG_INT,    AT(request_timeout_ms),
     "3000",      100, 600000,  "time for a client to send its request, ms"},
    {"META_LOG_LEVEL",             CONFIG_TEXT,   AT(log_level),
     "info",      0, 0,         "debug, info, warn or error"},
    {"META_DB",                    CONFIG_SECRET, AT(db),
     NULL,        0, 0,         "libpq conninfo of the data centre's database"},
    {"META_DB_CONNS_MAX",          CONFIG_INT,    AT(db_conns_max),
     "8",         1, 256,       "database connections at most"},
    {"META_DB_ACQUIRE_TIMEOUT_MS", CONFIG_INT,    AT(db_acquire_timeout_ms),
     "500",       1, 60000,     "wait for a database connection, then 503, ms"},
    {"META_INTERVAL_URL",          CONFIG_TEXT,   AT(interval_url),
     "http://127.0.0.1:8082", 0, 0, "where interval-svc is" REPLICAS_HELP},
    {"META_DC",                    CONFIG_TEXT,   AT(dc),
     "local",     0, 0,         "name of this data centre: the home of what is defined here"},
    {"META_WATCHERS_MAX",          CONFIG_INT,    AT(watchers_max),
     "16",        1, 1000,      "suspended GET /definitions calls, then 503"},
};
#undef AT
/* clang-format on */

const struct config_table meta_config_table = {
    .program = "meta-svc",
    .what = "Keeps the definitions of caps and tells interval-svc of each change.",
    .prefix = "META_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
