#include "common/io/bus.h"

#include <amqp.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

const char *const bus_state_names[] = {
#define X(state, name) name,
    BUS_STATES(X)
#undef X
};

void bus_header_set(struct bus_message *m, const char *name, const char *value)
{
    CHECK(m->headers_count < BUS_HEADERS_MAX);
    struct bus_header *h = &m->headers[m->headers_count++];

    (void)snprintf(h->name, sizeof(h->name), "%s", name);
    (void)snprintf(h->value, sizeof(h->value), "%s", value);
}

const char *bus_header(const struct bus_message *m, const char *name)
{
    for (size_t i = 0; i < m->headers_count; i++)
        if (strcmp(m->headers[i].name, name) == 0)
            return m->headers[i].value;
    return NULL;
}

bool bus_url_check(const char *url, struct err *e)
{
    struct amqp_connection_info info;
    auto_free char *copy = strdup(url); /* parsing writes into it */

    CHECK(copy != NULL);
    if (strncmp(url, "amqp://", 7) != 0 || amqp_parse_url(copy, &info) != AMQP_STATUS_OK)
        return err_set(e, ERR_INVALID, "must be amqp://[user[:password]@]host[:port][/vhost]");
    return true;
}
