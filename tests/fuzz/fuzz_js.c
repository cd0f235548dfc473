/*
 * fuzz_js: whatever our strict JSON accepts, cJSON accepts too, and both see
 * the same integers.  The reference for an integer is strtoll() on the text of
 * the document, found again by a walk of its own.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "common/io/js.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++)
        at += *at == '\\';
    return at + 1;
}

/* The next number of an accepted, NUL-terminated text, and its length. */
static const char *next_number(const char *at, size_t *ret_len)
{
    while (strchr("-0123456789", *at) == NULL)
        at = *at == '"' ? skip_string(at) : at + 1;
    CHECK(*at != '\0');
    *ret_len = strspn(at, "+-.eE0123456789");
    return at;
}

static void compare_number(const cJSON *strict, const cJSON *lax, const char *literal, size_t len)
{
    static const struct js_field field = {
        .name = "n", .kind = JS_I64, .min = -UNITS_MAX, .max = UNITS_MAX};
    bool integer = strcspn(literal, ".eE") >= len;
    long long expected = integer ? strtoll(literal, NULL, 10) : 0;
    bool fits = expected >= -UNITS_MAX && expected <= UNITS_MAX;
    cJSON *object = cJSON_CreateObject();
    int64_t value = 0;
    struct err e;

    CHECK(!isnan(strict->valuedouble) && !(strict->valuedouble < lax->valuedouble) &&
          !(strict->valuedouble > lax->valuedouble));
    CHECK(cJSON_AddItemToObject(object, "n", cJSON_Duplicate(strict, 0)));
    CHECK(js_decode(object, "", &field, 1, &value, &e) == (integer && fits));
    CHECK(!(integer && fits) || value == expected);
    cJSON_Delete(object);
}

static void compare(const cJSON *strict, const cJSON *lax, const char **at)
{
    const cJSON *child = strict->child, *other = lax->child;

    CHECK((strict->type & 0xff) == (lax->type & 0xff));
    if (cJSON_IsNumber(strict)) {
        size_t len = 0;
        *at = next_number(*at, &len);
        compare_number(strict, lax, *at, len);
        *at += len;
    }
    for (; child != NULL; child = child->next, other = other->next) {
        CHECK(other != NULL);
        compare(child, other, at);
    }
    CHECK(other == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = malloc(size + 1);
    auto_js cJSON *strict = NULL;
    auto_js cJSON *lax = NULL;
    struct err e;

    CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (!js_parse((const char *)data, size, &strict, &e)) {
        CHECK(e.kind == ERR_INVALID && strict == NULL);
        return 0;
    }
    lax = cJSON_ParseWithOpts(text, NULL, 1);
    CHECK(lax != NULL);
    const char *at = text;
    compare(strict, lax, &at);
    return 0;
}
