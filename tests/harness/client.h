#pragma once

/*
 * client: what an operator, a client or a test says to a service, and what it
 * hears.  One struct client belongs to one thread.
 *
 * If the environment names a file in VOLUMECAP_TRAFFIC, each exchange is
 * appended to it as one line of JSON, so that live traffic can be held against
 * the OpenAPI documents.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/num.h"
#include "common/io/httpc.h"
#include "common/io/js.h"

struct client;

/* `service` is the name of its document, "local-svc"; `port` on 127.0.0.1. */
struct client *client_new(const char *service, int port);
struct client *client_free(struct client *c);
CLEANUP_DEFINE(client, struct client, client_free)
#define auto_client CLEANUP(client)

struct call {
    const char *method;
    const char *path;
    const char *body;           /* NULL: none */
    const char *const *headers; /* "If-Match: *", NULL-terminated; NULL: none */
    int64_t timeout_ms;         /* 0: 40 s */
};

/*
 * True if any answer came.  It is the client's, until the next call.  `json`
 * (borrowed likewise) is NULL where the body is no JSON.
 */
struct answer {
    int status;
    const struct httpc_reply *reply;
    const cJSON *json;
};
MUST_CHECK bool client_call(struct client *c, const struct call *call, struct answer *ret,
                            struct err *e);

/* A call without frills whose answer's status is `expected`; otherwise an error that says all. */
MUST_CHECK bool client_expect(struct client *c, int expected, const char *method, const char *path,
                              const char *body, struct answer *ret, struct err *e);

/* meta-svc: PUT /caps/{id}, creating it or replacing whatever is there. */
MUST_CHECK bool client_put_cap(struct client *meta, const char *cap, const char *body,
                               struct err *e);

enum verdict {
    VERDICT_GRANTED,
    VERDICT_USED_UP,     /* 429: certain, until something is given back */
    VERDICT_UNREACHABLE, /* 503 */
    VERDICT_NOT_OPEN,    /* 409 */
    VERDICT_UNKNOWN,     /* 404 */
    VERDICT_NO_ANSWER,   /* the connection failed; the outcome is unknown */
    VERDICT_ODD,         /* any other status: a bug */
    VERDICTS
};
const char *verdict_name(enum verdict v);

struct consumed {
    enum verdict verdict;
    int64_t granted;
    int64_t remaining;
    int64_t starts_at_ms;  /* of the window, when granted or used up */
    int64_t retry_after_s; /* -1: it does not say */
};

/* volumecap-server: POST /consume for one cap; `mode` NULL is "all". */
struct consumed client_consume(struct client *server, const char *cap, int64_t amount,
                               const char *mode);

/* local-svc: one pool of GET /pools. */
struct pool_row {
    char cap[NAME_SIZE];
    int64_t starts_at_ms, ends_at_ms;
    int64_t requested, free;
    int64_t effective; /* 0 away from home */
    int64_t received, sent;
    int64_t granted, returned, consumed, refunded;
};
typedef void pool_row_fn(void *arg, const struct pool_row *row);

/* Calls `fn` for every window of every cap, page by page. */
MUST_CHECK bool client_pools(struct client *local, pool_row_fn *fn, void *arg, struct err *e);

/* local-svc: true if GET /audit finds nothing wrong; otherwise `e` quotes what it found. */
MUST_CHECK bool client_audit(struct client *local, struct err *e);
