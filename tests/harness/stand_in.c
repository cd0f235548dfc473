#include "tests/harness/stand_in.h"

#include <stdio.h>

#include "common/base/check.h"

void stand_in_start(struct stand_in *s, const struct httpd_route *routes, size_t count, void *arg)
{
    struct err e = {0};

    *s = (struct stand_in){.metrics = metrics_new()};
    const struct httpd_config config = {
        .settings = {.address = "127.0.0.1",
                     .threads = 4,
                     .connections_max = 100,
                     .request_timeout_ms = 60000},
        .body_max = 2 << 20,
        .routes = routes,
        .routes_count = count,
        .arg = arg,
        .metrics = s->metrics,
    };
    CHECK(httpd_start(&config, &s->httpd, &e));
    (void)snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%lld",
                   (long long)httpd_port(s->httpd));
}

void stand_in_stop(struct stand_in *s)
{
    s->httpd = httpd_stop(s->httpd);
    s->metrics = metrics_free(s->metrics);
}
