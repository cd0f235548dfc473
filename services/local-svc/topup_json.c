#include "services/local-svc/topup_json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/io/js.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POINTER_SIZE 40

struct body {
    struct topup_server server;
    int64_t heard;
    bool all_told;
    const cJSON *items;
};

/* clang-format off */
#define AT(member) offsetof(struct body, member)
static const struct js_field body_fields[] = {
    {.name = "server",      .kind = JS_NAME,  .offset = AT(server.name)},
    {.name = "incarnation", .kind = JS_TEXT,  .offset = AT(server.incarnation),
     .min = 36, .max = 36},
    {.name = "generation",  .kind = JS_I64,   .offset = AT(server.generation),
     .min = 1, .max = UNITS_MAX},
    {.name = "process",     .kind = JS_TEXT,  .offset = AT(server.process),
     .min = 36, .max = 36},
    {.name = "heard",       .kind = JS_I64,   .offset = AT(heard), .max = UNITS_MAX, .optional = true},
    {.name = "all_told",    .kind = JS_BOOL,  .offset = AT(all_told), .optional = true},
    {.name = "items",       .kind = JS_ARRAY, .offset = AT(items),
     .max = TOPUP_ITEMS_MAX},
};
#undef AT

#define AT(member) offsetof(struct topup_item, member)
#define COUNTER(name_)                                                                             \
    {.name = #name_, .kind = JS_I64, .offset = AT(report.name_), .max = UNITS_MAX}
#define ITEM_FIELDS                                                                                \
    {.name = "cap",        .kind = JS_NAME, .offset = AT(key.cap)},                                \
    {.name = "starts_at",  .kind = JS_TIME, .offset = AT(key.starts_at_ms)},                       \
    COUNTER(granted_known), COUNTER(returned), COUNTER(consumed), COUNTER(refunded),               \
    {.name = "rate_milli", .kind = JS_I64,  .offset = AT(report.rate_milli), .max = UNITS_MAX,     \
     .optional = true}

static const struct js_field topup_fields[] = {
    ITEM_FIELDS, COUNTER(want),
    {.name = "want_min",   .kind = JS_I64,  .offset = AT(report.want_min), .max = UNITS_MAX,
     .optional = true},
};
/* Who returns wants nothing, and need not say so. */
static const struct js_field return_fields[] = {
    ITEM_FIELDS,
    {.name = "want", .kind = JS_I64, .offset = AT(report.want), .max = 0, .optional = true},
};
#undef AT
/* clang-format on */

/* Lower case, as the database writes them, so that they compare as text. */
static bool normalise_uuid(char *text, const char *pointer, struct err *e)
{
    for (size_t i = 0; i < UUID_SIZE - 1; i++) {
        bool is_dash_place = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_dash_place ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return err_at(e, pointer, "must be a UUID");
        text[i] = (char)tolower((unsigned char)text[i]);
    }
    return true;
}

/* Servers of before it do not say it: each unit was of use there. */
static bool take_want_min(struct pool_report *r, size_t index, struct err *e)
{
    char pointer[POINTER_SIZE];

    if (r->want_min < 0)
        r->want_min = r->want > 0;
    (void)snprintf(pointer, sizeof(pointer), "/items/%zu/want_min", index);
    return r->want_min <= r->want || err_at(e, pointer, "must not be more than want");
}

static bool decode_items(const cJSON *items, bool is_return, struct topup_request *ret,
                         struct err *e)
{
    const struct js_field *fields = is_return ? return_fields : topup_fields;
    const size_t count = is_return ? COUNT(return_fields) : COUNT(topup_fields);
    const cJSON *one = NULL;
    char pointer[POINTER_SIZE];

    cJSON_ArrayForEach(one, items)
    {
        struct topup_item *item = &ret->items[ret->count];

        item->report.rate_milli = -1;
        item->report.want_min = -1;
        (void)snprintf(pointer, sizeof(pointer), "/items/%zu", ret->count);
        if (!js_decode(one, pointer, fields, count, item, e))
            return false;
        if (!take_want_min(&item->report, ret->count, e))
            return false;
        ret->count++;
    }
    return true;
}

static int compare_items(const void *a, const void *b)
{
    const struct topup_item *left = *(struct topup_item *const *)a,
                            *right = *(struct topup_item *const *)b;
    int order = window_key_compare(&left->key, &right->key);

    /* Equal keys by place, so that it is the later one that is named as wrong. */
    return order != 0 ? order : (left > right) - (left < right);
}

static bool refuse_duplicates(struct topup_request *r, struct err *e)
{
    auto_free struct topup_item **sorted = calloc(r->count + 1, sizeof(struct topup_item *));
    char pointer[POINTER_SIZE];

    CHECK(sorted != NULL);
    for (size_t i = 0; i < r->count; i++)
        sorted[i] = &r->items[i];
    qsort(sorted, r->count, sizeof(struct topup_item *), compare_items);
    for (size_t i = 1; i < r->count; i++) {
        if (window_key_compare(&sorted[i - 1]->key, &sorted[i]->key) != 0)
            continue;
        (void)snprintf(pointer, sizeof(pointer), "/items/%td", sorted[i] - r->items);
        return err_at(e, pointer, "is about the same window as another item");
    }
    return true;
}

/* One more than needed: a heartbeat has no items, and still an array of them. */
static void make_room(struct topup_request *r, size_t count)
{
    r->items = calloc(count + 1, sizeof(*r->items));
    r->answers = calloc(count + 1, sizeof(*r->answers));
    CHECK(r->items != NULL && r->answers != NULL);
}

bool topup_decode(const char *text, size_t len, bool is_return, struct topup_request *ret,
                  struct err *e)
{
    auto_js cJSON *json = NULL;
    struct body body = {0};

    *ret = (struct topup_request){0};
    if (!js_parse(text, len, &json, e) ||
        !js_decode(json, "", body_fields, COUNT(body_fields), &body, e) ||
        !normalise_uuid(body.server.incarnation, "/incarnation", e) ||
        !normalise_uuid(body.server.process, "/process", e))
        return false;
    ret->server = body.server;
    ret->heard = body.heard;
    ret->all_told = body.all_told;
    make_room(ret, (size_t)cJSON_GetArraySize(body.items));
    return decode_items(body.items, is_return, ret, e) && refuse_duplicates(ret, e);
}

void topup_request_done(struct topup_request *r)
{
    free(r->items);
    free(r->answers);
    *r = (struct topup_request){0};
}

/* UNITS_MAX stands for "keep all", which the wire says with null. */
static void write_keep(struct js_writer *w, int64_t keep)
{
    if (keep == UNITS_MAX)
        js_null(w, "keep");
    else
        js_i64(w, "keep", keep);
}

void topup_encode(const struct topup_request *r, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "incarnation", r->answered);
    js_array(&w, "items");
    for (size_t i = 0; i < r->count; i++) {
        const struct topup_answer *a = &r->answers[i];

        js_object(&w, NULL);
        js_text(&w, "cap", r->items[i].key.cap);
        js_time(&w, "starts_at", r->items[i].key.starts_at_ms);
        js_i64(&w, "granted", a->pool.granted);
        write_keep(&w, a->pool.keep);
        js_i64(&w, "left", a->pool.left);
        js_text(&w, "state", pool_state_names[a->pool.state]);
        js_i64(&w, "starts_in_ms", a->starts_in_ms);
        js_i64(&w, "ends_in_ms", a->ends_in_ms);
        js_object_end(&w);
    }
    js_array_end(&w);
    js_object_end(&w);
}
