#include "services/volumecap-server/config.h"

#include <stddef.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "common/io/replicas.h"

/* clang-format off */
#define INT(env, member, dflt, min, max, what)                                                      \
    {env, CONFIG_INT, offsetof(struct server_config, member), dflt, min, max, what}
#define TEXT(env, member, dflt, what)                                                               \
    {env, CONFIG_TEXT, offsetof(struct server_config, member), dflt, 0, 0, what}

static const struct config_row rows[] = {
    TEXT("SERVER_NAME",               name,            "", "this server's name in accounts; empty: the host's"),
    TEXT("SERVER_ADDRESS",            address,         "127.0.0.1", "numeric address to listen on"),
    INT("SERVER_PORT",                port,            "8085", 0, 65535, "port; 0: any"),
    INT("SERVER_THREADS",             threads,         "2", 1, 256, "threads that answer"),
    INT("SERVER_CONNECTIONS_MAX",     connections_max, "1000", 1, 100000, "connections at once"),
    INT("SERVER_REQUEST_TIMEOUT_MS",  request_timeout_ms, "3000", 100, 60000, "for a whole request to arrive"),
    TEXT("SERVER_LOG_LEVEL",          log_level,       "info", "debug, info, warn or error"),
    TEXT("SERVER_LOCAL_URL",          local_url,       "http://127.0.0.1:8083", "where local-svc is" REPLICAS_HELP),
    TEXT("SERVER_LEDGER",             ledger,          NULL, "path of the ledger file, on a disk of this host"),
    INT("SERVER_LEDGER_ENTRIES",      ledger_entries,  "65536", 16, 16777216, "caps x windows it has room for; 128 bytes each"),
    INT("SERVER_WAIT_MS",             wait_ms,         "100", 1, 5000, "how long a consume waits for its topup"),
    INT("SERVER_WAITING_MAX",         waiting_max,     "10000", 1, 1000000, "consumes that may wait at once; a tenth of them for unknown caps"),
    INT("SERVER_REPORT_MS",           report_ms,       "5000", 100, 30000, "how old unreported consumption may get"),
};
/* clang-format on */

const struct config_table server_config_table = {
    .program = "volumecap-server",
    .what = "Lets clients consume and refund units of volume caps, from slices that it holds.",
    .prefix = "SERVER_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

/* The host's name lives as long as the process, like the environment that the others are in. */
static const char *host_name(void)
{
    static char name[NAME_SIZE];

    if (gethostname(name, sizeof(name) - 1) != 0)
        return "";
    return name;
}

bool server_config_finish(struct server_config *config, struct err *e)
{
    if (config->name[0] == '\0')
        config->name = host_name();
    if (!name_is_valid(config->name))
        return err_set(e, ERR_INVALID, "SERVER_NAME: 1 to 64 of A-Z a-z 0-9 . _ -");
    return log_level_set_name(config->log_level, e);
}
