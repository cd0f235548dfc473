#pragma once

/*
 * httpd_internal: what the files of httpd share; nobody else includes it.
 *
 *   httpd.c          start, stop, connections
 *   httpd_call.c     a request's life: birth, body, handler, completion, death
 *   httpd_head.c     what is decided by its head: refusals, ids, route, kind of body
 *   httpd_answer.c   the answer: headers, problem documents, metrics, the log line
 *   httpd_builtin.c  /livez /readyz /metrics /openapi.json
 */

#include <microhttpd.h>
#include <stdatomic.h>

#include "common/io/httpd.h"
#include "common/io/httpd_filter.h"
#include "common/io/httpd_ids.h"
#include "common/io/httpd_reaper.h"
#include "common/io/httpd_route.h"
#include "common/io/httpd_target.h"

#define HTTPD_BUILTINS 4

/*
 * Without a byte, libmicrohttpd closes a connection after the first; the second
 * is the reaper's, for those who trickle bytes between requests or out of an answer.
 */
#define HTTPD_IDLE_MS 60000
#define HTTPD_TRICKLE_MS 65000

struct httpd_metrics {
    struct metric *requests;
    struct metric *seconds;
    struct metric *connections;
    struct metric *refused;
    struct metric *reaped;
};

struct httpd {
    struct httpd_config config;
    struct httpd_route *routes; /* the built-in ones, then the service's */
    size_t routes_count;
    int listen_fd;
    int64_t port;
    struct MHD_Daemon *daemon;
    struct httpd_reaper *reaper;
    struct httpd_metrics metrics;
    atomic_bool draining;
    _Atomic uint64_t id_state;   /* request ids made here: a splitmix64 sequence */
    _Atomic int64_t calls;       /* begun and not yet freed */
    _Atomic int64_t completions; /* deferred and not yet out of httpd_complete() */
};

/* A connection; belongs to the one worker thread of libmicrohttpd that serves it. */
struct httpd_conn {
    struct httpd_reaper_slot *slot;
    bool
        served; /* has had a request: from the next on, the deadline counts from its request line */
};

enum httpd_stage {
    HTTPD_HEAD,      /* the request line has come */
    HTTPD_BODY,      /* the head is decided; the body is collected, or dropped if `failed` */
    HTTPD_DEFERRED,  /* suspended; belongs to whoever completes it */
    HTTPD_COMPLETED, /* `reply` or `err` is the answer */
    HTTPD_ANSWERED,
};

struct httpd_call {
    struct httpd *httpd;
    struct MHD_Connection *connection;
    struct httpd_conn *conn;
    enum httpd_stage stage;
    bool deferred;                   /* the worker's own note: `stage` is already the completer's */
    bool close;                      /* the connection is not to be used again */
    const struct httpd_route *route; /* NULL if none fits */
    int64_t whole_ns;                /* when the request was whole */
    char *text;                      /* the target as sent, later decoded in place */
    struct httpd_target target;
    struct httpd_filter filter;
    struct httpd_request req;
    char request_id[HTTPD_REQUEST_ID_SIZE];
    struct buf body;
    bool failed;
    struct err err;           /* if failed */
    struct httpd_reply reply; /* of a deferred call */
};

/* ---- httpd_call.c */

void *httpd_call_new(void *httpd, const char *target, struct MHD_Connection *connection);
enum MHD_Result httpd_call_step(void *httpd, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **call);
void httpd_call_end(void *httpd, struct MHD_Connection *connection, void **call,
                    enum MHD_RequestTerminationCode how);

/* ---- httpd_head.c */

/* The head has come: answers at once, or goes on with the body, which a failed call drops. */
enum MHD_Result httpd_begin(struct httpd_call *call, const char *method, const char *version);

bool httpd_too_large(const struct httpd_call *call, struct err *e); /* always false */

/* ---- httpd_answer.c */

/* Queues the answer; takes the reply's body.  With `e` the answer is a problem document. */
enum MHD_Result httpd_answer(struct httpd_call *call, struct httpd_reply *reply,
                             const struct err *e);

/* ---- httpd_builtin.c */

extern const struct httpd_route httpd_builtins[HTTPD_BUILTINS];

/* The handlers of those take the struct httpd, all others config.arg. */
static inline bool httpd_is_builtin(const struct httpd *h, const struct httpd_route *route)
{
    return route < h->routes + HTTPD_BUILTINS;
}
