#include "common/io/httpd_filter.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the request line */

static const struct {
    const char *name;
    bool bodyless;
} methods[] = {
    {"GET", true},    {"HEAD", true},   {"POST", false},    {"PUT", false},
    {"PATCH", false}, {"DELETE", true}, {"OPTIONS", false},
};

static enum httpd_refusal check_method(struct httpd_filter *f, const char *method)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(method, methods[i].name) != 0)
            continue;
        f->bodyless = methods[i].bodyless;
        return HTTPD_ACCEPTED;
    }
    return HTTPD_BAD_METHOD;
}

static enum httpd_refusal check_version(struct httpd_filter *f, const char *version)
{
    f->http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    if (f->http_1_0 || strcmp(version, "HTTP/1.1") == 0)
        return HTTPD_ACCEPTED;
    return HTTPD_BAD_VERSION;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* An escaped '/' or '.' is another path for each server that decodes at another moment. */
static bool escape_is_safe(const char *percent, bool in_path)
{
    int high = hex_value(percent[1]);
    int low = high < 0 ? -1 : hex_value(percent[2]);

    if (low < 0)
        return false;
    unsigned char c = (unsigned char)(high * 16 + low);
    if (is_control(c))
        return false;
    return !in_path || (c != '/' && c != '.');
}

/* "/." and "/.." as whole segments: what they mean depends on who resolves them. */
static bool is_dot_segment(const char *slash)
{
    size_t dots = strspn(slash + 1, ".");

    return (dots == 1 || dots == 2) && strchr("/?", slash[1 + dots]) != NULL;
}

static enum httpd_refusal check_target(const char *target)
{
    bool in_path = true;

    if (target[0] != '/')
        return HTTPD_BAD_TARGET;
    for (const char *p = target; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return HTTPD_BAD_TARGET;
        if (c == '?')
            in_path = false;
        if (in_path && c == '/' && is_dot_segment(p))
            return HTTPD_BAD_TARGET;
        if (c == '%' && !escape_is_safe(p, in_path))
            return HTTPD_BAD_ESCAPE;
    }
    return HTTPD_ACCEPTED;
}

void httpd_filter_line(struct httpd_filter *f, const char *method, const char *target,
                       const char *version)
{
    *f = (struct httpd_filter){.content_length = -1};
    f->refusal = check_version(f, version);
    if (f->refusal == HTTPD_ACCEPTED)
        f->refusal = check_method(f, method);
    if (f->refusal == HTTPD_ACCEPTED)
        f->refusal = check_target(target);
}

/* ---- the headers */

static bool is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool name_is_token(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_token_char((unsigned char)name[i]))
            return false;
    return len > 0;
}

static bool value_is_printable(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (is_control((unsigned char)value[i]) && value[i] != '\t')
            return false;
    return true;
}

static enum httpd_refusal accept_any(struct httpd_filter *f, const char *value, size_t len)
{
    (void)f;
    (void)value;
    (void)len;
    return HTTPD_ACCEPTED;
}

static enum httpd_refusal take_length(struct httpd_filter *f, const char *value, size_t len)
{
    int64_t length = 0;

    if (len == 0 || len > 18)
        return HTTPD_BAD_LENGTH;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return HTTPD_BAD_LENGTH;
        length = length * 10 + (value[i] - '0');
    }
    f->content_length = length;
    return HTTPD_ACCEPTED;
}

/* Codings are caseless by the book; exactly one spelling leaves nothing to disagree about. */
static enum httpd_refusal take_encoding(struct httpd_filter *f, const char *value, size_t len)
{
    f->chunked = len == strlen("chunked") && memcmp(value, "chunked", len) == 0;
    return f->chunked && !f->http_1_0 ? HTTPD_ACCEPTED : HTTPD_BAD_ENCODING;
}

static enum httpd_refusal take_expect(struct httpd_filter *f, const char *value, size_t len)
{
    f->continue_expected =
        len == strlen("100-continue") && strncasecmp(value, "100-continue", len) == 0;
    return f->continue_expected ? HTTPD_ACCEPTED : HTTPD_BAD_EXPECT;
}

/* The headers that decide about framing, routing and rights may be there once. */
static const struct {
    const char *name;
    enum httpd_refusal (*take)(struct httpd_filter *f, const char *value, size_t len);
} once[] = {
    {"Host", accept_any},
    {"Authorization", accept_any},
    {"Content-Length", take_length},
    {"Transfer-Encoding", take_encoding},
    {"Expect", take_expect},
};
#define SEEN_HOST 1U

static enum httpd_refusal check_once(struct httpd_filter *f, const char *name, size_t name_len,
                                     const char *value, size_t value_len)
{
    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
        if (strlen(once[i].name) != name_len || strncasecmp(name, once[i].name, name_len) != 0)
            continue;
        if (f->seen & (1U << i))
            return HTTPD_REPEATED;
        f->seen |= 1U << i;
        return once[i].take(f, value, value_len);
    }
    return HTTPD_ACCEPTED;
}

void httpd_filter_header(struct httpd_filter *f, const char *name, size_t name_len,
                         const char *value, size_t value_len)
{
    if (f->refusal != HTTPD_ACCEPTED)
        return;
    if (!name_is_token(name, name_len))
        f->refusal = HTTPD_BAD_NAME;
    else if (!value_is_printable(value, value_len))
        f->refusal = HTTPD_BAD_VALUE;
    else
        f->refusal = check_once(f, name, name_len, value, value_len);
}

enum httpd_refusal httpd_filter_end(struct httpd_filter *f)
{
    if (f->refusal != HTTPD_ACCEPTED)
        return f->refusal;
    if (!f->http_1_0 && !(f->seen & SEEN_HOST))
        f->refusal = HTTPD_NO_HOST;
    else if (f->chunked && f->content_length >= 0)
        f->refusal = HTTPD_TWO_LENGTHS;
    else if (f->bodyless && (f->chunked || f->content_length > 0))
        f->refusal = HTTPD_UNEXPECTED_BODY;
    return f->refusal;
}

/* ---- names */

const char *httpd_refusal_label(enum httpd_refusal refusal)
{
    static const char *const labels[] = {
#define X(refusal, label, detail) label,
        HTTPD_REFUSALS(X)
#undef X
    };
    return labels[refusal];
}

const char *httpd_refusal_detail(enum httpd_refusal refusal)
{
    static const char *const details[] = {
#define X(refusal, label, detail) detail,
        HTTPD_REFUSALS(X)
#undef X
    };
    return details[refusal];
}
