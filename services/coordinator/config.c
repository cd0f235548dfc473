#include "services/coordinator/config.h"

#include <stdio.h>
#include <unistd.h>

/* clang-format off */
#define AT(member) offsetof(struct coordinator_config, member)
static const struct config_row rows[] = {
    {"COORDINATOR_ADDRESS",            CONFIG_TEXT,   AT(address),
     "127.0.0.1", 0, 0,         "numeric address to listen on"},
    {"COORDINATOR_PORT",               CONFIG_INT,    AT(port),
     "8086",      0, 65535,     "port to listen on; 0 picks any"},
    {"COORDINATOR_THREADS",            CONFIG_INT,    AT(threads),
     "2",         1, 64,        "threads that answer requests"},
    {"COORDINATOR_CONNECTIONS_MAX",    CONFIG_INT,    AT(connections_max),
     "100",       1, 100000,    "open connections at most"},
    {"COORDINATOR_REQUEST_TIMEOUT_MS", CONFIG_INT,    AT(request_timeout_ms),
     "3000",      100, 600000,  "time for a client to send its request, ms"},
    {"COORDINATOR_LOG_LEVEL",          CONFIG_TEXT,   AT(log_level),
     "info",      0, 0,         "debug, info, warn or error"},
    {"COORDINATOR_DB",                 CONFIG_SECRET, AT(db),
     NULL,        0, 0,         "libpq conninfo of the data centre's database; directly, not through a pooler"},
    {"COORDINATOR_ROLE",               CONFIG_TEXT,   AT(role),
     NULL,        0, 0,         "what there is one primary of, \"interval-svc\""},
    {"COORDINATOR_NAME",               CONFIG_TEXT,   AT(name),
     "",          0, 0,         "this replica's name; empty: the host's"},
    {"COORDINATOR_REST_MS",            CONFIG_INT,    AT(rest_ms),
     "3000",      0, 600000,    "after stepping down others go first for so long, unless one has won, ms"},
    {"COORDINATOR_SERVICE_SILENT_MS",  CONFIG_INT,    AT(service_silent_ms),
     "2000",      0, 600000,    "not asked by its service for so long it gives up, and does not compete, ms; 0: never"},
    {"COORDINATOR_STANDBY_MISSING_MS", CONFIG_INT,    AT(standby_missing_ms),
     "10000",     1000, 86400000, "without a standby for so long the primary complains, ms"},
    {"COORDINATOR_START_STANDBY",      CONFIG_TEXT,   AT(start_standby),
     "",          0, 0,         "shell command that starts a standby then, and returns within 30 s; empty: none"},
};
#undef AT
/* clang-format on */

const struct config_table coordinator_config_table = {
    .program = "coordinator",
    .what = "Decides which replica of a service acts, by a lock in the database; one beside each.",
    .prefix = "COORDINATOR_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

/* A host's name may be longer than ours; the beginning will do. */
static bool host_name(char ret[NAME_SIZE], struct err *e)
{
    char host[256] = "";

    if (gethostname(host, sizeof(host) - 1) != 0)
        return err_set(e, ERR_INVALID, "COORDINATOR_NAME: the host has no name");
    (void)snprintf(ret, NAME_SIZE, "%.*s", NAME_SIZE - 1, host);
    return true;
}

bool coordinator_config_check(const struct coordinator_config *config, char ret_name[NAME_SIZE],
                              struct err *e)
{
    if (!name_is_valid(config->role))
        return err_set(e, ERR_INVALID, "COORDINATOR_ROLE must be 1 to 64 of A-Z a-z 0-9 . _ -");
    if (config->name[0] == '\0' && !host_name(ret_name, e))
        return false;
    if (config->name[0] != '\0')
        (void)snprintf(ret_name, NAME_SIZE, "%.*s", NAME_SIZE - 1, config->name);
    if (!name_is_valid(config->name[0] == '\0' ? ret_name : config->name))
        return err_set(e, ERR_INVALID, "COORDINATOR_NAME must be 1 to 64 of A-Z a-z 0-9 . _ -");
    return true;
}
