#pragma once

/*
 * httpd_filter: which requests are refused before anything looks at them.
 *
 * libmicrohttpd is lenient where two servers in a row may disagree about what
 * a request is (request smuggling, escapes that change the path).  The filter
 * sees the request line as it was sent, then each header, and names the first
 * thing that is wrong.  It is pure: no allocation, no MHD.
 *
 * Out of its reach is what libmicrohttpd swallows or answers on its own before
 * we see it: a bare LF as the end of a line, folded header lines, what follows
 * a NUL inside a header, a Content-Length that is not a number.  A refused
 * request's connection is closed, so nothing of what follows it is believed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
/* refusal, the label of volumecap_http_refused_total, what the client is told */
#define HTTPD_REFUSALS(X)                                                                      \
    X(HTTPD_ACCEPTED,        "accepted",          "")                                          \
    X(HTTPD_BAD_METHOD,      "method",            "unknown method; methods are upper case")    \
    X(HTTPD_BAD_VERSION,     "version",           "only HTTP/1.0 and HTTP/1.1 are understood") \
    X(HTTPD_BAD_TARGET,      "target",            "the target must be a plain path")           \
    X(HTTPD_BAD_ESCAPE,      "escape",            "an escape that the target must not have")   \
    X(HTTPD_BAD_NAME,        "header-name",       "a header name is not a token")              \
    X(HTTPD_BAD_VALUE,       "header-value",      "control characters in a header value")      \
    X(HTTPD_REPEATED,        "repeated-header",   "a header that may come once came twice")    \
    X(HTTPD_NO_HOST,         "host",              "HTTP/1.1 needs a Host header")              \
    X(HTTPD_BAD_LENGTH,      "content-length",    "Content-Length is not a number")            \
    X(HTTPD_BAD_ENCODING,    "transfer-encoding", "only chunked, and only in HTTP/1.1")        \
    X(HTTPD_TWO_LENGTHS,     "two-lengths",       "both Transfer-Encoding and Content-Length") \
    X(HTTPD_UNEXPECTED_BODY, "unexpected-body",   "this method takes no body")                 \
    X(HTTPD_BAD_EXPECT,      "expect",            "only 100-continue can be expected")
/* clang-format on */

enum httpd_refusal {
#define X(refusal, label, detail) refusal,
    HTTPD_REFUSALS(X)
#undef X
};

struct httpd_filter {
    enum httpd_refusal refusal; /* the first one found */
    unsigned seen;              /* a bit for each header that may be there once */
    int64_t content_length;     /* -1: not given */
    bool chunked;
    bool continue_expected;
    bool bodyless; /* the method takes no body */
    bool http_1_0;
};

/* Begins with the request line; `target` is as sent, with escapes and query. */
void httpd_filter_line(struct httpd_filter *f, const char *method, const char *target,
                       const char *version);

void httpd_filter_header(struct httpd_filter *f, const char *name, size_t name_len,
                         const char *value, size_t value_len);

/* What only the whole head can tell; returns the verdict. */
enum httpd_refusal httpd_filter_end(struct httpd_filter *f);

const char *httpd_refusal_label(enum httpd_refusal refusal);
const char *httpd_refusal_detail(enum httpd_refusal refusal);
