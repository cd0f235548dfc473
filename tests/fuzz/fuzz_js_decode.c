/*
 * fuzz_js_decode: a document that the table accepts is written, read and
 * decoded again, and comes out the same; one that it refuses names a member.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "common/io/js.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 20
#define ARRAY_MAX 4

struct record {
    int64_t number, small, time, ppm;
    char name[NAME_SIZE];
    char text[TEXT_MAX + 1];
    bool flag, has_small, has_text;
    int choice;
    const cJSON *list; /* of objects with just a number */
    const cJSON *object;
};

static const char *const choices[] = {"all", "best_effort", "none", NULL};

static const struct js_field fields[] = {
    {.name = "number",
     .kind = JS_I64,
     .offset = offsetof(struct record, number),
     .min = -UNITS_MAX,
     .max = UNITS_MAX},
    {.name = "small",
     .kind = JS_I64,
     .offset = offsetof(struct record, small),
     .min = 1,
     .max = 9,
     .optional = true,
     .given = offsetof(struct record, has_small) + 1},
    {.name = "time", .kind = JS_TIME, .offset = offsetof(struct record, time)},
    {.name = "ppm", .kind = JS_PPM, .offset = offsetof(struct record, ppm)},
    {.name = "name", .kind = JS_NAME, .offset = offsetof(struct record, name)},
    {.name = "text",
     .kind = JS_TEXT,
     .offset = offsetof(struct record, text),
     .max = TEXT_MAX,
     .optional = true,
     .nullable = true,
     .given = offsetof(struct record, has_text) + 1},
    {.name = "flag", .kind = JS_BOOL, .offset = offsetof(struct record, flag)},
    {.name = "choice",
     .kind = JS_ENUM,
     .offset = offsetof(struct record, choice),
     .names = choices},
    {.name = "list", .kind = JS_ARRAY, .offset = offsetof(struct record, list), .max = ARRAY_MAX},
    {.name = "object",
     .kind = JS_OBJECT,
     .offset = offsetof(struct record, object),
     .optional = true},
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static void check_bounds(const struct record *r)
{
    CHECK(r->number >= -UNITS_MAX && r->number <= UNITS_MAX);
    CHECK(!r->has_small || (r->small >= 1 && r->small <= 9));
    CHECK(r->ppm >= 0 && r->ppm <= 1000000);
    CHECK(name_is_valid(r->name) && strlen(r->text) <= TEXT_MAX);
    CHECK(r->choice >= 0 && r->choice < 3);
    CHECK(cJSON_IsArray(r->list) && cJSON_GetArraySize(r->list) <= ARRAY_MAX);
    CHECK(!r->object || cJSON_IsObject(r->object));
}

static void write(const struct record *r, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "number", r->number);
    if (r->has_small)
        js_i64(&w, "small", r->small);
    js_time(&w, "time", r->time);
    js_ppm(&w, "ppm", r->ppm);
    js_text(&w, "name", r->name);
    js_text(&w, "text", r->has_text ? r->text : NULL);
    js_bool(&w, "flag", r->flag);
    js_text(&w, "choice", choices[r->choice]);
    js_array(&w, "list");
    for (int i = cJSON_GetArraySize(r->list); i > 0; i--)
        js_null(&w, NULL);
    js_array_end(&w);
    if (r->object) {
        js_object(&w, "object");
        js_object_end(&w);
    }
    js_object_end(&w);
    CHECK(!buf_failed(out));
}

static void check_same(const struct record *a, const struct record *b)
{
    CHECK(a->number == b->number && a->small == b->small && a->has_small == b->has_small);
    CHECK(a->time == b->time && a->ppm == b->ppm);
    CHECK(strcmp(a->name, b->name) == 0 && strcmp(a->text, b->text) == 0);
    CHECK(a->has_text == b->has_text && a->flag == b->flag && a->choice == b->choice);
    CHECK(cJSON_GetArraySize(a->list) == cJSON_GetArraySize(b->list));
    CHECK((a->object != NULL) == (b->object != NULL));
}

static void check_round_trip(const struct record *r)
{
    auto_buf struct buf out = BUF_INIT(1000);
    auto_js cJSON *j = NULL;
    struct record again = {0};
    struct err e = {0};

    write(r, &out);
    CHECK(js_parse(out.data, out.len, &j, &e));
    CHECK(js_decode(j, "", fields, FIELDS, &again, &e));
    check_same(r, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_js cJSON *j = NULL;
    struct record r = {0}, lax = {0};
    struct err e = {0}, ignored = {0};

    if (!js_parse((const char *)data, size, &j, &e))
        return 0;
    const bool strict = js_decode(j, "/here", fields, FIELDS, &r, &e);
    const bool accepted = js_decode_lax(j, "/here", fields, FIELDS, &lax, &ignored);
    CHECK(accepted || !strict);
    if (!strict) {
        CHECK(e.kind == ERR_INVALID && strncmp(e.pointer, "/here", 5) == 0);
        return 0;
    }
    check_bounds(&r);
    check_same(&r, &lax);
    check_round_trip(&r);
    return 0;
}
