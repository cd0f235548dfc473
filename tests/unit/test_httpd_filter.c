/* Which request heads are refused, and as what. */

#include <criterion/criterion.h>
#include <string.h>

#include "common/io/httpd_filter.h"

struct header {
    const char *name, *value;
};

struct head {
    const char *claim;
    enum httpd_refusal refusal;
    const char *method, *target, *version; /* NULL: GET /, HTTP/1.1 */
    struct header headers[4];              /* besides one Host, unless no_host */
    bool no_host;
};

static const struct head heads[] = {
    {.claim = "a plain GET passes", .refusal = HTTPD_ACCEPTED},
    {.claim = "a POST with a length passes",
     .refusal = HTTPD_ACCEPTED,
     .method = "POST",
     .headers = {{"Content-Length", "12"}}},
    {.claim = "a chunked POST passes",
     .refusal = HTTPD_ACCEPTED,
     .method = "POST",
     .headers = {{"transfer-encoding", "chunked"}}},
    {.claim = "a GET with length 0 has no body",
     .refusal = HTTPD_ACCEPTED,
     .method = "GET",
     .headers = {{"Content-Length", "0"}}},
    {.claim = "HTTP/1.0 needs no Host",
     .refusal = HTTPD_ACCEPTED,
     .version = "HTTP/1.0",
     .no_host = true},
    {.claim = "100-continue may be expected",
     .refusal = HTTPD_ACCEPTED,
     .method = "PUT",
     .headers = {{"Expect", "100-Continue"}}},
    {.claim = "a tab inside a value passes",
     .refusal = HTTPD_ACCEPTED,
     .headers = {{"Accept", "a\tb"}}},
    {.claim = "bytes above ASCII in a value pass",
     .refusal = HTTPD_ACCEPTED,
     .headers = {{"X-Name", "\xc3\xa9"}}},
    {.claim = "one Authorization passes",
     .refusal = HTTPD_ACCEPTED,
     .headers = {{"Authorization", "Basic eA=="}}},
    {.claim = "any header that decides nothing may be repeated",
     .refusal = HTTPD_ACCEPTED,
     .headers = {{"Accept", "a"}, {"Accept", "b"}}},

    {.claim = "methods are upper case", .refusal = HTTPD_BAD_METHOD, .method = "get"},
    {.claim = "an unknown method", .refusal = HTTPD_BAD_METHOD, .method = "BREW"},
    {.claim = "CONNECT", .refusal = HTTPD_BAD_METHOD, .method = "CONNECT"},
    {.claim = "TRACE", .refusal = HTTPD_BAD_METHOD, .method = "TRACE"},
    {.claim = "an empty method", .refusal = HTTPD_BAD_METHOD, .method = ""},

    {.claim = "HTTP/1.2", .refusal = HTTPD_BAD_VERSION, .version = "HTTP/1.2"},
    {.claim = "HTTP/2.0", .refusal = HTTPD_BAD_VERSION, .version = "HTTP/2.0"},
    {.claim = "HTTP/0.9", .refusal = HTTPD_BAD_VERSION, .version = "HTTP/0.9"},
    {.claim = "a lower-case version", .refusal = HTTPD_BAD_VERSION, .version = "http/1.1"},
    {.claim = "no version", .refusal = HTTPD_BAD_VERSION, .version = ""},

    {.claim = "a target with a host", .refusal = HTTPD_BAD_TARGET, .target = "http://x/y"},
    {.claim = "an asterisk", .refusal = HTTPD_BAD_TARGET, .method = "OPTIONS", .target = "*"},
    {.claim = "a relative target", .refusal = HTTPD_BAD_TARGET, .target = "caps"},
    {.claim = "an empty target", .refusal = HTTPD_BAD_TARGET, .target = ""},
    {.claim = "a space in the target", .refusal = HTTPD_BAD_TARGET, .target = "/a b"},
    {.claim = "a raw byte above ASCII", .refusal = HTTPD_BAD_TARGET, .target = "/\xc3\xa9"},
    {.claim = "a raw DEL", .refusal = HTTPD_BAD_TARGET, .target = "/\x7f"},
    {.claim = "a fragment", .refusal = HTTPD_BAD_TARGET, .target = "/a#b"},
    {.claim = "a dot segment", .refusal = HTTPD_BAD_TARGET, .target = "/a/./b"},
    {.claim = "a dot-dot segment", .refusal = HTTPD_BAD_TARGET, .target = "/a/../b"},
    {.claim = "a dot-dot segment at the end", .refusal = HTTPD_BAD_TARGET, .target = "/a/.."},
    {.claim = "a dot-dot segment before the query",
     .refusal = HTTPD_BAD_TARGET,
     .target = "/..?x=1"},
    {.claim = "dots inside a segment pass",
     .refusal = HTTPD_ACCEPTED,
     .target = "/a/b.c/..d/e../..."},
    {.claim = "dot segments in the query pass", .refusal = HTTPD_ACCEPTED, .target = "/a?x=/../b"},

    {.claim = "an escaped NUL", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%00"},
    {.claim = "an escaped slash", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%2fb"},
    {.claim = "an escaped slash, upper case", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%2Fb"},
    {.claim = "an escaped dot", .refusal = HTTPD_BAD_ESCAPE, .target = "/%2e%2e/a"},
    {.claim = "an escaped dot inside a name", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%2Eb"},
    {.claim = "an escaped newline", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%0ab"},
    {.claim = "an escaped DEL", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%7f"},
    {.claim = "an escape without digits", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%"},
    {.claim = "an escape with one digit", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%4"},
    {.claim = "an escape that is not hexadecimal", .refusal = HTTPD_BAD_ESCAPE, .target = "/a%4g"},
    {.claim = "an escaped NUL in the query", .refusal = HTTPD_BAD_ESCAPE, .target = "/a?b=%00"},
    {.claim = "a broken escape in the query", .refusal = HTTPD_BAD_ESCAPE, .target = "/a?b=%x1"},
    {.claim = "slash and dot may be escaped in the query",
     .refusal = HTTPD_ACCEPTED,
     .target = "/a?b=%2F%2e"},
    {.claim = "other escapes pass", .refusal = HTTPD_ACCEPTED, .target = "/a%20b%C3%A9%25"},

    {.claim = "a space before the colon",
     .refusal = HTTPD_BAD_NAME,
     .headers = {{"Transfer-Encoding ", "chunked"}}},
    {.claim = "a tab in a name", .refusal = HTTPD_BAD_NAME, .headers = {{"X\tY", "1"}}},
    {.claim = "a control byte in a name", .refusal = HTTPD_BAD_NAME, .headers = {{"X\x01", "1"}}},
    {.claim = "an empty name", .refusal = HTTPD_BAD_NAME, .headers = {{"", "1"}}},
    {.claim = "a parenthesis in a name", .refusal = HTTPD_BAD_NAME, .headers = {{"X(Y)", "1"}}},

    {.claim = "a carriage return in a value",
     .refusal = HTTPD_BAD_VALUE,
     .headers = {{"X", "a\rb"}}},
    {.claim = "an escape character in a value",
     .refusal = HTTPD_BAD_VALUE,
     .headers = {{"X", "\x1b[2J"}}},
    {.claim = "a DEL in a value", .refusal = HTTPD_BAD_VALUE, .headers = {{"X", "\x7f"}}},

    {.claim = "two Content-Length, even if equal",
     .refusal = HTTPD_REPEATED,
     .method = "POST",
     .headers = {{"Content-Length", "1"}, {"content-length", "1"}}},
    {.claim = "two Host", .refusal = HTTPD_REPEATED, .headers = {{"host", "b"}}},
    {.claim = "two Authorization",
     .refusal = HTTPD_REPEATED,
     .headers = {{"Authorization", "a"}, {"Authorization", "a"}}},
    {.claim = "two Transfer-Encoding",
     .refusal = HTTPD_REPEATED,
     .method = "POST",
     .headers = {{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}},
    {.claim = "two Expect",
     .refusal = HTTPD_REPEATED,
     .method = "POST",
     .headers = {{"Expect", "100-continue"}, {"Expect", "100-continue"}}},

    {.claim = "HTTP/1.1 without Host", .refusal = HTTPD_NO_HOST, .no_host = true},

    {.claim = "a negative length",
     .refusal = HTTPD_BAD_LENGTH,
     .method = "POST",
     .headers = {{"Content-Length", "-1"}}},
    {.claim = "a length with a sign",
     .refusal = HTTPD_BAD_LENGTH,
     .method = "POST",
     .headers = {{"Content-Length", "+1"}}},
    {.claim = "a list of lengths",
     .refusal = HTTPD_BAD_LENGTH,
     .method = "POST",
     .headers = {{"Content-Length", "1, 1"}}},
    {.claim = "an empty length",
     .refusal = HTTPD_BAD_LENGTH,
     .method = "POST",
     .headers = {{"Content-Length", ""}}},
    {.claim = "a length beyond 64 bits",
     .refusal = HTTPD_BAD_LENGTH,
     .method = "POST",
     .headers = {{"Content-Length", "18446744073709551617"}}},

    {.claim = "another coding",
     .refusal = HTTPD_BAD_ENCODING,
     .method = "POST",
     .headers = {{"Transfer-Encoding", "gzip"}}},
    {.claim = "a list of codings",
     .refusal = HTTPD_BAD_ENCODING,
     .method = "POST",
     .headers = {{"Transfer-Encoding", "gzip, chunked"}}},
    {.claim = "chunked in another spelling",
     .refusal = HTTPD_BAD_ENCODING,
     .method = "POST",
     .headers = {{"Transfer-Encoding", "Chunked"}}},
    {.claim = "chunked with a byte more",
     .refusal = HTTPD_BAD_ENCODING,
     .method = "POST",
     .headers = {{"Transfer-Encoding", "chunked\t"}}},
    {.claim = "chunked in HTTP/1.0",
     .refusal = HTTPD_BAD_ENCODING,
     .method = "POST",
     .version = "HTTP/1.0",
     .headers = {{"Transfer-Encoding", "chunked"}}},
    {.claim = "length and chunked",
     .refusal = HTTPD_TWO_LENGTHS,
     .method = "POST",
     .headers = {{"Content-Length", "3"}, {"Transfer-Encoding", "chunked"}}},
    {.claim = "length 0 and chunked",
     .refusal = HTTPD_TWO_LENGTHS,
     .method = "POST",
     .headers = {{"Transfer-Encoding", "chunked"}, {"Content-Length", "0"}}},

    {.claim = "a GET with a body",
     .refusal = HTTPD_UNEXPECTED_BODY,
     .method = "GET",
     .headers = {{"Content-Length", "1"}}},
    {.claim = "a chunked GET",
     .refusal = HTTPD_UNEXPECTED_BODY,
     .method = "GET",
     .headers = {{"Transfer-Encoding", "chunked"}}},
    {.claim = "a DELETE with a body",
     .refusal = HTTPD_UNEXPECTED_BODY,
     .method = "DELETE",
     .headers = {{"Content-Length", "1"}}},
    {.claim = "a HEAD with a body",
     .refusal = HTTPD_UNEXPECTED_BODY,
     .method = "HEAD",
     .headers = {{"Content-Length", "1"}}},

    {.claim = "an unknown expectation",
     .refusal = HTTPD_BAD_EXPECT,
     .method = "POST",
     .headers = {{"Expect", "the-unexpected"}}},
    {.claim = "an empty expectation",
     .refusal = HTTPD_BAD_EXPECT,
     .method = "POST",
     .headers = {{"Expect", ""}}},
};

static void put(struct httpd_filter *f, const char *name, const char *value)
{
    httpd_filter_header(f, name, strlen(name), value, strlen(value));
}

static enum httpd_refusal verdict(const struct head *h, struct httpd_filter *f)
{
    httpd_filter_line(f, h->method ? h->method : "GET", h->target ? h->target : "/",
                      h->version ? h->version : "HTTP/1.1");
    if (!h->no_host)
        put(f, "Host", "a");
    for (size_t i = 0; i < 4 && h->headers[i].name; i++)
        put(f, h->headers[i].name, h->headers[i].value);
    return httpd_filter_end(f);
}

/* A loop and not a parameterized test: the parameters' texts do not survive Criterion's exec. */
Test(httpd_filter, heads_are_judged_as_claimed)
{
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct httpd_filter f;
        enum httpd_refusal got = verdict(&heads[i], &f);
        cr_expect(got == heads[i].refusal, "%s: wanted %s, got %s", heads[i].claim,
                  httpd_refusal_label(heads[i].refusal), httpd_refusal_label(got));
    }
}

Test(httpd_filter, a_nul_inside_a_value_is_a_control_byte)
{
    struct httpd_filter f;

    httpd_filter_line(&f, "GET", "/", "HTTP/1.1");
    httpd_filter_header(&f, "X", 1, "a\0b", 3);
    cr_assert(httpd_filter_end(&f) == HTTPD_BAD_VALUE);
}

Test(httpd_filter, the_first_fault_is_the_one_named)
{
    struct httpd_filter f;

    httpd_filter_line(&f, "GET", "/%00", "HTTP/1.1");
    put(&f, "Transfer-Encoding ", "gzip");
    cr_assert(httpd_filter_end(&f) == HTTPD_BAD_ESCAPE);
}

Test(httpd_filter, what_the_framing_headers_say_is_kept)
{
    const struct head sized = {
        .method = "PUT",
        .headers = {{"Content-Length", "4096"}, {"Expect", "100-continue"}},
    };
    const struct head chunked = {.method = "PUT", .headers = {{"Transfer-Encoding", "chunked"}}};
    struct httpd_filter f;

    cr_assert(verdict(&sized, &f) == HTTPD_ACCEPTED);
    cr_assert(f.content_length == 4096 && f.continue_expected && !f.chunked);
    cr_assert(verdict(&chunked, &f) == HTTPD_ACCEPTED);
    cr_assert(f.content_length == -1 && !f.continue_expected && f.chunked);
}

Test(httpd_filter, every_refusal_has_a_label_and_a_reason_of_its_own)
{
    for (int a = HTTPD_ACCEPTED + 1; a <= HTTPD_BAD_EXPECT; a++) {
        cr_assert(strlen(httpd_refusal_detail((enum httpd_refusal)a)) > 0);
        for (int b = HTTPD_ACCEPTED; b < a; b++)
            cr_assert(strcmp(httpd_refusal_label((enum httpd_refusal)a),
                             httpd_refusal_label((enum httpd_refusal)b)) != 0);
    }
}
