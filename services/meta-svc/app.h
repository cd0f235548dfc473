#pragma once

/* app: what the handlers of meta-svc share; made by main(), and only read afterwards. */

#include "common/base/metric.h"
#include "common/io/db.h"
#include "common/io/httpd.h"
#include "common/io/outbox.h"
#include "common/io/zones.h"
#include "services/meta-svc/watch.h"

struct meta_app {
    struct meta_home here;
    struct zones *zones;
    struct outbox_relay *relay;
    struct replicas *intervals;
    struct meta_watch *watch;
    struct metric *changes;  /* volumecap_definitions_changed_total{outcome} */
    struct metric *received; /* volumecap_definitions_received_total{outcome} */
};

extern const struct httpd_route meta_routes[];
extern const size_t meta_routes_count;

httpd_handler meta_handle_put_cap;
httpd_handler meta_handle_get_cap;
httpd_handler meta_handle_delete_cap;
httpd_handler meta_handle_list_caps;
httpd_handler meta_handle_list_definitions;
httpd_handler meta_handle_get_peer;
httpd_handler meta_handle_put_peer;

/* The largest body of a definition. */
#define META_BODY_MAX 16384
