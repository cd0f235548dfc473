#include "common/io/httpd_route.h"

#include <string.h>

#include "common/base/check.h"

/* A parameter is never empty: "/pools/" is not "/pools/{cap}". */
static bool take_param(struct httpd_route_match *m, size_t n, const char *text, size_t len)
{
    CHECK(n < HTTPD_PARAMS_MAX);
    if (len == 0 || len >= HTTPD_PARAM_SIZE)
        return false;
    memcpy(m->params[n], text, len);
    m->params[n][len] = '\0';
    return true;
}

static bool path_fits(const char *template, const char *path, struct httpd_route_match *m)
{
    size_t params = 0;

    while (*template == '/' && *path == '/') {
        size_t want = strcspn(++template, "/");
        size_t got = strcspn(++path, "/");
        if (*template == '{') {
            if (!take_param(m, params++, path, got))
                return false;
        } else if (want != got || memcmp(template, path, got) != 0) {
            return false;
        }
        template += want;
        path += got;
    }
    return *template == '\0' && *path == '\0';
}

static bool method_fits(const char *want, const char *got)
{
    return strcmp(want, got) == 0 || strcmp(want, HTTPD_ANY) == 0;
}

static void add_allow(char allow[HTTPD_ALLOW_SIZE], const char *method)
{
    size_t len = strlen(allow);
    size_t more = strlen(method) + 2;

    CHECK(len + more < HTTPD_ALLOW_SIZE);
    if (len > 0) {
        memcpy(allow + len, ", ", 2);
        len += 2;
    }
    memcpy(allow + len, method, strlen(method) + 1);
}

void httpd_route_find(const struct httpd_route *routes, size_t count, const char *method,
                      const char *path, struct httpd_route_match *ret)
{
    ret->outcome = HTTPD_ROUTE_NO_PATH;
    ret->allow[0] = '\0';
    memset(ret->params, 0, sizeof(ret->params));
    for (size_t i = 0; i < count; i++) {
        if (!path_fits(routes[i].path, path, ret))
            continue;
        if (method_fits(routes[i].method, method)) {
            ret->outcome = HTTPD_ROUTE_FOUND;
            ret->index = i;
            return;
        }
        ret->outcome = HTTPD_ROUTE_NO_METHOD;
        add_allow(ret->allow, routes[i].method);
    }
}
