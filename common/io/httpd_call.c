#include "common/io/httpd_internal.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"

/* ---- birth and death */

static struct httpd_conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

/*
 * Called with the request line, before libmicrohttpd takes the target apart.
 * What it returns is the `void **` of all later calls; NULL (out of memory)
 * makes the first of them close the connection.
 */
void *httpd_call_new(void *httpd, const char *target, struct MHD_Connection *connection)
{
    struct httpd *h = httpd;
    struct httpd_conn *conn = conn_of(connection);
    struct httpd_call *call = conn ? calloc(1, sizeof(*call)) : NULL;

    if (!call)
        return NULL;
    call->text = strdup(target);
    if (!call->text) {
        free(call);
        return NULL;
    }
    call->httpd = h;
    call->connection = connection;
    call->conn = conn;
    call->body = BUF_INIT((size_t)h->config.body_max);
    if (conn->served)
        httpd_reaper_move(conn->slot, clk_now_ms() + h->config.settings.request_timeout_ms);
    conn->served = true;
    atomic_fetch_add(&h->calls, 1);
    return call;
}

void httpd_call_end(void *httpd, struct MHD_Connection *connection, void **context,
                    enum MHD_RequestTerminationCode how)
{
    struct httpd *h = httpd;
    struct httpd_call *call = TAKE(*context);

    (void)connection;
    (void)how;
    if (!call)
        return;
    httpd_reaper_move(call->conn->slot, clk_now_ms() + HTTPD_TRICKLE_MS);
    buf_done(&call->body);
    buf_done(&call->reply.body);
    free(call->text);
    free(call);
    atomic_fetch_sub(&h->calls, 1);
}

/* ---- the body */

static void collect(struct httpd_call *call, const char *data, size_t size)
{
    if (call->failed)
        return;
    buf_add(&call->body, data, size);
    if (!buf_failed(&call->body))
        return;
    call->failed = true;
    (void)httpd_too_large(call, &call->err);
    buf_done(&call->body);
}

/* ---- the handler */

static enum MHD_Result handle(struct httpd_call *call)
{
    const struct httpd *h = call->httpd;
    const struct httpd_route *route = call->route;
    struct httpd_reply reply = {0};
    struct err e = {0};
    void *arg = httpd_is_builtin(h, route) ? call->httpd : h->config.arg;

    call->req.body = buf_text(&call->body);
    call->req.body_len = call->body.len;
    bool ok = route->handler(arg, &call->req, &reply, &e);
    if (!call->deferred)
        return httpd_answer(call, &reply, ok ? NULL : &e);
    CHECK(ok);
    buf_done(&reply.body);
    return MHD_YES;
}

static enum MHD_Result finish(struct httpd_call *call)
{
    call->whole_ns = clk_now_ns();
    httpd_reaper_move(call->conn->slot, HTTPD_NO_DEADLINE);
    if (!call->failed && call->route->has_body && call->body.len == 0)
        call->failed = !err_set(&call->err, ERR_INVALID, "a body is required");
    if (call->failed)
        return httpd_answer(call, &call->reply, &call->err);
    return handle(call);
}

static enum MHD_Result step(struct httpd_call *call, const char *method, const char *version,
                            const char *upload, size_t *upload_size)
{
    switch (call->stage) {
    case HTTPD_HEAD: return httpd_begin(call, method, version);
    case HTTPD_BODY:
        if (*upload_size == 0)
            return finish(call);
        collect(call, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    case HTTPD_COMPLETED: return httpd_answer(call, &call->reply, call->failed ? &call->err : NULL);
    case HTTPD_ANSWERED: /* what follows an early answer is dropped */
        *upload_size = 0;
        return MHD_YES;
    case HTTPD_DEFERRED: /* a suspended connection is left alone */ break;
    }
    return MHD_NO;
}

enum MHD_Result httpd_call_step(void *httpd, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **context)
{
    struct httpd_call *call = *context;

    (void)httpd;
    (void)connection;
    (void)url; /* decoded by libmicrohttpd; ours is made of the target as it was sent */
    if (!call)
        return MHD_NO;
    log_request_id_set(call->request_id);
    enum MHD_Result result = step(call, method, version, upload, upload_size);
    log_request_id_set(NULL);
    return result;
}

/* ---- answering later */

/*
 * The connection is suspended here and now, on the worker's own thread.  The
 * completion may then come at any moment, also before the handler returns:
 * libmicrohttpd notes the resumption, and the same worker acts on it only
 * after it is back from the handler.
 */
struct httpd_call *httpd_defer(const struct httpd_request *req)
{
    struct httpd_call *call = req->call;

    CHECK(call->stage == HTTPD_BODY && !call->deferred);
    call->deferred = true;
    call->stage = HTTPD_DEFERRED;
    atomic_fetch_add(&call->httpd->completions, 1);
    MHD_suspend_connection(call->connection);
    return call;
}

void httpd_complete(struct httpd_call *call, struct httpd_reply *reply, const struct err *e)
{
    struct httpd *h = call->httpd;

    CHECK(call->stage == HTTPD_DEFERRED);
    if (reply) {
        call->reply = *reply;
        reply->body = (struct buf){0};
    }
    call->failed = e != NULL;
    if (e)
        call->err = *e;
    call->stage = HTTPD_COMPLETED;
    MHD_resume_connection(call->connection); /* the worker may have freed the call by now */
    atomic_fetch_sub(&h->completions, 1);
}

/* ---- what handlers ask */

const char *httpd_query(const struct httpd_request *req, const char *name)
{
    return httpd_target_query(&req->call->target, name);
}

bool httpd_query_bool(const struct httpd_request *req, const char *name, bool *ret, struct err *e)
{
    const char *text = httpd_query(req, name);

    *ret = text && strcmp(text, "true") == 0;
    return !text || *ret || strcmp(text, "false") == 0 ||
           err_set(e, ERR_INVALID, "%s: must be true or false", name);
}

static bool is_listed(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

bool httpd_query_only(const struct httpd_request *req, const char *const *names, struct err *e)
{
    const struct httpd_target *t = &req->call->target;

    for (size_t i = 0; i < t->query_count; i++)
        if (!is_listed(t->query[i].name, names))
            return err_set(e, ERR_INVALID, "unknown query parameter \"%.60s\"", t->query[i].name);
    return true;
}

const char *httpd_header(const struct httpd_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->call->connection, MHD_HEADER_KIND, name);
}
