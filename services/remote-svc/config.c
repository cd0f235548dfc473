#include "services/remote-svc/config.h"

#include <stdio.h>
#include <string.h>

#include "common/io/bus.h"
#include "common/io/replicas.h"

/* clang-format off */
static const struct config_row rows[] = {
    HTTPD_ROWS("REMOTE_", struct remote_config, http, "8084", "1", "100"),
    CONFIG_LOG_LEVEL("REMOTE_LOG_LEVEL", struct remote_config, log_level),
    CONFIG_NAME("REMOTE_DC", struct remote_config, dc,
                "local", "name of this data centre"),
    CONFIG_SECRET("REMOTE_BROKER", struct remote_config, broker,
                  "amqp://127.0.0.1", "this data centre's own broker, amqp[s]://user:password@host:port/vhost"),
    CONFIG_SECRET("REMOTE_PEERS", struct remote_config, peers,
                  "", "the other data centres' brokers: dc2=amqps://...,dc3=amqps://..."),
    CONFIG_TEXT("REMOTE_KEYS", struct remote_config, keys,
                "", "file of keys, a line <dc> <key id> <hex> each; required if there are peers"),
    CONFIG_TEXT("REMOTE_CA", struct remote_config, ca,
                "", "file of the authorities' certificates for amqps:// brokers, PEM"),
    CONFIG_TEXT("REMOTE_LOCAL_URL", struct remote_config, local_url,
                "http://127.0.0.1:8083", "where local-svc is" REPLICAS_HELP),
    CONFIG_TEXT("REMOTE_META_URL", struct remote_config, meta_url,
                "http://127.0.0.1:8081", "where meta-svc is" REPLICAS_HELP),
    LEADER_ROWS("REMOTE_", struct remote_config, leader),
    CONFIG_INT("REMOTE_RESEND_MS", struct remote_config, resend_ms,
               "1000", 10, 600000, "what is in transit is told again after this, backing off to ten times, ms"),
    CONFIG_INT("REMOTE_SYNC_MS", struct remote_config, sync_ms,
               "30000", 100, 3600000, "time between two rounds, which tell what has changed, and now and then everything, ms"),
    CONFIG_INT("REMOTE_LOST_MS", struct remote_config, lost_ms,
               "5000", 100, 600000, "silence after which a data centre counts as lost, ms"),
    CONFIG_INT("REMOTE_QUEUE_ROWS_MAX", struct remote_config, queue_rows_max,
               "5000", 100, 1000000, "rows waiting for one data centre; more are told later"),
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
    if (!bus_url_check(config->broker, config->ca, e))
        return err_while(e, "REMOTE_BROKER");
    return parse_peers(config, ret, ret_count, e);
}
