#include "common/io/js.h"

#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "common/io/js_check.h"

#define PPM_ONE 1000000

/* Stores one member at `at`; on failure the message is complete but for the pointer. */
typedef bool decoder(const struct js_field *f, const cJSON *j, void *at, struct err *e);

static bool decode_i64(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    int64_t min = max_i64(f->min, -UNITS_MAX), max = min_i64(f->max, UNITS_MAX);

    /* Doubles are compared: within these bounds they are exact, and the cast is defined. */
    if (!cJSON_IsNumber(j) || (j->type & JS_INTEGER) == 0 || j->valuedouble < (double)min ||
        j->valuedouble > (double)max)
        return err_set(e, ERR_INVALID, "must be an integer from %lld to %lld", (long long)min,
                       (long long)max);
    *(int64_t *)at = (int64_t)j->valuedouble;
    return true;
}

/*
 * By value, not by digits: 1e-05 is how some clients write 0.00001.  A decimal
 * with up to six places and the quotient are both rounded to the nearest
 * double, so they are equal exactly.
 */
static bool decode_ppm(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    double value = cJSON_IsNumber(j) ? j->valuedouble : -1;
    int64_t ppm = value >= 0 && value <= 1 ? (int64_t)(value * PPM_ONE + 0.5) : -1;

    (void)f;
    if (ppm < 0 || (double)ppm / PPM_ONE != value)
        return err_set(e, ERR_INVALID, "must be a number from 0 to 1 with at most 6 decimals");
    *(int64_t *)at = ppm;
    return true;
}

static bool decode_name(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    (void)f;
    if (!cJSON_IsString(j) || !name_is_valid(j->valuestring))
        return err_set(e, ERR_INVALID, "must be " NAME_RULE);
    memcpy(at, j->valuestring, strlen(j->valuestring) + 1);
    return true;
}

static bool decode_text(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    size_t len = cJSON_IsString(j) ? strlen(j->valuestring) : 0;

    if (!cJSON_IsString(j) || len < (size_t)f->min || len > (size_t)f->max)
        return err_set(e, ERR_INVALID, "must be a string of %lld to %lld bytes", (long long)f->min,
                       (long long)f->max);
    memcpy(at, j->valuestring, len + 1);
    return true;
}

static bool decode_bool(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    (void)f;
    if (!cJSON_IsBool(j))
        return err_set(e, ERR_INVALID, "must be true or false");
    *(bool *)at = cJSON_IsTrue(j) != 0;
    return true;
}

static bool decode_time(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    (void)f;
    if (!cJSON_IsString(j))
        return err_set(e, ERR_INVALID, "must be a string, a time of RFC 3339");
    return time_parse(j->valuestring, at, e);
}

static bool refuse_enum(const struct js_field *f, struct err *e)
{
    char list[sizeof(e->msg)] = "";
    size_t len = 0;

    for (int i = 0; f->names[i] != NULL && len < sizeof(list); i++)
        len += (size_t)snprintf(list + len, sizeof(list) - len, " %s", f->names[i]);
    return err_set(e, ERR_INVALID, "must be one of:%s", list);
}

static bool decode_enum(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    if (!cJSON_IsString(j))
        return refuse_enum(f, e);
    for (int i = 0; f->names[i] != NULL; i++) {
        if (strcmp(f->names[i], j->valuestring) == 0) {
            *(int *)at = i;
            return true;
        }
    }
    return refuse_enum(f, e);
}

static bool decode_array(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    int64_t count = cJSON_IsArray(j) ? cJSON_GetArraySize(j) : -1;

    if (count < 0 || count < f->min || count > f->max)
        return err_set(e, ERR_INVALID, "must be an array of %lld to %lld elements",
                       (long long)f->min, (long long)f->max);
    *(const cJSON **)at = j;
    return true;
}

static bool decode_object(const struct js_field *f, const cJSON *j, void *at, struct err *e)
{
    (void)f;
    if (!cJSON_IsObject(j))
        return err_set(e, ERR_INVALID, "must be an object");
    *(const cJSON **)at = j;
    return true;
}

static decoder *const decoders[] = {
    [JS_I64] = decode_i64,   [JS_NAME] = decode_name,   [JS_TEXT] = decode_text,
    [JS_BOOL] = decode_bool, [JS_TIME] = decode_time,   [JS_PPM] = decode_ppm,
    [JS_ENUM] = decode_enum, [JS_ARRAY] = decode_array, [JS_OBJECT] = decode_object,
};

/* where + "/" + name, in which RFC 6901 wants ~ and / escaped. */
static void make_pointer(const char *where, const char *name, size_t size, char *ret)
{
    size_t len = (size_t)snprintf(ret, size, "%s/", where);

    for (; *name != '\0' && len + 2 < size; name++) {
        const char *escape = *name == '~' ? "~0" : *name == '/' ? "~1" : NULL;
        if (escape != NULL)
            len += (size_t)snprintf(ret + len, size - len, "%s", escape);
        else
            ret[len++] = *name;
    }
    ret[len < size ? len : size - 1] = '\0';
}

static bool refuse(const char *where, const char *name, const char *what, struct err *e)
{
    char pointer[sizeof(e->pointer)];

    make_pointer(where, name, sizeof(pointer), pointer);
    return err_at(e, pointer, "%s", what);
}

static bool is_known(const struct js_field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return true;
    return false;
}

static bool refuse_unknown(const cJSON *object, const char *where, const struct js_field *fields,
                           size_t count, struct err *e)
{
    const cJSON *member = NULL;

    cJSON_ArrayForEach(member, object)
    {
        if (!is_known(fields, count, member->string))
            return refuse(where, member->string, "is not a known member", e);
    }
    return true;
}

static bool decode_field(const cJSON *object, const char *where, const struct js_field *f,
                         void *ret, struct err *e)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, f->name);

    if (member == NULL || (f->nullable && cJSON_IsNull(member)))
        return f->optional || refuse(where, f->name, "is required", e);
    if (!decoders[f->kind](f, member, (char *)ret + f->offset, e))
        return refuse(where, f->name, e->msg, e);
    if (f->given != 0)
        *(bool *)((char *)ret + f->given - 1) = true;
    return true;
}

bool js_decode_lax(const cJSON *object, const char *where, const struct js_field *fields,
                   size_t count, void *ret, struct err *e)
{
    if (!cJSON_IsObject(object))
        return err_at(e, where, "must be an object");
    for (size_t i = 0; i < count; i++)
        if (!decode_field(object, where, &fields[i], ret, e))
            return false;
    return true;
}

bool js_decode(const cJSON *object, const char *where, const struct js_field *fields, size_t count,
               void *ret, struct err *e)
{
    if (cJSON_IsObject(object) && !refuse_unknown(object, where, fields, count, e))
        return false;
    return js_decode_lax(object, where, fields, count, ret, e);
}
