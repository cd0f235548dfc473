#include "tests/harness/client.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/io/js.h"

#define REPLY_MAX (8 << 20)
#define TIMEOUT_MS 40000 /* a machine that halts for seconds is no fault of the service */

struct client {
    struct httpc *httpc;
    struct httpc_reply reply;
    cJSON *json;
    char service[32];
    int port;
    int traffic; /* a file, or -1 */
};

struct client *client_new(const char *service, int port)
{
    struct client *c = calloc(1, sizeof(*c));
    const char *traffic = getenv("VOLUMECAP_TRAFFIC");
    struct err e = {0};

    CHECK(c != NULL && strlen(service) < sizeof(c->service));
    CHECK(httpc_new(REPLY_MAX, &c->httpc, &e));
    snprintf(c->service, sizeof(c->service), "%s", service);
    c->port = port;
    c->traffic = traffic ? open(traffic, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
    return c;
}

struct client *client_free(struct client *c)
{
    if (!c)
        return NULL;
    httpc_free(c->httpc);
    buf_done(&c->reply.body);
    js_free(c->json);
    if (c->traffic >= 0)
        close(c->traffic);
    free(c);
    return NULL;
}

static void record(const struct client *c, const struct call *call)
{
    auto_buf struct buf line = BUF_INIT(0);
    struct js_writer w = {.out = &line};

    js_object(&w, NULL);
    js_text(&w, "service", c->service);
    js_text(&w, "method", call->method);
    js_text(&w, "path", call->path);
    js_text(&w, "request_body", call->body);
    js_i64(&w, "status", c->reply.status);
    js_text(&w, "content_type", c->reply.content_type);
    js_text(&w, "body", buf_text(&c->reply.body));
    js_object_end(&w);
    buf_str(&line, "\n");
    /* One write: programs that run at the same time do not mix their lines. */
    CHECK(!buf_failed(&line) && write(c->traffic, line.data, line.len) == (ssize_t)line.len);
}

bool client_call(struct client *c, const struct call *call, struct answer *ret, struct err *e)
{
    char url[1024];
    const struct httpc_request request = {
        .method = call->method,
        .url = url,
        .body = call->body,
        .body_len = call->body ? strlen(call->body) : 0,
        .headers = call->headers,
        .timeout_ms = call->timeout_ms ? call->timeout_ms : TIMEOUT_MS,
    };
    struct err ignored;

    CHECK(snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", c->port, call->path) <
          (int)sizeof(url));
    c->json = js_free(c->json);
    if (!httpc_call(c->httpc, &request, &c->reply, e))
        return false;
    if (c->traffic >= 0)
        record(c, call);
    if (!js_parse(buf_text(&c->reply.body), c->reply.body.len, &c->json, &ignored))
        c->json = NULL;
    *ret = (struct answer){.status = c->reply.status, .reply = &c->reply, .json = c->json};
    return true;
}

bool client_expect(struct client *c, int expected, const char *method, const char *path,
                   const char *body, struct answer *ret, struct err *e)
{
    const struct call call = {.method = method, .path = path, .body = body};

    if (!client_call(c, &call, ret, e))
        return err_while(e, "%s %s at %s", method, path, c->service);
    if (ret->status != expected)
        return err_set(e, ERR_INTERNAL, "%s %s at %s: %d, not %d: %.120s", method, path, c->service,
                       ret->status, expected, buf_text(&c->reply.body));
    return true;
}

bool client_put_cap(struct client *meta, const char *cap, const char *body, struct err *e)
{
    static const char *const replace[] = {"If-Match: *", NULL};
    char path[NAME_SIZE + 8];
    struct call call = {.method = "PUT", .path = path, .body = body};
    struct answer answer = {0};

    snprintf(path, sizeof(path), "/caps/%s", cap);
    if (!client_call(meta, &call, &answer, e))
        return err_while(e, "PUT %s", path);
    if (answer.status == 428) {
        call.headers = replace;
        if (!client_call(meta, &call, &answer, e))
            return err_while(e, "PUT %s", path);
    }
    if (answer.status != 200 && answer.status != 201)
        return err_set(e, ERR_INTERNAL, "PUT %s: %d: %.140s", path, answer.status,
                       buf_text(&answer.reply->body));
    return true;
}

const char *verdict_name(enum verdict v)
{
    static const char *const names[VERDICTS] = {
        [VERDICT_GRANTED] = "granted",   [VERDICT_USED_UP] = "used up",
        [VERDICT_NOT_OPEN] = "not open", [VERDICT_UNREACHABLE] = "unreachable",
        [VERDICT_UNKNOWN] = "unknown",   [VERDICT_NO_ANSWER] = "no answer",
        [VERDICT_ODD] = "odd",
    };

    return names[v];
}

static enum verdict verdict_of(int status)
{
    switch (status) {
    case 200: return VERDICT_GRANTED;
    case 404: return VERDICT_UNKNOWN;
    case 409: return VERDICT_NOT_OPEN;
    case 429: return VERDICT_USED_UP;
    case 503: return VERDICT_UNREACHABLE;
    default: return VERDICT_ODD;
    }
}

/* clang-format off */
static const struct js_field consumed_fields[] = {
    {"granted",   JS_I64,  offsetof(struct consumed, granted), .max = UNITS_MAX, .optional = true},
    {"remaining", JS_I64,  offsetof(struct consumed, remaining), .max = UNITS_MAX,
                  .optional = true, .nullable = true},
    {"starts_at", JS_TIME, offsetof(struct consumed, starts_at_ms), .optional = true,
                  .nullable = true},
};

static const struct js_field pool_fields[] = {
    {"cap",       JS_NAME, offsetof(struct pool_row, cap), .min = 0},
    {"starts_at", JS_TIME, offsetof(struct pool_row, starts_at_ms), .min = 0},
    {"ends_at",   JS_TIME, offsetof(struct pool_row, ends_at_ms), .min = 0},
    {"requested", JS_I64,  offsetof(struct pool_row, requested), .max = UNITS_MAX},
    {"effective", JS_I64,  offsetof(struct pool_row, effective), .max = UNITS_MAX,
                  .optional = true, .nullable = true},
    {"free",      JS_I64,  offsetof(struct pool_row, free),      .max = UNITS_MAX},
    {"received",  JS_I64,  offsetof(struct pool_row, received),  .max = UNITS_MAX},
    {"sent",      JS_I64,  offsetof(struct pool_row, sent),      .max = UNITS_MAX},
    {"granted",   JS_I64,  offsetof(struct pool_row, granted),   .max = UNITS_MAX},
    {"returned",  JS_I64,  offsetof(struct pool_row, returned),  .max = UNITS_MAX},
    {"consumed",  JS_I64,  offsetof(struct pool_row, consumed),  .max = UNITS_MAX},
    {"refunded",  JS_I64,  offsetof(struct pool_row, refunded),  .max = UNITS_MAX},
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct consumed client_consume(struct client *server, const char *cap, int64_t amount,
                               const char *mode)
{
    char body[256];
    const struct call call = {.method = "POST", .path = "/consume", .body = body};
    struct consumed ret = {.verdict = VERDICT_NO_ANSWER, .retry_after_s = -1};
    struct answer answer = {0};
    struct err e;

    snprintf(body, sizeof(body), "{\"cap\":\"%s\",\"amount\":%lld,\"mode\":\"%s\"}", cap,
             (long long)amount, mode ? mode : "all");
    if (!client_call(server, &call, &answer, &e))
        return ret;
    ret.verdict = verdict_of(answer.status);
    if (!answer.json ||
        !js_decode_lax(answer.json, "", consumed_fields, COUNT(consumed_fields), &ret, &e))
        ret.verdict = VERDICT_ODD;
    ret.retry_after_s = answer.reply->retry_after_s;
    return ret;
}

/* One page; `ret_next` is empty after the last. */
static bool pools_page(struct client *local, const char *after, pool_row_fn *fn, void *arg,
                       char ret_next[256], struct err *e)
{
    char path[300];
    struct answer answer = {0};
    const cJSON *pool = NULL;

    snprintf(path, sizeof(path), "/pools?limit=1000%s%s", *after ? "&after=" : "", after);
    if (!client_expect(local, 200, "GET", path, NULL, &answer, e))
        return false;
    cJSON_ArrayForEach(pool, cJSON_GetObjectItemCaseSensitive(answer.json, "pools"))
    {
        struct pool_row row = {0};
        if (!js_decode_lax(pool, "/pools/-", pool_fields, COUNT(pool_fields), &row, e))
            return false;
        fn(arg, &row);
    }
    const char *next = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer.json, "next"));
    snprintf(ret_next, 256, "%s", next ? next : "");
    return true;
}

bool client_pools(struct client *local, pool_row_fn *fn, void *arg, struct err *e)
{
    char after[256] = "", next[256];

    do {
        if (!pools_page(local, after, fn, arg, next, e))
            return false;
        memcpy(after, next, sizeof(after));
    } while (*after);
    return true;
}

bool client_audit(struct client *local, struct err *e)
{
    struct answer answer = {0};

    if (!client_expect(local, 200, "GET", "/audit", NULL, &answer, e))
        return false;
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer.json, "clean")))
        return err_set(e, ERR_CONFLICT, "the audit is not clean: %.150s",
                       buf_text(&answer.reply->body));
    return true;
}
