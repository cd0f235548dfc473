#include "services/volumecap-server/topup_wire.h"

#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "common/io/js.h"

static void encode_item(struct js_writer *w, const struct topup_item *item)
{
    js_object(w, NULL);
    js_text(w, "cap", item->cap);
    js_time(w, "starts_at", item->starts_at_ms);
    js_i64(w, "granted_known", item->report.granted_known);
    js_i64(w, "returned", item->report.returned);
    js_i64(w, "consumed", item->report.consumed);
    js_i64(w, "refunded", item->report.refunded);
    js_i64(w, "want", item->report.want);
    if (item->report.want > 0)
        js_i64(w, "want_min", item->report.want_min);
    if (item->report.rate_milli != RATE_UNKNOWN)
        js_i64(w, "rate_milli", item->report.rate_milli);
    js_object_end(w);
}

void topup_encode_request(const struct topup_sender *from, const struct topup_item *items,
                          size_t count, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_text(&w, "server", from->server);
    js_text(&w, "incarnation", from->incarnation);
    js_i64(&w, "generation", from->generation);
    js_text(&w, "process", from->process);
    js_i64(&w, "heard", from->heard);
    js_bool(&w, "all_told", from->all_told);
    js_array(&w, "items");
    for (size_t i = 0; i < count; i++)
        encode_item(&w, &items[i]);
    js_array_end(&w);
    js_object_end(&w);
}

struct wire_answer {
    char cap[NAME_SIZE];
    int64_t starts_at_ms;
    struct topup_answer answer;
    bool has_starts_in, has_ends_in;
};

#define BOUND_MAX (INT64_C(1) << 50) /* milliseconds: as good as never */

/* clang-format off */
static const struct js_field answer_fields[] = {
    {.name = "cap", .kind = JS_NAME, .offset = offsetof(struct wire_answer, cap)},
    {.name = "starts_at", .kind = JS_TIME, .offset = offsetof(struct wire_answer, starts_at_ms)},
    {.name = "granted", .kind = JS_I64, .offset = offsetof(struct wire_answer, answer.pool.granted),
     .min = 0, .max = UNITS_MAX},
    {.name = "keep", .kind = JS_I64, .offset = offsetof(struct wire_answer, answer.pool.keep),
     .min = 0, .max = UNITS_MAX, .optional = true, .nullable = true},
    {.name = "left", .kind = JS_I64, .offset = offsetof(struct wire_answer, answer.pool.left),
     .min = 0, .max = UNITS_MAX, .optional = true, .nullable = true},
    {.name = "state", .kind = JS_ENUM, .offset = offsetof(struct wire_answer, answer.pool.state),
     .names = pool_state_names},
    {.name = "starts_in_ms", .kind = JS_I64,
     .offset = offsetof(struct wire_answer, answer.starts_in_ms), .min = -BOUND_MAX,
     .max = BOUND_MAX, .optional = true, .nullable = true,
     .given = offsetof(struct wire_answer, has_starts_in) + 1},
    {.name = "ends_in_ms", .kind = JS_I64,
     .offset = offsetof(struct wire_answer, answer.ends_in_ms), .min = -BOUND_MAX,
     .max = BOUND_MAX, .optional = true, .nullable = true,
     .given = offsetof(struct wire_answer, has_ends_in) + 1},
};
/* clang-format on */

struct wire_answers {
    int64_t incarnation;
    const cJSON *items;
};

static const struct js_field answers_fields[] = {
    {.name = "incarnation",
     .kind = JS_I64,
     .offset = offsetof(struct wire_answers, incarnation),
     .max = UNITS_MAX,
     .optional = true},
    {.name = "items",
     .kind = JS_ARRAY,
     .offset = offsetof(struct wire_answers, items),
     .max = TOPUP_ITEMS_MAX},
};

static bool decode_item(const cJSON *j, size_t index, const struct topup_item *item,
                        struct topup_answer *ret, struct err *e)
{
    struct wire_answer wire = {.answer.pool = {.keep = UNITS_MAX, .left = UNITS_MAX}};
    char where[32];

    (void)snprintf(where, sizeof(where), "/items/%zu", index);
    if (!js_decode_lax(j, where, answer_fields, sizeof(answer_fields) / sizeof(answer_fields[0]),
                       &wire, e))
        return false;
    if (strcmp(wire.cap, item->cap) != 0 || wire.starts_at_ms != item->starts_at_ms)
        return err_at(e, where, "not the answer to item %zu", index);
    *ret = wire.answer;
    ret->has_bounds = wire.has_starts_in && wire.has_ends_in;
    return true;
}

static bool decode(const struct buf *body, const struct topup_item *items, size_t count,
                   struct topup_answer *ret, int64_t *ret_incarnation, struct err *e)
{
    auto_js cJSON *j = NULL;
    struct wire_answers answers = {0};
    const cJSON *item = NULL;
    size_t index = 0;

    if (!js_parse(buf_text(body), body->len, &j, e) ||
        !js_decode_lax(j, "", answers_fields, sizeof(answers_fields) / sizeof(answers_fields[0]),
                       &answers, e))
        return false;
    if ((size_t)cJSON_GetArraySize(answers.items) != count)
        return err_at(e, "/items", "%d answers to %zu items", cJSON_GetArraySize(answers.items),
                      count);
    cJSON_ArrayForEach(item, answers.items)
    {
        if (!decode_item(item, index, &items[index], &ret[index], e))
            return false;
        index++;
    }
    *ret_incarnation = answers.incarnation;
    return true;
}

bool topup_decode_answer(const struct buf *body, const struct topup_item *items, size_t count,
                         struct topup_answer *ret, int64_t *ret_incarnation, struct err *e)
{
    struct err why = {0};

    if (decode(body, items, count, ret, ret_incarnation, &why))
        return true;
    return err_set(e, ERR_INTERNAL, "local-svc's answer: %s %s", why.pointer, why.msg);
}
