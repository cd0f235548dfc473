#include "common/io/httpd_target.h"

#include <ctype.h>
#include <string.h>

static char nibble(char c)
{
    return (char)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

static bool is_escape(const char *p)
{
    return p[0] == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]);
}

/* Decoding never makes a text longer, so it is done in place. */
static void decode(char *text, bool plus_is_space)
{
    char *out = text;

    for (const char *p = text; *p; p++) {
        if (is_escape(p)) {
            *out++ = (char)((nibble(p[1]) << 4) | nibble(p[2]));
            p += 2;
        } else {
            *out++ = plus_is_space && *p == '+' ? ' ' : *p;
        }
    }
    *out = '\0';
}

static bool add_pair(struct httpd_target *t, char *name, char *value, struct err *e)
{
    decode(name, true);
    decode(value, true);
    if (httpd_target_query(t, name))
        return err_set(e, ERR_INVALID, "a query parameter is given twice");
    if (t->query_count == HTTPD_QUERY_MAX)
        return err_set(e, ERR_INVALID, "more than %d query parameters", HTTPD_QUERY_MAX);
    t->query[t->query_count++] = (struct httpd_query_pair){.name = name, .value = value};
    return true;
}

static bool parse_query(struct httpd_target *t, char *query, struct err *e)
{
    char *rest = query;

    for (char *name = strsep(&rest, "&"); name; name = strsep(&rest, "&")) {
        char *value = name;
        strsep(&value, "=");
        if (*name == '\0' && !value)
            continue; /* "?", "a=1&&b=2" */
        if (!add_pair(t, name, value ? value : name + strlen(name), e))
            return false;
    }
    return true;
}

bool httpd_target_parse(char *text, struct httpd_target *ret, struct err *e)
{
    char *query = text;

    strsep(&query, "?");
    *ret = (struct httpd_target){.path = text};
    decode(text, false);
    return !query || parse_query(ret, query, e);
}

const char *httpd_target_query(const struct httpd_target *t, const char *name)
{
    for (size_t i = 0; i < t->query_count; i++)
        if (strcmp(t->query[i].name, name) == 0)
            return t->query[i].value;
    return NULL;
}
