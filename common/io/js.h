#pragma once

/*
 * js: JSON, strictly.
 *
 * Reading: the text is checked first (RFC 8259 to the letter, UTF-8, no
 * duplicate keys, no NUL in strings, bounded depth), then parsed by cJSON,
 * then decoded into a struct by a table of fields.  Integers are exact from
 * -(2^53-1) to 2^53-1; fractions are read as integers of 10^-6 ("ppm").
 * Errors carry a JSON pointer.
 *
 * Writing: straight into a buf, integers exact.
 */

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"

#define JS_DEPTH_MAX 16

static inline cJSON *js_free(cJSON *j)
{
    cJSON_Delete(j);
    return NULL;
}
CLEANUP_DEFINE(js, cJSON, js_free)
#define auto_js CLEANUP(js)

/* ERR_INVALID with the byte offset in the message if it is not strict JSON. */
MUST_CHECK bool js_parse(const char *text, size_t len, cJSON **ret, struct err *e);

enum js_kind {
    JS_I64,    /* an integer literal within [min, max] -> int64_t */
    JS_NAME,   /* a string [A-Za-z0-9._-]{1,64} -> char[NAME_SIZE] */
    JS_TEXT,   /* a string of min to max bytes -> char[max + 1] */
    JS_BOOL,   /* -> bool */
    JS_TIME,   /* RFC 3339 -> int64_t, ms since 1970 */
    JS_PPM,    /* a number 0 to 1 with at most 6 decimals -> int64_t, 0 to 1000000 */
    JS_ENUM,   /* one of the strings in `names` -> int (its index) */
    JS_ARRAY,  /* min to max elements -> const cJSON * (borrowed), decoded by the caller */
    JS_OBJECT, /* -> const cJSON * (borrowed) */
};

struct js_field {
    const char *name;
    enum js_kind kind;
    size_t offset;
    int64_t min, max;
    const char *const *names; /* JS_ENUM, NULL-terminated */
    bool optional;            /* absent: the struct keeps what it holds */
    bool nullable;            /* null is the same as absent */
    size_t given; /* offset + 1 of a bool set to true if the member was there; 0: none */
};

/*
 * Decodes an object into `ret`.  `where` is the pointer of the object itself
 * ("" for the document, "/items/3").  Unknown members, missing ones, wrong
 * types and ranges are ERR_INVALID with a pointer.
 */
MUST_CHECK bool js_decode(const cJSON *object, const char *where, const struct js_field *fields,
                          size_t count, void *ret, struct err *e);

/* As js_decode, but members without a row are passed over: for answers of other services. */
MUST_CHECK bool js_decode_lax(const cJSON *object, const char *where, const struct js_field *fields,
                              size_t count, void *ret, struct err *e);

/* A writer: commas are its business.  NULL key inside arrays and at the top. */
struct js_writer {
    struct buf *out;
    bool comma;
};

void js_object(struct js_writer *w, const char *key);
void js_object_end(struct js_writer *w);
void js_array(struct js_writer *w, const char *key);
void js_array_end(struct js_writer *w);
void js_i64(struct js_writer *w, const char *key, int64_t value);
void js_text(struct js_writer *w, const char *key, const char *value); /* escaped; NULL: null */
void js_bool(struct js_writer *w, const char *key, bool value);
void js_time(struct js_writer *w, const char *key, int64_t ms);
void js_ppm(struct js_writer *w, const char *key, int64_t ppm); /* 100000 -> 0.1 */
void js_null(struct js_writer *w, const char *key);
