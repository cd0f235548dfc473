#include "common/io/httpc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/io/js.h"

#define CONNECT_TIMEOUT_MS INT64_C(2000)
#define URL_MAX 8192
#define POLL_MS 10000 /* a backstop only: curl wakes for its timeouts, we for a cancel */

/*
 * One easy handle driven by one multi handle, because only a multi handle can
 * be woken from another thread.  The multi keeps the connections.
 */
struct httpc {
    CURLM *multi;
    CURL *easy;
    size_t reply_max;
    struct buf url; /* of a replica */
    atomic_bool cancelled;
};

typedef struct curl_slist curl_list;

static curl_list *curl_list_free(curl_list *list)
{
    curl_slist_free_all(list);
    return NULL;
}
CLEANUP_DEFINE(curl_list, curl_list, curl_list_free)

static pthread_once_t global_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

void httpc_global_init(void)
{
    CHECK(pthread_once(&global_once, init_curl) == 0);
}

bool httpc_new(int64_t reply_max, struct httpc **ret, struct err *e)
{
    auto_httpc struct httpc *c = calloc(1, sizeof(*c));

    CHECK(reply_max >= 1);
    httpc_global_init();
    if (c == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    c->reply_max = (size_t)reply_max;
    c->url = BUF_INIT(URL_MAX);
    c->multi = curl_multi_init();
    c->easy = curl_easy_init();
    if (c->multi == NULL || c->easy == NULL)
        return err_set(e, ERR_INTERNAL, "cannot make an HTTP client");
    *ret = TAKE(c);
    return true;
}

struct httpc *httpc_free(struct httpc *c)
{
    if (c == NULL)
        return NULL;
    curl_easy_cleanup(c->easy);
    (void)curl_multi_cleanup(c->multi);
    buf_done(&c->url);
    free(c);
    return NULL;
}

void httpc_cancel(struct httpc *c)
{
    atomic_store(&c->cancelled, true);
    (void)curl_multi_wakeup(c->multi);
}

/* Taking less than was offered makes curl fail the transfer. */
static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct buf *body = arg;

    buf_add(body, data, size * count);
    return buf_failed(body) ? 0 : size * count;
}

static bool append(curl_list **list, const char *line)
{
    curl_list *longer = curl_slist_append(*list, line);

    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

static bool has_content_type(const struct httpc_request *req)
{
    for (const char *const *line = req->headers; line != NULL && *line != NULL; line++)
        if (strncasecmp(*line, "Content-Type:", 13) == 0)
            return true;
    return false;
}

/* "Expect:" with nothing behind it stops curl from sending its own and waiting for a 100. */
static bool make_headers(const struct httpc_request *req, curl_list **ret)
{
    char id[160];

    if (!append(ret, "Expect:"))
        return false;
    if (req->body != NULL && !has_content_type(req) &&
        !append(ret, "Content-Type: application/json"))
        return false;
    (void)snprintf(id, sizeof(id), "X-Request-Id: %s", log_request_id());
    if (log_request_id()[0] != '\0' && !append(ret, id))
        return false;
    for (const char *const *line = req->headers; line != NULL && *line != NULL; line++)
        if (!append(ret, *line))
            return false;
    return true;
}

static void set_method(CURL *easy, const struct httpc_request *req)
{
    bool has_body =
        req->body != NULL || strcmp(req->method, "POST") == 0 || strcmp(req->method, "PUT") == 0;

    if (strcmp(req->method, "HEAD") == 0)
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (has_body) {
        curl_off_t len = req->body != NULL ? (curl_off_t)req->body_len : 0;
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, len);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, req->body != NULL ? req->body : "");
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, req->method);
}

/* The environment's proxies are for browsers, redirects for strangers: neither is followed. */
static void set_limits(CURL *easy, int64_t timeout_ms)
{
    long connect_ms = (long)min_i64(timeout_ms, CONNECT_TIMEOUT_MS);

    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
}

/* Until the transfer is over, or cancelled; curl keeps the timeouts itself. */
static bool drive(struct httpc *c, CURLcode *ret_result)
{
    int running = 1, left = 0;

    while (running > 0) {
        if (atomic_load(&c->cancelled) || curl_multi_perform(c->multi, &running) != CURLM_OK)
            return false;
        if (running > 0 && curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            return false;
    }
    const CURLMsg *msg = curl_multi_info_read(c->multi, &left);
    if (msg == NULL || msg->msg != CURLMSG_DONE)
        return false;
    *ret_result = msg->data.result;
    return true;
}

/*
 * Whatever was under way when the call broke off may have been carried out.
 * If not one byte of the request had left, it surely was not.
 */
static bool broke_off(const struct httpc *c, const struct httpc_request *req, const char *why,
                      struct err *e)
{
    long sent = 0;

    (void)curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &sent);
    return err_set(e, sent > 0 ? ERR_TIMEOUT : ERR_UNAVAILABLE, "%s %.80s: %s", req->method,
                   req->url, why);
}

static bool explain(const struct httpc *c, const struct httpc_request *req,
                    const struct httpc_reply *reply, CURLcode result, struct err *e)
{
    if (buf_failed(&reply->body))
        return err_set(e, ERR_INTERNAL, "%s %.80s: the answer is larger than %zu bytes",
                       req->method, req->url, c->reply_max);
    if (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL)
        return err_set(e, ERR_INTERNAL, "%s %.80s: not an http URL", req->method, req->url);
    return broke_off(c, req, curl_easy_strerror(result), e);
}

static const char *header_of(CURL *easy, const char *name)
{
    struct curl_header *header = NULL;

    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return "";
    return header->value;
}

static void fill_reply(CURL *easy, struct httpc_reply *ret)
{
    long status = 0;
    struct err ignored; /* Retry-After may also be a date; no service of ours sends one. */

    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    ret->status = (int)status;
    (void)snprintf(ret->etag, sizeof(ret->etag), "%s", header_of(easy, "ETag"));
    (void)snprintf(ret->content_type, sizeof(ret->content_type), "%s",
                   header_of(easy, "Content-Type"));
    if (!num_parse_i64(header_of(easy, "Retry-After"), 0, INT32_MAX, &ret->retry_after_s, &ignored))
        ret->retry_after_s = -1;
}

static bool transfer(struct httpc *c, const struct httpc_request *req, struct httpc_reply *ret,
                     struct err *e)
{
    CURLcode result = CURLE_OK;

    if (curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
        return err_set(e, ERR_INTERNAL, "%s %.80s: curl refuses", req->method, req->url);
    bool over = drive(c, &result);
    bool ok = over && result == CURLE_OK;
    if (ok)
        fill_reply(c->easy, ret);
    else if (over)
        (void)explain(c, req, ret, result, e);
    else
        (void)broke_off(c, req, "cancelled", e);
    (void)curl_multi_remove_handle(c->multi, c->easy);
    return ok;
}

/*
 * On a kept connection that the other side closed meanwhile, curl sends the
 * request again on a new one.  That is welcome: every call between services
 * may be repeated.
 */
static bool call_one(struct httpc *c, const struct httpc_request *req, struct httpc_reply *ret,
                     struct err *e)
{
    CLEANUP(curl_list) curl_list *headers = NULL;

    CHECK(req->timeout_ms >= 1);
    buf_clear(&ret->body);
    ret->body.max = c->reply_max;
    if (!make_headers(req, &headers))
        return err_set(e, ERR_INTERNAL, "out of memory");

    curl_easy_reset(c->easy);
    set_limits(c->easy, req->timeout_ms);
    set_method(c->easy, req);
    (void)curl_easy_setopt(c->easy, CURLOPT_URL, req->url);
    (void)curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, &ret->body);
    return transfer(c, req, ret, e);
}

static bool call_replica(struct httpc *c, const struct httpc_request *req, size_t index,
                         int64_t timeout_ms, struct httpc_reply *ret, struct err *e)
{
    struct httpc_request one = *req;

    buf_clear(&c->url);
    buf_printf(&c->url, "%s%s", req->to->urls[index], req->url);
    if (buf_failed(&c->url))
        return err_set(e, ERR_TOO_LARGE, "%s %.80s: the URL is too long", req->method, req->url);
    one.url = buf_text(&c->url);
    one.timeout_ms = timeout_ms;
    bool answered = call_one(c, &one, ret, e);
    if (!atomic_load(&c->cancelled) && (!answered || ret->status >= 500))
        replicas_failed(req->to, index);
    return answered;
}

static bool call_any(struct httpc *c, const struct httpc_request *req, struct httpc_reply *ret,
                     struct err *e)
{
    int64_t left_ms = req->timeout_ms, until_ms = clk_now_ms() + left_ms;
    size_t first = atomic_load(&req->to->first), count = req->to->count;

    for (size_t i = 0; i < count && left_ms >= 1; i++) {
        if (call_replica(c, req, (first + i) % count, left_ms, ret, e))
            return true;
        if (e->kind != ERR_UNAVAILABLE || atomic_load(&c->cancelled))
            return false;
        left_ms = until_ms - clk_now_ms();
    }
    return false;
}

bool httpc_call(struct httpc *c, const struct httpc_request *req, struct httpc_reply *ret,
                struct err *e)
{
    return req->to != NULL ? call_any(c, req, ret, e) : call_one(c, req, ret, e);
}

struct problem {
    char detail[201];
};

/* The detail of a problem document, or "" for whatever else was in the body. */
static void read_problem(const struct httpc_reply *reply, struct problem *ret)
{
    static const struct js_field fields[] = {
        {.name = "detail",
         .kind = JS_TEXT,
         .offset = offsetof(struct problem, detail),
         .max = sizeof(ret->detail) - 1,
         .optional = true},
    };
    auto_js cJSON *j = NULL;
    struct err ignored;

    if (!js_parse(buf_text(&reply->body), reply->body.len, &j, &ignored) ||
        !js_decode_lax(j, "", fields, 1, ret, &ignored))
        ret->detail[0] = '\0';
}

bool httpc_expect_success(const struct httpc_reply *reply, struct err *e)
{
    struct problem problem = {.detail = ""};

    if (reply->status >= 200 && reply->status <= 299)
        return true;
    read_problem(reply, &problem);
    enum err_kind kind = err_kind_of_status(reply->status);
    return err_set(e, kind, "answered %d: %s", reply->status,
                   problem.detail[0] != '\0' ? problem.detail : err_title(kind));
}
