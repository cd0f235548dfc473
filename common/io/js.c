#include "common/io/js.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/io/js_check.h"

static int compare_keys(const void *a, const void *b)
{
    const cJSON *const *left = a, *const *right = b;

    return strcmp((*left)->string, (*right)->string);
}

/* Sorted, not each against each: an object may have as many members as a body has room for. */
static bool refuse_duplicates_in(const cJSON *object, struct err *e)
{
    size_t count = (size_t)cJSON_GetArraySize(object), i = 0;
    auto_free const cJSON **members = NULL;
    const cJSON *member = NULL;

    if (count < 2)
        return true;
    members = calloc(count, sizeof(*members));
    if (members == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    cJSON_ArrayForEach(member, object) members[i++] = member;
    qsort(members, count, sizeof(*members), compare_keys);
    for (i = 1; i < count; i++)
        if (strcmp(members[i - 1]->string, members[i]->string) == 0)
            return err_set(e, ERR_INVALID, "not valid JSON: \"%.80s\" is there twice",
                           members[i]->string);
    return true;
}

/* Names are compared as decoded, so "a" and "\u0061" are the same one. */
static bool refuse_duplicates(const cJSON *j, struct err *e)
{
    const cJSON *child = NULL;

    if (cJSON_IsObject(j) && !refuse_duplicates_in(j, e))
        return false;
    cJSON_ArrayForEach(child, j)
    {
        if (!refuse_duplicates(child, e))
            return false;
    }
    return true;
}

struct span {
    const char *at;
    const char *end;
};

/* Past a string whose opening quote is at s->at. */
static void skip_string(struct span *s)
{
    for (s->at++; *s->at != '"'; s->at++)
        if (*s->at == '\\')
            s->at++;
    s->at++;
}

static bool is_in_number(const struct span *s)
{
    return s->at < s->end && *s->at != '\0' && strchr("-+.eE0123456789", *s->at) != NULL;
}

/* Moves behind the next number of a text that was checked: is it written as an integer? */
static bool take_number(struct span *s)
{
    bool integer = true;

    while (*s->at != '-' && (*s->at < '0' || *s->at > '9')) {
        if (*s->at == '"')
            skip_string(s);
        else
            s->at++;
        CHECK(s->at < s->end);
    }
    for (; is_in_number(s); s->at++)
        integer = integer && strchr(".eE", *s->at) == NULL;
    return integer;
}

/*
 * cJSON keeps numbers as doubles and forgets how they were written.  The tree
 * has its numbers in the order of the text, so one walk over both tells which
 * ones were integers.
 */
static void mark_integers(cJSON *j, struct span *text)
{
    cJSON *child = NULL;

    if (cJSON_IsNumber(j) && take_number(text))
        j->type |= JS_INTEGER;
    cJSON_ArrayForEach(child, j) mark_integers(child, text);
}

bool js_parse(const char *text, size_t len, cJSON **ret, struct err *e)
{
    auto_js cJSON *j = NULL;
    struct span rest = {.at = text, .end = text + len};

    if (!js_check(text, len, e))
        return false;
    j = cJSON_ParseWithLength(text, len);
    if (j == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    mark_integers(j, &rest);
    if (!refuse_duplicates(j, e))
        return false;
    *ret = TAKE(j);
    return true;
}
