#pragma once

/* fetch: one GET of local-svc or meta-svc whose answer is JSON. */

#include <stdint.h>

#include "common/io/httpc.h"
#include "services/remote-svc/span.h"

/* The answer is in `reply` and `ret` points into it. */
MUST_CHECK bool fetch(struct httpc *http, struct replicas *of, const char *path, int64_t timeout_ms,
                      struct httpc_reply *reply, struct span *ret, struct err *e);

/* Sends a body, and waits so long for the answer; otherwise the same. */
#define FETCH_WITH_MS 3000
MUST_CHECK bool fetch_with(struct httpc *http, const char *method, struct replicas *of,
                           const char *path, const struct buf *body, struct httpc_reply *reply,
                           struct span *ret, struct err *e);

void fetch_done(struct httpc_reply *reply);
#define auto_reply __attribute__((cleanup(fetch_done)))
