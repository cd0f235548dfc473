/*
 * One service's routes and its OpenAPI document say the same: the same paths,
 * methods, operation ids, bodies and statuses of success, both ways.
 *
 * Built once for each service; ROUTES is the name of its table.
 */

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/io/httpd_internal.h"
#include "common/io/js.h"

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define ROUTES_COUNT PASTE(ROUTES, _count)

extern const struct httpd_route ROUTES[];
extern const size_t ROUTES_COUNT;
extern const char openapi_json[];
extern const size_t openapi_json_len;

static cJSON *document;

static void parse_document(void)
{
    struct err e = {0};

    cr_assert(js_parse(openapi_json, openapi_json_len, &document, &e), "%s", e.msg);
}

static void free_document(void)
{
    document = js_free(document);
}

TestSuite(routes, .init = parse_document, .fini = free_document);

static size_t routes_count(void)
{
    return HTTPD_BUILTINS + ROUTES_COUNT;
}

/* The built-in routes, then the service's own. */
static const struct httpd_route *route_at(size_t i)
{
    return i < HTTPD_BUILTINS ? &httpd_builtins[i] : &ROUTES[i - HTTPD_BUILTINS];
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* The route's operation in the document, or NULL. */
static const cJSON *operation_of(const struct httpd_route *route)
{
    const cJSON *path = member(member(document, "paths"), route->path);
    char method[16] = "";

    for (size_t i = 0; route->method[i] && i < sizeof(method) - 1; i++)
        method[i] = (char)tolower((unsigned char)route->method[i]);
    return member(path, method);
}

Test(routes, each_is_an_operation_of_the_document)
{
    for (size_t i = 0; i < routes_count(); i++) {
        const struct httpd_route *route = route_at(i);
        cr_expect(operation_of(route) != NULL, "%s %s", route->method, route->path);
    }
}

Test(routes, each_has_the_operation_id_of_the_document)
{
    for (size_t i = 0; i < routes_count(); i++) {
        const struct httpd_route *route = route_at(i);
        const char *id = cJSON_GetStringValue(member(operation_of(route), "operationId"));
        cr_expect(id && strcmp(id, route->operation_id) == 0, "%s %s is %s, documented as %s",
                  route->method, route->path, route->operation_id, id ? id : "nothing");
    }
}

Test(routes, each_succeeds_with_a_status_of_the_document)
{
    for (size_t i = 0; i < routes_count(); i++) {
        const struct httpd_route *route = route_at(i);
        char status[12];
        snprintf(status, sizeof(status), "%d", route->status);
        cr_expect(member(member(operation_of(route), "responses"), status) != NULL, "%s: %s",
                  route->operation_id, status);
    }
}

Test(routes, each_takes_a_body_where_the_document_has_one)
{
    for (size_t i = 0; i < routes_count(); i++) {
        const struct httpd_route *route = route_at(i);
        bool documented = member(operation_of(route), "requestBody") != NULL;
        cr_expect(documented == route->has_body, "%s", route->operation_id);
    }
}

static bool is_route(const char *path, const char *method)
{
    for (size_t i = 0; i < routes_count(); i++)
        if (strcmp(route_at(i)->path, path) == 0 && strcasecmp(route_at(i)->method, method) == 0)
            return true;
    return false;
}

Test(routes, every_operation_of_the_document_is_one)
{
    const cJSON *path = NULL, *operation = NULL;

    cJSON_ArrayForEach(path, member(document, "paths"))
    {
        cJSON_ArrayForEach(operation, path)
        {
            if (member(operation, "operationId"))
                cr_expect(is_route(path->string, operation->string), "%s %s", operation->string,
                          path->string);
        }
    }
}

Test(routes, no_two_have_the_same_operation_id)
{
    for (size_t i = 0; i < routes_count(); i++)
        for (size_t j = 0; j < i; j++)
            cr_expect(strcmp(route_at(i)->operation_id, route_at(j)->operation_id) != 0, "%s",
                      route_at(i)->operation_id);
}
