#pragma once

/*
 * httpc: the HTTP client of services that call services, on libcurl.
 *
 * One struct httpc belongs to one thread; it keeps its connections alive.
 * No redirects, no proxies, bounded replies, both timeouts set.  The request
 * id of the thread (log.h) travels as X-Request-Id.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/replicas.h"

struct httpc;

struct httpc_request {
    const char *method;
    struct replicas *to; /* whom to ask; NULL: the url says it all */
    const char *url;     /* a path and what follows it if `to` is set; otherwise http:// only */
    const char *body;    /* NULL: none */
    size_t body_len;
    const char *const *headers; /* "Name: value", NULL-terminated; NULL: none */
    int64_t timeout_ms;         /* for the whole call; connecting gets at most 2 s of it */
};

struct httpc_reply {
    int status;
    struct buf body; /* at most reply_max bytes */
    char etag[80];
    char content_type[80];
    int64_t retry_after_s; /* -1: none */
};

void httpc_global_init(void); /* once, before any thread */

MUST_CHECK bool httpc_new(int64_t reply_max, struct httpc **ret, struct err *e);
struct httpc *httpc_free(struct httpc *c);
CLEANUP_DEFINE(httpc, struct httpc, httpc_free)
#define auto_httpc CLEANUP(httpc)

/*
 * True if any HTTP answer came, whatever its status.  `ret` must be zeroed or
 * from an earlier call (its buffer is reused); buf_done(&ret->body) frees it.
 * ERR_UNAVAILABLE: surely not sent (no connection); ERR_TIMEOUT: the outcome is unknown.
 *
 * Of several replicas, one that could not be connected to is passed over: the next is
 * asked, each at most once, in what is left of the time.  After any other failure, and
 * an answer of 5xx, the next call begins with another one.
 */
MUST_CHECK bool httpc_call(struct httpc *c, const struct httpc_request *req,
                           struct httpc_reply *ret, struct err *e);

/*
 * The answer's status as an error of ours: false unless 2xx, with the
 * problem document's detail if there is one.
 */
MUST_CHECK bool httpc_expect_success(const struct httpc_reply *reply, struct err *e);

/* Makes a blocked httpc_call of another thread return soon, and all later ones fail. */
void httpc_cancel(struct httpc *c);
