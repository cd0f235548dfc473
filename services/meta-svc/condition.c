#include "services/meta-svc/condition.h"

#include <stdio.h>
#include <string.h>

struct tag {
    const char *text; /* between the quotes */
    size_t len;
    bool weak;
};

static const char *skip_spaces(const char *at)
{
    return at + strspn(at, " \t");
}

/* Takes one entity tag off the front of *list, and the comma after it. */
static bool take_tag(const char **list, struct tag *ret)
{
    const char *at = skip_spaces(*list);

    ret->weak = strncmp(at, "W/", 2) == 0;
    if (ret->weak)
        at += 2;
    if (*at != '"')
        return false;
    ret->text = ++at;
    ret->len = strcspn(at, "\"");
    at += ret->len;
    if (*at != '"')
        return false;
    at = skip_spaces(at + 1);
    if (*at != ',' && *at != '\0')
        return false;
    *list = *at == ',' ? at + 1 : at;
    return true;
}

static bool is_any(const char *value)
{
    return strcmp(value, "*") == 0;
}

static bool is_list(const char *value)
{
    struct tag tag;

    do {
        if (!take_tag(&value, &tag))
            return false;
    } while (*value != '\0');
    return true;
}

bool condition_is_wellformed(const struct condition *c, struct err *e)
{
    if (c->if_match != NULL && !is_any(c->if_match) && !is_list(c->if_match))
        return err_set(e, ERR_INVALID, "If-Match must be * or a list of ETags, in quotes: \"3\"");
    if (c->if_none_match != NULL && !is_any(c->if_none_match) && !is_list(c->if_none_match))
        return err_set(e, ERR_INVALID,
                       "If-None-Match must be * or a list of ETags, in quotes: \"3\"");
    return true;
}

/* Does "*" or any tag of the list name this version? */
static bool names_version(const char *value, int64_t version, bool weak_too)
{
    char text[24];
    struct tag tag;

    if (version == 0)
        return false;
    if (is_any(value))
        return true;
    size_t len = (size_t)snprintf(text, sizeof(text), "%lld", (long long)version);
    while (*value != '\0' && take_tag(&value, &tag))
        if ((weak_too || !tag.weak) && tag.len == len && memcmp(tag.text, text, len) == 0)
            return true;
    return false;
}

bool condition_match_holds(const struct condition *c, int64_t version)
{
    return c->if_match == NULL || names_version(c->if_match, version, /* weak_too= */ false);
}

bool condition_none_match_holds(const struct condition *c, int64_t version)
{
    return c->if_none_match == NULL ||
           !names_version(c->if_none_match, version, /* weak_too= */ true);
}
