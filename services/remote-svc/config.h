#pragma once

/* config: everything an operator can set; nothing else reads the environment. */

#include <stddef.h>
#include <stdint.h>

#include "common/base/config.h"
#include "common/base/num.h"
#include "common/io/httpd.h"
#include "common/io/leader.h"

#define REMOTE_PEERS_MAX 31
#define REMOTE_URL_SIZE 512

struct remote_config {
    struct httpd_settings http;
    const char *log_level;
    const char *dc;
    const char *broker;
    const char *peers;
    const char *keys;
    const char *ca;
    const char *local_url, *meta_url;
    struct leader_settings leader;
    int64_t resend_ms, sync_ms;
    int64_t lost_ms;
    int64_t queue_rows_max;
};

extern const struct config_table remote_config_table;

/* One entry of REMOTE_PEERS. */
struct remote_peer_setting {
    char dc[NAME_SIZE];
    char url[REMOTE_URL_SIZE];
};

/* What the table cannot say; the peers come out in the order given. */
MUST_CHECK bool remote_config_check(const struct remote_config *config,
                                    struct remote_peer_setting ret[REMOTE_PEERS_MAX],
                                    size_t *ret_count, struct err *e);
