#include "services/remote-svc/span.h"

#include <stdio.h>
#include <string.h>

#include "common/base/num.h"

static size_t skip_space(struct span s, size_t at)
{
    while (at < s.len && strchr(" \t\r\n", s.text[at]))
        at++;
    return at;
}

/* From an opening quote to behind the closing one. */
static size_t skip_string(struct span s, size_t at)
{
    for (at++; at < s.len && s.text[at] != '"'; at++)
        if (s.text[at] == '\\')
            at++;
    return at < s.len ? at + 1 : s.len;
}

/* Behind the value that begins here. */
static size_t skip_value(struct span s, size_t at)
{
    int depth = 0;

    while (at < s.len) {
        char c = s.text[at];
        if (depth == 0 && strchr(",]} \t\r\n", c))
            return at;
        if (c == '"') {
            at = skip_string(s, at);
        } else {
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
            at++;
        }
        if (depth == 0 && strchr("\"}]", s.text[at - 1]))
            return at;
    }
    return at;
}

static struct span part(struct span s, size_t from, size_t to)
{
    return (struct span){.text = s.text + from, .len = to - from};
}

static bool is_key(struct span key, const char *name)
{
    size_t len = strlen(name);

    return key.len == len + 2 && memcmp(key.text + 1, name, len) == 0;
}

bool span_member(struct span json, const char *name, struct span *ret)
{
    size_t at = skip_space(json, 0);

    if (at >= json.len || json.text[at] != '{')
        return false;
    for (at = skip_space(json, at + 1); at < json.len && json.text[at] == '"';) {
        size_t key_end = skip_string(json, at);
        size_t value = skip_space(json, skip_space(json, key_end) + 1);
        size_t end = skip_value(json, value);
        if (is_key(part(json, at, key_end), name)) {
            *ret = part(json, value, end);
            return true;
        }
        at = skip_space(json, skip_space(json, end) + 1);
    }
    return false;
}

bool span_next(struct span array, size_t *at, struct span *ret)
{
    size_t begin = skip_space(array, *at);

    if (*at == 0 && (begin >= array.len || array.text[begin] != '['))
        return false;
    /* Here is the bracket, or the comma behind the last element, or the end. */
    if (begin >= array.len || array.text[begin] == ']')
        return false;
    begin = skip_space(array, begin + 1);
    if (begin >= array.len || array.text[begin] == ']')
        return false;
    *at = skip_value(array, begin);
    *ret = part(array, begin, *at);
    return true;
}

bool span_text(struct span json, char *ret, size_t size)
{
    if (json.len < 2 || json.text[0] != '"' || json.len - 2 >= size ||
        memchr(json.text, '\\', json.len))
        return false;
    (void)snprintf(ret, size, "%.*s", (int)json.len - 2, json.text + 1);
    return true;
}

bool span_i64(struct span json, int64_t *ret)
{
    char text[24];
    struct err e;

    if (json.len == 0 || json.len >= sizeof(text))
        return false;
    (void)snprintf(text, sizeof(text), "%.*s", (int)json.len, json.text);
    return num_parse_i64(text, 0, UNITS_MAX, ret, &e);
}

bool span_member_text(struct span json, const char *name, char *ret, size_t size)
{
    struct span value;

    return span_member(json, name, &value) && span_text(value, ret, size);
}

bool span_member_i64(struct span json, const char *name, int64_t *ret)
{
    struct span value;

    return span_member(json, name, &value) && span_i64(value, ret);
}
