/* From a target to a row of the route table: decoding, matching, ids. */

#include <criterion/criterion.h>
#include <string.h>

#include "common/io/httpd_ids.h"
#include "common/io/httpd_route.h"
#include "common/io/httpd_target.h"

static const struct httpd_route routes[] = {
    {.method = "GET", .path = "/caps"},
    {.method = "GET", .path = "/caps/all"},
    {.method = "GET", .path = "/caps/{id}"},
    {.method = "PUT", .path = "/caps/{id}"},
    {.method = "DELETE", .path = "/caps/{id}"},
    {.method = "PUT", .path = "/intervals/{cap}/{starts_at}"},
    {.method = HTTPD_ANY, .path = "/check/{cap}"},
};
#define COUNT (sizeof(routes) / sizeof(routes[0]))

struct lookup {
    const char *claim;
    const char *method, *path;
    enum httpd_route_outcome outcome;
    size_t index;
    const char *first, *second; /* parameters */
    const char *allow;
};

static const struct lookup lookups[] = {
    {.claim = "a literal",
     .method = "GET",
     .path = "/caps",
     .outcome = HTTPD_ROUTE_FOUND,
     .index = 0},
    {.claim = "the first row that fits wins",
     .method = "GET",
     .path = "/caps/all",
     .outcome = HTTPD_ROUTE_FOUND,
     .index = 1},
    {.claim = "a parameter",
     .method = "GET",
     .path = "/caps/a",
     .outcome = HTTPD_ROUTE_FOUND,
     .index = 2,
     .first = "a"},
    {.claim = "the same path by another method",
     .method = "DELETE",
     .path = "/caps/a",
     .outcome = HTTPD_ROUTE_FOUND,
     .index = 4,
     .first = "a"},
    {.claim = "another method after a literal that fits",
     .method = "PUT",
     .path = "/caps/all",
     .outcome = HTTPD_ROUTE_FOUND,
     .index = 3,
     .first = "all"},
    {.claim = "two parameters",
     .method = "PUT",
     .path = "/intervals/x/2026-11-20T00:00:00Z",
     .outcome = HTTPD_ROUTE_FOUND,
     .index = 5,
     .first = "x",
     .second = "2026-11-20T00:00:00Z"},
    {.claim = "a row for every method",
     .method = "POST",
     .path = "/check/x",
     .outcome = HTTPD_ROUTE_FOUND,
     .index = 6,
     .first = "x"},
    {.claim = "a known path, another method",
     .method = "POST",
     .path = "/caps/a",
     .outcome = HTTPD_ROUTE_NO_METHOD,
     .allow = "GET, PUT, DELETE"},
    {.claim = "one method only",
     .method = "HEAD",
     .path = "/caps",
     .outcome = HTTPD_ROUTE_NO_METHOD,
     .allow = "GET"},
    {.claim = "an unknown path", .method = "GET", .path = "/cap", .outcome = HTTPD_ROUTE_NO_PATH},
    {.claim = "a longer path",
     .method = "GET",
     .path = "/caps/a/b",
     .outcome = HTTPD_ROUTE_NO_PATH},
    {.claim = "a shorter path",
     .method = "PUT",
     .path = "/intervals/a",
     .outcome = HTTPD_ROUTE_NO_PATH},
    {.claim = "an empty parameter",
     .method = "GET",
     .path = "/caps/",
     .outcome = HTTPD_ROUTE_NO_PATH},
    {.claim = "a slash at the end",
     .method = "GET",
     .path = "/caps/a/",
     .outcome = HTTPD_ROUTE_NO_PATH},
    {.claim = "an empty segment",
     .method = "GET",
     .path = "//caps",
     .outcome = HTTPD_ROUTE_NO_PATH},
    {.claim = "the root", .method = "GET", .path = "/", .outcome = HTTPD_ROUTE_NO_PATH},
    {.claim = "paths have case", .method = "GET", .path = "/Caps", .outcome = HTTPD_ROUTE_NO_PATH},
};

static void expect_row(const struct lookup *l, const struct httpd_route_match *m)
{
    cr_expect(m->index == l->index, "%s: row %zu", l->claim, m->index);
    cr_expect_str_eq(m->params[0], l->first ? l->first : "", "%s", l->claim);
    cr_expect_str_eq(m->params[1], l->second ? l->second : "", "%s", l->claim);
}

Test(httpd_route, lookups_end_as_claimed)
{
    for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
        const struct lookup *l = &lookups[i];
        struct httpd_route_match m;
        httpd_route_find(routes, COUNT, l->method, l->path, &m);
        cr_expect(m.outcome == l->outcome, "%s: outcome %d", l->claim, (int)m.outcome);
        if (l->outcome == HTTPD_ROUTE_FOUND)
            expect_row(l, &m);
        if (l->outcome == HTTPD_ROUTE_NO_METHOD)
            cr_expect_str_eq(m.allow, l->allow, "%s", l->claim);
    }
}

static enum httpd_route_outcome find_cap_of_length(size_t len)
{
    char path[400] = "/caps/";
    struct httpd_route_match m;

    memset(path + strlen(path), 'x', len);
    httpd_route_find(routes, COUNT, "GET", path, &m);
    return m.outcome;
}

Test(httpd_route, a_parameter_has_at_most_128_bytes)
{
    cr_assert(find_cap_of_length(128) == HTTPD_ROUTE_FOUND);
    cr_assert(find_cap_of_length(129) == HTTPD_ROUTE_NO_PATH);
}

/* ---- targets */

static bool parse(const char *text, char scratch[400], struct httpd_target *t, struct err *e)
{
    cr_assert(strlen(text) < 400);
    memcpy(scratch, text, strlen(text) + 1);
    return httpd_target_parse(scratch, t, e);
}

Test(httpd_target, path_and_query_are_decoded)
{
    char scratch[400];
    struct httpd_target t;
    struct err e;

    cr_assert(parse("/a%20b+c?x=1%262&y%3D=+&verbose&z=a=b", scratch, &t, &e), "%s", e.msg);

    cr_assert_str_eq(t.path, "/a b+c");
    cr_assert_str_eq(httpd_target_query(&t, "x"), "1&2");
    cr_assert_str_eq(httpd_target_query(&t, "y="), " ");
    cr_assert_str_eq(httpd_target_query(&t, "verbose"), "");
    cr_assert_str_eq(httpd_target_query(&t, "z"), "a=b");
    cr_assert_null(httpd_target_query(&t, "X"), "names have case");
}

Test(httpd_target, empty_pairs_are_passed_over)
{
    char scratch[400];
    struct httpd_target t;
    struct err e;

    cr_assert(parse("/?", scratch, &t, &e));
    cr_assert(t.query_count == 0);
    cr_assert(parse("/?&a=1&&b=2&", scratch, &t, &e));
    cr_assert(t.query_count == 2);
}

Test(httpd_target, a_parameter_given_twice_is_refused_also_if_escaped)
{
    char scratch[400];
    struct httpd_target t;
    struct err e = {0};

    cr_assert_not(parse("/p?a=1&b=2&a=1", scratch, &t, &e));
    cr_assert(e.kind == ERR_INVALID);
    cr_assert_str_eq(t.path, "/p");
    cr_assert_not(parse("/p?a=1&%61=2", scratch, &t, &e));
}

Test(httpd_target, sixteen_parameters_and_no_more)
{
    char scratch[400];
    struct httpd_target t;
    struct err e;

    cr_assert(parse("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p", scratch, &t, &e));
    cr_assert_not(parse("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", scratch, &t, &e));
}

/* ---- ids */

Test(httpd_ids, request_ids_are_short_and_plain)
{
    char longest[66];

    memset(longest, 'a', 65);
    longest[65] = '\0';
    cr_assert_not(httpd_request_id_is_valid(longest));
    longest[64] = '\0';
    cr_assert(httpd_request_id_is_valid(longest));
    cr_assert(httpd_request_id_is_valid("A-z_0.9"));
    cr_assert_not(httpd_request_id_is_valid(""));
    cr_assert_not(httpd_request_id_is_valid("a b"));
    cr_assert_not(httpd_request_id_is_valid("a\nb"));
}

Test(httpd_ids, traceparents_are_of_version_00_to_the_letter)
{
    const char *good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const char *const bad[] = {
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        "00-0af7651916cd43dd8448eb211c80319cab7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
    };

    cr_assert(httpd_traceparent_is_valid(good));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(httpd_traceparent_is_valid(bad[i]), "%s", bad[i]);
}
