#include "common/io/httpd_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/prng.h"

/* A refused body up to this is read and dropped, so that the client sees the answer. */
#define DROP_MAX ((int64_t)1 << 20)

/* Odd, so that the sequence of ids has the full period. */
#define ID_STEP UINT64_C(0x9e3779b97f4a7c15)

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
        httpd_reaper_move(conn->slot, clk_now_ms() + h->config.request_timeout_ms);
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
    httpd_reaper_move(call->conn->slot, clk_now_ms() + HTTPD_IDLE_MS);
    buf_done(&call->body);
    buf_done(&call->reply.body);
    free(call->text);
    free(call);
    atomic_fetch_sub(&h->calls, 1);
}

/* ---- the head */

static enum MHD_Result filter_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                     size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    httpd_filter_header(cls, name, name_len, value ? value : "", value ? value_len : 0);
    return MHD_YES;
}

static enum httpd_refusal filter_head(struct httpd_call *call, const char *method,
                                      const char *version)
{
    httpd_filter_line(&call->filter, method, call->text, version);
    (void)MHD_get_connection_values_n(call->connection, MHD_HEADER_KIND, filter_header,
                                      &call->filter);
    return httpd_filter_end(&call->filter);
}

static void take_ids(struct httpd_call *call)
{
    const char *id = httpd_header(&call->req, "X-Request-Id");
    const char *trace = httpd_header(&call->req, "traceparent");

    if (id && httpd_request_id_is_valid(id)) {
        memcpy(call->request_id, id, strlen(id) + 1);
    } else {
        /* A splitmix64 state counts by a constant: threads share the sequence without a lock. */
        struct prng p = {.state = atomic_fetch_add(&call->httpd->id_state, ID_STEP)};
        (void)snprintf(call->request_id, sizeof(call->request_id), "%016llx",
                       (unsigned long long)prng_next(&p));
    }
    if (trace && httpd_traceparent_is_valid(trace))
        call->req.traceparent = trace;
}

static bool find_route(struct httpd_call *call, struct httpd_reply *reply, struct err *e)
{
    const struct httpd *h = call->httpd;
    struct httpd_route_match *m = &call->match;

    httpd_route_find(h->routes, h->routes_count, call->req.method, call->req.path, m);
    if (m->outcome == HTTPD_ROUTE_NO_PATH)
        return err_set(e, ERR_NOT_FOUND, "this service has no such path");
    if (m->outcome == HTTPD_ROUTE_NO_METHOD) {
        httpd_reply_header(reply, "Allow", "%s", m->allow);
        return err_set(e, ERR_METHOD, "this path answers %s", m->allow);
    }
    call->route = &h->routes[m->index];
    memcpy(call->req.params, m->params, sizeof(m->params));
    return true;
}

/* "application/json", with or without parameters. */
static bool is_json_type(const char *type)
{
    static const char json[] = "application/json";
    const size_t len = sizeof(json) - 1;

    if (!type || strncasecmp(type, json, len) != 0)
        return false;
    type += len + strspn(type + len, " \t");
    return *type == '\0' || *type == ';';
}

static bool body_is_announced(const struct httpd_call *call)
{
    return call->filter.chunked || call->filter.content_length > 0;
}

static bool too_large(const struct httpd_call *call, struct err *e)
{
    return err_set(e, ERR_TOO_LARGE, "the body is larger than %lld bytes",
                   (long long)call->httpd->config.body_max);
}

static bool check_body(const struct httpd_call *call, struct err *e)
{
    if (!call->route->has_body && body_is_announced(call))
        return err_set(e, ERR_INVALID, "this operation takes no body");
    if (!call->route->has_body)
        return true;
    if (!body_is_announced(call))
        return err_set(e, ERR_INVALID, "a body is required");
    if (call->filter.content_length > call->httpd->config.body_max)
        return too_large(call, e);
    if (!is_json_type(httpd_header(&call->req, "Content-Type")))
        return err_set(e, ERR_MEDIA_TYPE, "the body must be application/json");
    return true;
}

static bool decide_head(struct httpd_call *call, struct httpd_reply *reply, struct err *e)
{
    struct err query_error = {0};
    bool query_ok = httpd_target_parse(call->text, &call->target, &query_error);

    call->req.path = call->target.path;
    if (!find_route(call, reply, e))
        return false;
    if (!query_ok) {
        *e = query_error;
        return false;
    }
    return check_body(call, e);
}

/*
 * A client that waits for "100 Continue" has not sent its body; one that sends
 * more than we care to drop has to be cut off.
 */
static bool must_answer_at_once(const struct httpd_call *call)
{
    return call->filter.continue_expected || call->filter.content_length > DROP_MAX;
}

static enum MHD_Result refuse(struct httpd_call *call)
{
    const enum httpd_refusal refusal = call->filter.refusal;
    struct httpd_reply reply = {0};
    struct err e;

    call->close = true;
    call->req.path = call->text;
    metric_add(metric_at(call->httpd->metrics.refused, httpd_refusal_label(refusal), NULL, NULL),
               1);
    (void)err_set(&e, ERR_INVALID, "%s", httpd_refusal_detail(refusal));
    return httpd_answer(call, &reply, &e);
}

static enum MHD_Result begin(struct httpd_call *call, const char *method, const char *version)
{
    call->req.call = call;
    call->req.method = method;
    call->req.request_id = call->request_id;
    call->stage = HTTPD_BODY;
    take_ids(call);
    log_request_id_set(call->request_id);
    if (filter_head(call, method, version) != HTTPD_ACCEPTED)
        return refuse(call);
    call->failed = !decide_head(call, &call->reply, &call->err);
    if (!call->failed || !must_answer_at_once(call))
        return MHD_YES;
    call->close = true;
    return httpd_answer(call, &call->reply, &call->err);
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
    (void)too_large(call, &call->err);
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
    case HTTPD_HEAD: return begin(call, method, version);
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
