#pragma once

/*
 * fields: the rows of a definition for js_decode.  FIELD_AT(member) is the
 * offset of a member of struct cap in the struct that is decoded.
 */

#include "common/domain/cap.h"
#include "common/io/js.h"

/* clang-format off */
#define META_DEFINITION_FIELDS(FIELD_AT)                                                           \
    {.name = "starts_at", .kind = JS_TIME, .offset = FIELD_AT(starts_at_ms)},                      \
    {.name = "ends_at", .kind = JS_TIME, .offset = FIELD_AT(ends_at_ms)},                          \
    {.name = "interval", .kind = JS_ENUM, .offset = FIELD_AT(interval),                            \
     .names = cap_interval_names},                                                                 \
    {.name = "total", .kind = JS_I64, .offset = FIELD_AT(total), .max = UNITS_MAX},                \
    {.name = "initial_total", .kind = JS_I64, .offset = FIELD_AT(initial_total),                   \
     .max = UNITS_MAX, .optional = true, .nullable = true},                                        \
    {.name = "time_zone", .kind = JS_TEXT, .offset = FIELD_AT(time_zone), .min = 1,                \
     .max = CAP_TIME_ZONE_SIZE - 1, .optional = true},                                             \
    {.name = "topup_fraction", .kind = JS_PPM, .offset = FIELD_AT(topup_ppm), .optional = true},   \
    {.name = "slice_max_fraction", .kind = JS_PPM, .offset = FIELD_AT(slice_max_ppm),              \
     .optional = true},                                                                            \
    {.name = "autonomy_ms", .kind = JS_I64, .offset = FIELD_AT(autonomy_ms),                       \
     .max = CAP_AUTONOMY_MS_MAX, .optional = true},                                                \
    {.name = "paused", .kind = JS_BOOL, .offset = FIELD_AT(paused), .optional = true}
/* clang-format on */
