#include "tests/contract/exchange.h"

#include <ctype.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/io/js.h"
#include "tests/harness/proc.h"

#define TIMEOUT_MS 30000L
#define AWAIT_MS 60000

struct wire {
    CURL *easy;
    const char *service; /* borrowed */
    int port;
    int traffic; /* a file, or -1 */
    struct buf body;
    cJSON *headers; /* name -> value */
};

struct wire *wire_new(const char *service, int port)
{
    struct wire *w = calloc(1, sizeof(*w));
    const char *traffic = getenv("VOLUMECAP_TRAFFIC");

    CHECK(w != NULL && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    w->easy = curl_easy_init();
    CHECK(w->easy != NULL);
    w->service = service;
    w->port = port;
    w->traffic = traffic ? open(traffic, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
    return w;
}

struct wire *wire_free(struct wire *w)
{
    if (!w)
        return NULL;
    curl_easy_cleanup(w->easy);
    buf_done(&w->body);
    js_free(w->headers);
    if (w->traffic >= 0)
        close(w->traffic);
    free(w);
    return NULL;
}

const char *wire_body(const struct wire *w)
{
    return buf_text(&w->body);
}

const char *wire_header(const struct wire *w, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(w->headers, name));
}

/* ---- hearing */

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct wire *w = arg;

    buf_add(&w->body, data, size * count);
    return size * count;
}

static size_t trimmed(const char *text, size_t len)
{
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    return len;
}

/* A status line, of a "100 Continue" or of the answer itself, begins the headers anew. */
static size_t take_header(char *data, size_t size, size_t count, void *arg)
{
    struct wire *w = arg;
    size_t len = trimmed(data, size * count);
    auto_free char *line = strndup(data, len);

    CHECK(line != NULL);
    if (strncmp(line, "HTTP/", 5) == 0) {
        js_free(w->headers);
        w->headers = cJSON_CreateObject();
    }
    char *value = strchr(line, ':');
    if (!value)
        return size * count;
    *value++ = '\0';
    for (char *c = line; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    cJSON_AddStringToObject(w->headers, line, value + strspn(value, " \t"));
    return size * count;
}

/* ---- saying */

static bool has_type(const struct exchange *x)
{
    for (size_t i = 0; i < EXCHANGE_HEADERS_MAX && x->headers[i]; i++)
        if (strncmp(x->headers[i], "Content-Type:", 13) == 0)
            return true;
    return false;
}

static struct curl_slist *headers_of(const struct exchange *x)
{
    /* With nothing behind the colon: curl shall not add its own. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");

    list = curl_slist_append(list, "Accept:");
    if (!has_type(x))
        list =
            curl_slist_append(list, x->body ? "Content-Type: application/json" : "Content-Type:");
    for (size_t i = 0; i < EXCHANGE_HEADERS_MAX && x->headers[i]; i++)
        list = curl_slist_append(list, x->headers[i]);
    CHECK(list != NULL);
    return list;
}

static void prepare(struct wire *w, const struct exchange *x, struct curl_slist *headers)
{
    char url[1024];

    CHECK(snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", w->port, x->path) < (int)sizeof(url));
    curl_easy_reset(w->easy);
    curl_easy_setopt(w->easy, CURLOPT_URL, url);
    curl_easy_setopt(w->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(w->easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(w->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(w->easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(w->easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(w->easy, CURLOPT_CUSTOMREQUEST, x->method);
    curl_easy_setopt(w->easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(w->easy, CURLOPT_WRITEDATA, w);
    curl_easy_setopt(w->easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(w->easy, CURLOPT_HEADERDATA, w);
    if (!x->body)
        return;
    curl_easy_setopt(w->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(x->body));
    curl_easy_setopt(w->easy, CURLOPT_POSTFIELDS, x->body);
}

/* ---- recording */

static void write_headers(struct js_writer *js, const cJSON *headers)
{
    const cJSON *header = NULL;

    js_object(js, "headers");
    cJSON_ArrayForEach(header, headers) js_text(js, header->string, header->valuestring);
    js_object_end(js);
}

static void record(const struct wire *w, const struct exchange *x, int status)
{
    auto_buf struct buf line = BUF_INIT(0);
    struct js_writer js = {.out = &line};

    js_object(&js, NULL);
    js_text(&js, "service", w->service);
    js_text(&js, "method", x->method);
    js_text(&js, "path", x->path);
    js_text(&js, "request_body", x->body);
    js_i64(&js, "status", status);
    write_headers(&js, w->headers);
    js_text(&js, "content_type", wire_header(w, "content-type"));
    js_text(&js, "body", wire_body(w));
    js_object_end(&js);
    buf_str(&line, "\n");
    CHECK(!buf_failed(&line) && write(w->traffic, line.data, line.len) == (ssize_t)line.len);
}

int wire_send(struct wire *w, const struct exchange *x)
{
    struct curl_slist *headers = headers_of(x);
    long status = 0;

    buf_clear(&w->body);
    w->headers = js_free(w->headers);
    prepare(w, x, headers);
    CURLcode code = curl_easy_perform(w->easy);
    curl_slist_free_all(headers);
    if (code != CURLE_OK)
        return 0;
    curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status);
    if (w->traffic >= 0)
        record(w, x, (int)status);
    return (int)status;
}

/* ---- expecting */

static bool is_as_expected(struct wire *w, const struct exchange *x, int *ret_status)
{
    *ret_status = wire_send(w, x);
    return *ret_status == x->status && (!x->contains || strstr(wire_body(w), x->contains));
}

static void fail(const struct wire *w, const struct exchange *x, int status)
{
    harness_fail("%s: %s %s: %d, not %d%s%s: %.600s", w->service, x->method, x->path, status,
                 x->status, x->contains ? " with " : "", x->contains ? x->contains : "",
                 wire_body(w));
}

void wire_expect(struct wire *w, const struct exchange *list, size_t count)
{
    int status;

    for (size_t i = 0; i < count; i++)
        if (!is_as_expected(w, &list[i], &status))
            fail(w, &list[i], status);
}

struct awaited {
    struct wire *wire;
    const struct exchange *exchange;
    int status;
};

static bool is_there(void *arg)
{
    struct awaited *a = arg;

    return is_as_expected(a->wire, a->exchange, &a->status);
}

void wire_await(struct wire *w, const struct exchange *x)
{
    struct awaited a = {.wire = w, .exchange = x};

    if (!harness_await(is_there, &a, AWAIT_MS))
        fail(w, x, a.status);
}
