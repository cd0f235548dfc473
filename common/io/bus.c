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

/* Only digits and dots, or colons: the library compares names alone with a certificate. */
static bool is_address(const char *host)
{
    return strchr(host, ':') != NULL || strspn(host, "0123456789.") == strlen(host);
}

bool bus_url_check(const char *url, const char *ca, struct err *e)
{
    struct amqp_connection_info info;
    auto_free char *copy = strdup(url); /* parsing writes into it */

    CHECK(copy != NULL);
    if ((strncmp(url, "amqp://", 7) != 0 && strncmp(url, "amqps://", 8) != 0) ||
        amqp_parse_url(copy, &info) != AMQP_STATUS_OK)
        return err_set(e, ERR_INVALID, "must be amqp[s]://[user[:password]@]host[:port][/vhost]");
    /* A slash at the end says so, and no broker has such a one. */
    if (info.vhost[0] == '\0')
        return err_set(e, ERR_INVALID, "has an empty vhost: leave out the / at the end");
    if (info.ssl && (!ca || *ca == '\0'))
        return err_set(e, ERR_INVALID, "amqps needs the certificates of an authority");
    if (info.ssl && is_address(info.host))
        return err_set(e, ERR_INVALID, "amqps needs a host's name, not an address");
    return true;
}
