#pragma once

/*
 * app: a running volumecap-server: what its handlers share, and how it is put
 * together and taken down.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/httpd.h"
#include "common/io/ledger.h"
#include "common/io/replicas.h"
#include "services/volumecap-server/attention.h"
#include "services/volumecap-server/config.h"
#include "services/volumecap-server/metrics.h"
#include "services/volumecap-server/spend.h"
#include "services/volumecap-server/topper.h"
#include "services/volumecap-server/upstream.h"
#include "services/volumecap-server/waiting.h"
#include "services/volumecap-server/watcher.h"
#include "services/volumecap-server/windows.h"

struct server_app {
    struct metrics *registry;
    struct server_metrics metrics;
    struct replicas locals;
    struct ledger *ledger;
    struct windows *windows;
    struct attention *attention;
    struct spender spender;
    struct upstream topup_upstream, watch_upstream;
    char process[UUID_SIZE];
    struct waiting *waiting;
    struct topper *topper;
    struct watcher *watcher;
    struct httpd *httpd;
};

/* `openapi`: JSON text.  `refused` is called (once, from another thread) when the pool does not
 * take this ledger for the one it knows: the process should end. */
MUST_CHECK bool server_app_start(const struct server_config *config, const char *openapi,
                                 void (*refused)(void *arg, const struct err *e),
                                 struct server_app **ret, struct err *e);

/* Drains: answers who is there, hands everything back as far as local-svc can be reached; within
 * 10 s. */
struct server_app *server_app_stop(struct server_app *app);
CLEANUP_DEFINE(server_app, struct server_app, server_app_stop)
#define auto_server_app CLEANUP(server_app)

extern const struct httpd_route server_routes[];
extern const size_t server_routes_count;

/* Handlers, and /readyz; `arg` is a struct server_app. */
bool server_handle_consume(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                           struct err *e);
bool server_handle_refund(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                          struct err *e);
bool server_handle_get_cap(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                           struct err *e);
bool server_ready(void *arg, struct buf *out);
