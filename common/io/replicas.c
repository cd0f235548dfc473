#include "common/io/replicas.h"

#include <stdio.h>
#include <string.h>

static bool add(const char *setting, const char *text, size_t len, struct replicas *r,
                struct err *e)
{
    static const char scheme[] = "http://";
    size_t scheme_len = sizeof(scheme) - 1;

    if (r->count == REPLICAS_MAX)
        return err_set(e, ERR_INVALID, "%s: more than %d replicas", setting, REPLICAS_MAX);
    if (len > scheme_len && text[len - 1] == '/')
        len--;
    if (len <= scheme_len || strncmp(text, scheme, scheme_len) != 0 || len >= REPLICAS_URL_SIZE)
        return err_set(e, ERR_INVALID, "%s: replica %zu must be http://host:port", setting,
                       r->count + 1);
    (void)snprintf(r->urls[r->count++], REPLICAS_URL_SIZE, "%.*s", (int)len, text);
    return true;
}

bool replicas_parse(const char *setting, const char *text, struct replicas *ret, struct err *e)
{
    ret->count = 0;
    atomic_store(&ret->first, 0);
    for (;;) {
        size_t len = strcspn(text, ",");
        if (!add(setting, text, len, ret, e))
            return false;
        if (text[len] == '\0')
            return true;
        text += len + 1;
    }
}

void replicas_failed(struct replicas *r, size_t index)
{
    size_t expected = index;

    (void)atomic_compare_exchange_strong(&r->first, &expected, (index + 1) % r->count);
}
