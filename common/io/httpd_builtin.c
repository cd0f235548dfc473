#include "common/io/httpd_internal.h"

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define TEXT_METRICS "text/plain; version=0.0.4; charset=utf-8"

static bool get_livez(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                      struct err *e)
{
    (void)arg;
    (void)req;
    (void)e;
    reply->content_type = TEXT_PLAIN;
    buf_str(&reply->body, "ok\n");
    return true;
}

/* Alive and ready differ: a service that has lost its database is alive, and must not be killed. */
static bool is_ready(struct httpd *h, struct buf *out)
{
    bool ready = !h->config.ready || h->config.ready(h->config.arg, out);

    if (!atomic_load(&h->draining))
        return ready;
    buf_str(out, "drain: shutting down\n");
    return false;
}

static bool get_readyz(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                       struct err *e)
{
    auto_buf struct buf lines = {0};
    bool ready = is_ready(arg, &lines);

    (void)e;
    reply->status = ready ? 200 : 503;
    reply->content_type = TEXT_PLAIN;
    if (httpd_query(req, "verbose"))
        buf_str(&reply->body, buf_text(&lines));
    buf_str(&reply->body, ready ? "ok\n" : "not ready\n");
    return true;
}

static bool get_metrics(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                        struct err *e)
{
    const struct httpd *h = arg;

    (void)req;
    (void)e;
    reply->content_type = TEXT_METRICS;
    metrics_write(h->config.metrics, &reply->body);
    return true;
}

static bool get_openapi(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                        struct err *e)
{
    const struct httpd *h = arg;

    (void)req;
    if (!h->config.openapi)
        return err_set(e, ERR_NOT_FOUND, "this service has no document");
    buf_str(&reply->body, h->config.openapi);
    return true;
}

const struct httpd_route httpd_builtins[HTTPD_BUILTINS] = {
    {"GET", "/livez", "livez", 200, get_livez, false},
    {"GET", "/readyz", "readyz", 200, get_readyz, false},
    {"GET", "/metrics", "metrics", 200, get_metrics, false},
    {"GET", "/openapi.json", "openapi", 200, get_openapi, false},
};
