#include "common/io/httpd_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/httpd_problem.h"

#define RETRY_AFTER_DEFAULT "1"

void httpd_reply_header(struct httpd_reply *reply, const char *name, const char *fmt, ...)
{
    CHECK(reply->headers_count < HTTPD_HEADERS_MAX);
    struct httpd_header *header = &reply->headers[reply->headers_count++];
    va_list args;

    header->name = name;
    va_start(args, fmt);
    int len = vsnprintf(header->value, sizeof(header->value), fmt, args);
    va_end(args);
    CHECK(len >= 0 && (size_t)len < sizeof(header->value));
}

static bool has_header(const struct httpd_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->headers_count; i++)
        if (strcasecmp(reply->headers[i].name, name) == 0)
            return true;
    return false;
}

static bool status_has_body(int status)
{
    return status != 204 && status != 304;
}

/* ---- the reply becomes final */

static void use_problem(struct httpd_call *call, struct httpd_reply *reply, const struct err *e)
{
    buf_done(&reply->body);
    reply->body = BUF_INIT(0);
    reply->status = err_http_status(e->kind);
    reply->content_type = HTTPD_PROBLEM_TYPE;
    httpd_problem_write(&reply->body, e, call->request_id);
}

static void use_defaults(const struct httpd_call *call, struct httpd_reply *reply)
{
    if (reply->status == 0)
        reply->status = call->route->status;
    if (!reply->content_type)
        reply->content_type = "application/json";
    if (!status_has_body(reply->status))
        buf_done(&reply->body);
}

/* ---- to libmicrohttpd */

static void add_headers(const struct httpd_call *call, const struct httpd_reply *reply,
                        struct MHD_Response *response)
{
    (void)MHD_add_response_header(response, "X-Request-Id", call->request_id);
    if (reply->body.len > 0)
        (void)MHD_add_response_header(response, "Content-Type", reply->content_type);
    if (reply->status == 503 && !has_header(reply, "Retry-After"))
        (void)MHD_add_response_header(response, "Retry-After", RETRY_AFTER_DEFAULT);
    if (call->close || atomic_load(&call->httpd->draining))
        (void)MHD_add_response_header(response, "Connection", "close");
    for (size_t i = 0; i < reply->headers_count; i++)
        (void)MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
}

static enum MHD_Result queue(struct httpd_call *call, struct httpd_reply *reply)
{
    static char nothing[] = "";
    const bool empty = reply->body.len == 0;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->body.len, empty ? nothing : reply->body.data,
                                        empty ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);

    if (!response) {
        buf_done(&reply->body);
        return MHD_NO;
    }
    add_headers(call, reply, response);
    if (empty)
        buf_done(&reply->body);
    reply->body = (struct buf){0}; /* the response owns it now */
    enum MHD_Result queued =
        MHD_queue_response(call->connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* ---- the account of it */

static void count(const struct httpd_call *call, int status, int64_t took_ns)
{
    const char *operation = call->route ? call->route->operation_id : "none";
    char text[12];

    (void)snprintf(text, sizeof(text), "%d", status);
    metric_add(metric_at(call->httpd->metrics.requests, operation, text, NULL), 1);
    metric_observe(metric_at(call->httpd->metrics.seconds, operation, text, NULL), took_ns);
}

/*
 * A refusal for now is an everyday answer, of which a flood may come while
 * something is away: a line for each would fill the disk.  They are counted.
 */
static enum log_level level_of(int status)
{
    return status == 500 ? LOG_WARN : LOG_DEBUG;
}

static void log_call(const struct httpd_call *call, int status, int64_t took_ns,
                     const struct err *e)
{
    log_event(level_of(status), "http.request", log_str("method", call->req.method),
              log_str("path", call->req.path),
              log_str("operation", call->route ? call->route->operation_id : "none"),
              log_i64("status", status), log_i64("us", took_ns / 1000),
              log_str("error", e ? e->msg : ""));
}

enum MHD_Result httpd_answer(struct httpd_call *call, struct httpd_reply *reply,
                             const struct err *e)
{
    struct err own = {0};

    if (!e && buf_failed(&reply->body)) {
        (void)err_set(&own, ERR_INTERNAL, "the answer does not fit into its buffer");
        e = &own;
    }
    if (e)
        use_problem(call, reply, e);
    else
        use_defaults(call, reply);
    call->stage = HTTPD_ANSWERED;
    httpd_reaper_move(call->conn->slot, clk_now_ms() + HTTPD_TRICKLE_MS);
    enum MHD_Result queued = queue(call, reply);
    int64_t took_ns = call->whole_ns ? clk_now_ns() - call->whole_ns : 0;
    count(call, reply->status, took_ns);
    log_call(call, reply->status, took_ns, e);
    return queued;
}
