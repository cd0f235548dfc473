#pragma once

/* app: a running remote-svc: how it is put together and taken down, and what its parts share. */

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/metric.h"
#include "common/io/bus.h"
#include "common/io/httpd.h"
#include "common/io/leader.h"
#include "common/io/replicas.h"
#include "common/io/sign.h"
#include "services/remote-svc/config.h"
#include "services/remote-svc/envelope.h"
#include "services/remote-svc/follower.h"
#include "services/remote-svc/loop.h"
#include "services/remote-svc/peer.h"
#include "services/remote-svc/refusals.h"

struct consumer;

/* What belongs to one peer: its state and its threads. */
struct remote_link {
    struct peer peer;
    struct remote_app *app;
    struct follower definitions;
    struct resend resend;
    struct loop *follow, *remind;
};

struct remote_metrics {
#define X(member, kind, name, help) struct metric *member; /* by peer */
    PEER_METRICS(X)
#undef X
    struct metric *refused;      /* by reason */
    struct metric *without_peer; /* rows for data centres that are no peers */
};

/* Data centres that local-svc knows, and REMOTE_PEERS does not. */
struct without_peer {
    char dcs[REMOTE_PEERS_MAX][NAME_SIZE];
    size_t count;
};

struct remote_app {
    struct remote_config config;
    struct replicas locals, metas;
    struct metrics *registry;
    struct remote_metrics metrics;
    struct sign_keys *keys; /* NULL if there are no peers */
    struct leader *leader;  /* likewise */
    struct remote_link links[REMOTE_PEERS_MAX];
    size_t count;
    struct refusals *refusals;
    int64_t rows_since;               /* of the one thread that follows rows */
    bool is_following;                /* the same thread's: rows_since is known */
    struct without_peer without_peer; /* the same thread's */
    struct loop *follow_rows;
    struct consumer *consumer;
    struct httpd *httpd;
};

MUST_CHECK bool remote_app_start(const struct remote_config *config, const char *openapi,
                                 struct remote_app **ret, struct err *e);
struct remote_app *remote_app_stop(struct remote_app *app);
CLEANUP_DEFINE(remote_app, struct remote_app, remote_app_stop)
#define auto_remote_app CLEANUP(remote_app)

/* May this replica act?  `arg` is a struct remote_link; consumer.c has its own. */
bus_wanted remote_link_is_wanted;
bool remote_may_act(const struct remote_app *app);

/* The link to a data centre, or NULL. */
struct remote_link *remote_link_of(struct remote_app *app, const char *dc);

extern const struct httpd_route remote_routes[];
extern const size_t remote_routes_count;

/* `arg` is a struct remote_app. */
bool remote_handle_get_peers(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                             struct err *e);

/* publisher.c: what to say to a peer next; `arg` is a struct remote_link. */
bus_next publisher_next;

/* consumer.c: what the others say. */
MUST_CHECK bool consumer_start(struct remote_app *app, struct consumer **ret, struct err *e);
struct bus_counts consumer_bus(const struct consumer *c);
void consumer_tell_stop(struct consumer *c);
struct consumer *consumer_stop(struct consumer *c);
