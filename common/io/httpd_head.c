#include "common/io/httpd_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/log.h"
#include "common/base/prng.h"

/* A refused body that is larger than allowed by no more than this is read and dropped, so that the
 * client sees the answer. */
#define DROP_BEYOND ((int64_t)1 << 20)

/* Odd, so that the sequence of ids has the full period. */
#define ID_STEP UINT64_C(0x9e3779b97f4a7c15)

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
    struct httpd_route_match m;

    httpd_route_find(h->routes, h->routes_count, call->req.method, call->req.path, &m);
    if (m.outcome == HTTPD_ROUTE_NO_PATH)
        return err_set(e, ERR_NOT_FOUND, "this service has no such path");
    if (m.outcome == HTTPD_ROUTE_NO_METHOD) {
        httpd_reply_header(reply, "Allow", "%s", m.allow);
        return err_set(e, ERR_METHOD, "this path answers %s", m.allow);
    }
    call->route = &h->routes[m.index];
    memcpy(call->req.params, m.params, sizeof(m.params));
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

bool httpd_too_large(const struct httpd_call *call, struct err *e)
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
        return httpd_too_large(call, e);
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
    return call->filter.continue_expected ||
           call->filter.content_length > call->httpd->config.body_max + DROP_BEYOND;
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

enum MHD_Result httpd_begin(struct httpd_call *call, const char *method, const char *version)
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
