#pragma once

/*
 * span: parts of a JSON text as they stand, so that what local-svc and
 * meta-svc tell each other passes through here unread and unchanged.  The text
 * must have been found to be JSON (js_parse) before.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const char *text;
    size_t len;
};

/* The value of a member of the object; false if it is not there or `json` is no object. */
bool span_member(struct span json, const char *name, struct span *ret);

/* The next element of an array; `*at` starts as 0 and is the function's own. */
bool span_next(struct span array, size_t *at, struct span *ret);

/* The content of a plain string, without escapes, into `ret`; false if it is none or too long. */
bool span_text(struct span json, char *ret, size_t size);

/* A whole number from 0 to 2^53-1. */
bool span_i64(struct span json, int64_t *ret);

/* Both at once: a member of an object. */
bool span_member_text(struct span json, const char *name, char *ret, size_t size);
bool span_member_i64(struct span json, const char *name, int64_t *ret);
