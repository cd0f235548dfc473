#include "services/remote-svc/config.h"

#include <stdio.h>
#include <string.h>

#include "common/io/bus.h"
#include "common/io/replicas.h"

#define INT(member) CONFIG_INT, offsetof(struct remote_config, member)
#define TEXT(member) CONFIG_TEXT, offsetof(struct remote_config, member)
#define SECRET(member) CONFIG_SECRET, offsetof(struct remote_config, member)

/* clang-format off */
static const struct config_row rows[] = {
    {"REMOTE_DC", TEXT(dc),
     "local", 0, 0, "name of this data centre"},
    {"REMOTE_ADDRESS", TEXT(address),
     "127.0.0.1", 0, 0, "numeric address to listen on"},
    {"REMOTE_PORT", INT(port),
     "8084", 0, 65535, "TCP port; 0 picks a free one"},
    {"REMOTE_THREADS", INT(threads),
     "1", 1, 64, "threads that serve HTTP"},
    {"REMOTE_CONNECTIONS_MAX", INT(connections_max),
     "100", 1, 100000, "open client connections"},
    {"REMOTE_REQUEST_TIMEOUT_MS", INT(request_timeout_ms),
     "3000", 10, 600000, "for a whole request to arrive, ms"},
    {"REMOTE_LOG_LEVEL", TEXT(log_level),
     "info", 0, 0, "debug, info, warn or error"},
    {"REMOTE_BROKER", SECRET(broker),
     "amqp://127.0.0.1", 0, 0, "this data centre's own broker, amqp[s]://user:password@host:port/vhost"},
    {"REMOTE_PEERS", SECRET(peers),
     "", 0, 0, "the other data centres' brokers: dc2=amqps://...,dc3=amqps://..."},
    {"REMOTE_KEYS", TEXT(keys),
     "", 0, 0, "file of keys, a line <dc> <key id> <hex> each; required if there are peers"},
    {"REMOTE_CA", TEXT(ca),
     "", 0, 0, "file of the authorities' certificates for amqps:// brokers, PEM"},
    {"REMOTE_LOCAL_URL", TEXT(local_url),
     "http://127.0.0.1:8083", 0, 0, "where local-svc is" REPLICAS_HELP},
    {"REMOTE_META_URL", TEXT(meta_url),
     "http://127.0.0.1:8081", 0, 0, "where meta-svc is" REPLICAS_HELP},
    {"REMOTE_COORDINATOR_URL", TEXT(coordinator_url),
     "", 0, 0, "the coordinator beside this replica, http://127.0.0.1:8086; empty: none"},
    {"REMOTE_ALONE", INT(alone),
     "0", 0, 1, "1: the only replica, which acts without a coordinator; with peers one of the two is needed"},
    {"REMOTE_RESEND_MS", INT(resend_ms),
     "1000", 10, 600000, "what is in transit is told again after this, backing off to ten times, ms"},
    {"REMOTE_SYNC_MS", INT(sync_ms),
     "30000", 100, 3600000, "time between two rounds, which tell what has changed, and now and then everything, ms"},
    {"REMOTE_LOST_MS", INT(lost_ms),
     "5000", 100, 600000, "silence after which a data centre counts as lost, ms"},
    {"REMOTE_QUEUE_ROWS_MAX", INT(queue_rows_max),
     "5000", 100, 1000000, "rows waiting for one data centre; more are told later"},
};
/* clang-format on */

const struct config_table remote_config_table = {
    .program = "remote-svc",
    .what = "Trades units and definitions with the other data centres.",
    .prefix = "REMOTE_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

/* The text of an entry may have a password in it: messages only count. */
static bool parse_peer(const struct remote_config *config, const char *text, size_t len,
                       size_t index, struct remote_peer_setting *ret, struct err *e)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals ? (size_t)(equals - text) : 0;
    size_t url_len = equals ? len - name_len - 1 : 0;

    if (!equals || name_len >= NAME_SIZE || url_len >= REMOTE_URL_SIZE)
        return err_set(e, ERR_INVALID, "REMOTE_PEERS: entry %zu must be <dc>=<amqp URL>", index);
    (void)snprintf(ret->dc, sizeof(ret->dc), "%.*s", (int)name_len, text);
    (void)snprintf(ret->url, sizeof(ret->url), "%.*s", (int)url_len, equals + 1);
    if (!name_is_valid(ret->dc) || strcmp(ret->dc, config->dc) == 0)
        return err_set(e, ERR_INVALID, "REMOTE_PEERS: entry %zu: not another data centre", index);
    return bus_url_check(ret->url, config->ca, e) || err_while(e, "REMOTE_PEERS: entry %zu", index);
}

static bool is_among(const struct remote_peer_setting *peers, size_t count, const char *dc)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(peers[i].dc, dc) == 0)
            return true;
    return false;
}

static bool parse_peers(const struct remote_config *config, struct remote_peer_setting *ret,
                        size_t *ret_count, struct err *e)
{
    const char *at = config->peers;
    size_t count = 0;

    while (*at != '\0') {
        size_t len = strcspn(at, ",");
        if (count == REMOTE_PEERS_MAX)
            return err_set(e, ERR_INVALID, "REMOTE_PEERS: more than %d", REMOTE_PEERS_MAX);
        if (!parse_peer(config, at, len, count + 1, &ret[count], e))
            return false;
        if (is_among(ret, count, ret[count].dc))
            return err_set(e, ERR_INVALID, "REMOTE_PEERS: %s is there twice", ret[count].dc);
        count++;
        at += len + (at[len] == ',' ? 1 : 0);
    }
    *ret_count = count;
    return true;
}

bool remote_config_check(const struct remote_config *config,
                         struct remote_peer_setting ret[REMOTE_PEERS_MAX], size_t *ret_count,
                         struct err *e)
{
    if (!name_is_valid(config->dc))
        return err_set(e, ERR_INVALID, "REMOTE_DC: 1 to 64 of A-Z a-z 0-9 . _ -");
    if (!bus_url_check(config->broker, config->ca, e))
        return err_while(e, "REMOTE_BROKER");
    return parse_peers(config, ret, ret_count, e);
}
