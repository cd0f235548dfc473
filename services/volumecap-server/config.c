#include "services/volumecap-server/config.h"

#include "common/io/replicas.h"

/* clang-format off */
static const struct config_row rows[] = {
    HTTPD_ROWS("SERVER_", struct server_config, http, "8085", "2", "1000"),
    CONFIG_LOG_LEVEL("SERVER_LOG_LEVEL", struct server_config, log_level),
    CONFIG_HOST_NAME("SERVER_NAME", struct server_config, name, "this server's name in accounts"),
    CONFIG_TEXT("SERVER_LOCAL_URL", struct server_config, local_url,
                "http://127.0.0.1:8083", "where local-svc is" REPLICAS_HELP),
    CONFIG_TEXT("SERVER_LEDGER", struct server_config, ledger,
                NULL, "path of the ledger file, on a disk of this host"),
    CONFIG_INT("SERVER_LEDGER_ENTRIES", struct server_config, ledger_entries,
               "65536", 16, 16777216, "caps x windows it has room for; 128 bytes each"),
    CONFIG_INT("SERVER_WAIT_MS", struct server_config, wait_ms,
               "100", 1, 5000, "how long a consume waits for its topup, ms"),
    CONFIG_INT("SERVER_WAITING_MAX", struct server_config, waiting_max,
               "10000", 1, 1000000, "consumes that may wait at once; a tenth of them for unknown caps"),
    CONFIG_INT("SERVER_REPORT_MS", struct server_config, report_ms,
               "5000", 100, 30000, "how old unreported consumption may get, ms"),
    CONFIG_INT("SERVER_REMEMBER_MS", struct server_config, remember_ms,
               "604800000", 60000, 31622400000, "how long windows that closed early are remembered, ms; restore no older backup"),
};
/* clang-format on */

const struct config_table server_config_table = {
    .program = "volumecap-server",
    .what = "Lets clients consume and refund units of volume caps, from slices that it holds.",
    .prefix = "SERVER_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
