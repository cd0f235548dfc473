#pragma once

/*
 * httpd: the HTTP server of every service, on libmicrohttpd.
 *
 * It filters each request before a handler sees it (request smuggling, odd
 * escapes, methods and sizes; see httpd_filter.h), cuts off senders that are
 * slower than the settings allow, finds the route, collects the body up to a
 * maximum, calls the handler, and counts and logs the outcome.  Errors leave
 * as application/problem+json (RFC 9457).
 *
 * Every service has, besides its own routes, /livez /readyz /metrics
 * /openapi.json.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/config.h"
#include "common/base/err.h"
#include "common/base/metric.h"

struct httpd;
struct httpd_call; /* one request in flight, deferred or not */

#define HTTPD_PARAMS_MAX 2
#define HTTPD_PARAM_SIZE 129
#define HTTPD_HEADERS_MAX 8

struct httpd_request {
    const char *method;
    const char *path;                                /* decoded */
    char params[HTTPD_PARAMS_MAX][HTTPD_PARAM_SIZE]; /* values of {x} in the template, decoded */
    const char *body;                                /* NUL-terminated; "" if none */
    size_t body_len;
    const char *request_id;  /* from X-Request-Id, or made here */
    const char *traceparent; /* as received if well-formed, or NULL */
    struct httpd_call *call;
};

struct httpd_header {
    const char *name; /* borrowed, static */
    char value[160];
};

/* Filled by the handler; status 0 stands for the route's own success status. */
struct httpd_reply {
    int status;
    struct buf body;          /* empty: no body; freed by httpd */
    const char *content_type; /* NULL: application/json */
    struct httpd_header headers[HTTPD_HEADERS_MAX];
    size_t headers_count;
};

/*
 * Answers a request.  False: `e` becomes the problem document; headers already
 * set (Retry-After, ETag, RateLimit) are kept.  The handler may run on several
 * threads at once.  `arg` is httpd_config.arg.
 */
typedef bool httpd_handler(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                           struct err *e);

struct httpd_route {
    const char *method;       /* "ANY": every method */
    const char *path;         /* "/pools/{cap}"; braces only as whole segments; first fit wins */
    const char *operation_id; /* as in the OpenAPI document; the metric label */
    int status;               /* of success */
    httpd_handler *handler;
    bool has_body; /* a body is required, application/json; otherwise refused */
};

/* Appends, for /readyz?verbose, lines "name: ok|why not" and says whether the service is ready. */
typedef bool httpd_ready(void *arg, struct buf *out);

/* What an operator sets. */
struct httpd_settings {
    const char *address; /* numeric, "127.0.0.1" or "0.0.0.0" */
    int64_t port;        /* 0: any */
    int64_t threads;     /* workers; each handles many connections */
    int64_t connections_max;
    int64_t request_timeout_ms; /* from connect, or a later request's first line, to all of it */
};

/* Their rows: HTTPD_ROWS("LOCAL_", struct local_config, http, "8083", "2", "12000") */
/* clang-format off */
#define HTTPD_ROWS(prefix, type, member, port_, threads_, connections)                             \
    CONFIG_TEXT(prefix "ADDRESS", type, member.address,                                            \
                "127.0.0.1", "numeric address to listen on"),                                      \
    CONFIG_INT(prefix "PORT", type, member.port,                                                   \
               port_, 0, 65535, "port to listen on; 0 picks any"),                                 \
    CONFIG_INT(prefix "THREADS", type, member.threads,                                             \
               threads_, 1, 256, "threads that answer requests"),                                  \
    CONFIG_INT(prefix "CONNECTIONS_MAX", type, member.connections_max,                             \
               connections, 1, 1000000, "open connections at most"),                               \
    CONFIG_INT(prefix "REQUEST_TIMEOUT_MS", type, member.request_timeout_ms,                       \
               "3000", 10, 600000, "time for a client to send its request, ms")
/* clang-format on */

struct httpd_config {
    struct httpd_settings settings;
    int64_t body_max; /* bytes */
    const struct httpd_route *routes;
    size_t routes_count;
    const char *openapi; /* JSON text for /openapi.json */
    httpd_ready *ready;
    void *arg;
    struct metrics *metrics; /* httpd adds its own, and serves all of them */
};

MUST_CHECK bool httpd_start(const struct httpd_config *config, struct httpd **ret, struct err *e);

/* From now on /readyz is 503 and connections are closed after their answer. */
void httpd_drain(struct httpd *h);

/* All deferred calls must have been completed before. */
struct httpd *httpd_stop(struct httpd *h);
CLEANUP_DEFINE(httpd, struct httpd, httpd_stop)
#define auto_httpd CLEANUP(httpd)

int64_t httpd_port(const struct httpd *h);

/* The value of a query parameter (decoded), or NULL; duplicates have been refused. */
const char *httpd_query(const struct httpd_request *req, const char *name);

/* A query parameter that is true or false; absent, false. */
MUST_CHECK bool httpd_query_bool(const struct httpd_request *req, const char *name, bool *ret,
                                 struct err *e);

/* Refuses any query parameter that is not in `names` (NULL-terminated). */
MUST_CHECK bool httpd_query_only(const struct httpd_request *req, const char *const *names,
                                 struct err *e);

/* The value of a request header, or NULL. */
const char *httpd_header(const struct httpd_request *req, const char *name);

void httpd_reply_header(struct httpd_reply *reply, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Answers later: the handler calls httpd_defer(), keeps the call, returns
 * true, and any thread completes it exactly once, with a reply (`e` NULL) or
 * an error (`reply` may still carry headers; its body is ignored).
 * Completing moves the reply's body.  The deadline is the service's to keep:
 * a deferred call does not time out and the client's leaving is not seen.
 */
struct httpd_call *httpd_defer(const struct httpd_request *req);
void httpd_complete(struct httpd_call *call, struct httpd_reply *reply, const struct err *e);
