#include "services/remote-svc/fetch.h"

#include "common/io/js.h"

static bool call(struct httpc *http, const struct httpc_request *req, struct httpc_reply *reply,
                 struct span *ret, struct err *e)
{
    auto_js cJSON *json = NULL; /* only to know that it is JSON */

    if (!httpc_call(http, req, reply, e) || !httpc_expect_success(reply, e))
        return false;
    if (!js_parse(buf_text(&reply->body), reply->body.len, &json, e)) {
        e->kind = ERR_INTERNAL;
        return false;
    }
    *ret = (struct span){.text = buf_text(&reply->body), .len = reply->body.len};
    return true;
}

bool fetch(struct httpc *http, struct replicas *of, const char *path, int64_t timeout_ms,
           struct httpc_reply *reply, struct span *ret, struct err *e)
{
    const struct httpc_request req = {
        .method = "GET", .to = of, .url = path, .timeout_ms = timeout_ms};

    return call(http, &req, reply, ret, e);
}

bool fetch_with(struct httpc *http, const char *method, struct replicas *of, const char *path,
                const struct buf *body, struct httpc_reply *reply, struct span *ret, struct err *e)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct httpc_request req = {.method = method,
                                      .to = of,
                                      .url = path,
                                      .body = buf_text(body),
                                      .body_len = body->len,
                                      .headers = headers,
                                      .timeout_ms = FETCH_WITH_MS};

    return call(http, &req, reply, ret, e);
}

void fetch_done(struct httpc_reply *reply)
{
    buf_done(&reply->body);
}
