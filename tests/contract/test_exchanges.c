/*
 * Real processes are asked everything that their documents describe, with
 * every status: what they answer is recorded for check.mjs, which holds it
 * against the documents and finds what was never answered.
 */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/contract/exchanges.h"

/* Each run is a record of its own. */
ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    const char *traffic = getenv("VOLUMECAP_TRAFFIC");

    (void)tests;
    if (traffic)
        (void)unlink(traffic);
}

struct wire *exchanges_wire(const struct dc *dc, enum dc_kind kind)
{
    return wire_new(dc_service(kind), dc_port(dc, kind, 0));
}

void exchanges_builtin(struct wire *w)
{
    static const struct exchange ready[] = {
        {"GET", "/readyz", .status = 200},
        {"GET", "/readyz?verbose", .status = 200},
    };
    static const struct exchange list[] = {
        {"GET", "/livez", .status = 200},
        {"POST", "/livez", .status = 405},
        {"POST", "/readyz", .status = 405},
        {"POST", "/metrics", .status = 405},
        {"GET", "/openapi.json", .status = 200},
        {"POST", "/openapi.json", .status = 405},
        {"GET", "/", .status = 404},
        {"GET", "/no/such/path", .status = 404},
        {"BREW", "/livez", .status = 400},
        {"GET", "/metrics", .status = 200},
    };

    wire_expect(w, list, COUNT(list));
    /* Not while it waits for a database that is busy, say. */
    for (size_t i = 0; i < COUNT(ready); i++)
        wire_await(w, &ready[i]);
}

char *exchanges_large_body(size_t size)
{
    char *body = malloc(size + 3);

    CHECK(body != NULL);
    memset(body, ' ', size + 2);
    body[0] = '{';
    body[size + 1] = '}';
    body[size + 2] = '\0';
    return body;
}
