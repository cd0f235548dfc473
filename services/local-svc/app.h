#pragma once

/* app: what the handlers and workers of local-svc share.  main() owns all of it. */

#include <stdatomic.h>

#include "common/io/db.h"
#include "common/io/httpd.h"
#include "services/local-svc/committer.h"
#include "services/local-svc/config.h"
#include "services/local-svc/local_metrics.h"
#include "services/local-svc/peers.h"
#include "services/local-svc/store_learn.h"
#include "services/local-svc/watch.h"
#include "services/local-svc/witness.h"

struct local_app {
    struct local_config config;
    struct peers peers;
    struct local_metrics metrics;
    struct db *db;
    struct witness *witness;
    struct committer *committer;
    struct watch *watch;                 /* of windows, for servers */
    struct watch *rows;                  /* of rows, for who tells other data centres */
    atomic_int_least64_t active_servers; /* seen lately; at least 1 */
    struct learn_round learning;         /* the ticker's */
    struct learn_others others;          /* the ticker's */
    int64_t looked_ms; /* when this process last proved to be there; the ticker's */
    int64_t
        audited_ms; /* when the last audit succeeded, or else the first was tried; the auditor's */
};

extern const struct httpd_route local_routes[];
extern const size_t local_routes_count;

/* For httpd_query_only(), in operations without query parameters. */
extern const char *const local_no_query[];

httpd_handler handle_topup, handle_return, handle_put_interval, handle_watch, handle_get_pools,
    handle_get_pool, handle_audit, handle_get_rows, handle_post_rows, handle_get_learning,
    handle_end_learning;

/* What to do with an answered or failed job of the queue; see committer.h. */
committer_done topup_done;
