#include "services/volumecap-server/watch_wire.h"

#include <stdio.h>

#include "common/base/num.h"
#include "common/domain/cap.h"

#define BOUND_MAX (INT64_C(1) << 50) /* milliseconds: as good as never */

/* clang-format off */
static const struct js_field page_fields[] = {
    {.name = "revision", .kind = JS_I64, .offset = offsetof(struct watch_page, revision),
     .min = 0, .max = UNITS_MAX},
    {.name = "more", .kind = JS_BOOL, .offset = offsetof(struct watch_page, more)},
    {.name = "windows", .kind = JS_ARRAY, .offset = offsetof(struct watch_page, windows),
     .min = 0, .max = WATCH_ROWS_MAX},
};

static const struct js_field row_fields[] = {
    {.name = "cap", .kind = JS_NAME, .offset = offsetof(struct announcement, cap)},
    {.name = "starts_at", .kind = JS_TIME, .offset = offsetof(struct announcement, starts_at_ms)},
    {.name = "ends_at", .kind = JS_TIME, .offset = offsetof(struct announcement, ends_at_ms)},
    {.name = "starts_in_ms", .kind = JS_I64, .offset = offsetof(struct announcement, starts_in_ms),
     .min = -BOUND_MAX, .max = BOUND_MAX},
    {.name = "ends_in_ms", .kind = JS_I64, .offset = offsetof(struct announcement, ends_in_ms),
     .min = -BOUND_MAX, .max = BOUND_MAX},
    {.name = "state", .kind = JS_ENUM, .offset = offsetof(struct announcement, state),
     .names = interval_state_names},
    {.name = "paused", .kind = JS_BOOL, .offset = offsetof(struct announcement, paused)},
    {.name = "total", .kind = JS_I64, .offset = offsetof(struct announcement, total),
     .min = 0, .max = UNITS_MAX},
    {.name = "autonomy_ms", .kind = JS_I64, .offset = offsetof(struct announcement, autonomy_ms),
     .min = 0, .max = CAP_AUTONOMY_MS_MAX},
    {.name = "recall", .kind = JS_BOOL, .offset = offsetof(struct announcement, recall)},
};
/* clang-format on */

bool watch_decode(const struct buf *body, struct watch_page *ret, struct err *e)
{
    auto_js cJSON *json = NULL;

    if (!js_parse(buf_text(body), body->len, &json, e) ||
        !js_decode_lax(json, "", page_fields, sizeof(page_fields) / sizeof(page_fields[0]), ret, e))
        return err_while(e, "the watch's answer");
    ret->json = TAKE(json);
    return true;
}

void watch_page_done(struct watch_page *page)
{
    cJSON_Delete(page->json);
    *page = (struct watch_page){0};
}

bool watch_decode_row(const cJSON *row, size_t index, struct announcement *ret, struct err *e)
{
    char where[32];

    (void)snprintf(where, sizeof(where), "/windows/%zu", index);
    *ret = (struct announcement){0};
    return js_decode_lax(row, where, row_fields, sizeof(row_fields) / sizeof(row_fields[0]), ret,
                         e);
}
