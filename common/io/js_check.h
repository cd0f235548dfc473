#pragma once

/* js_check: is a text JSON to the letter of RFC 8259?  Private to js and its fuzzer. */

#include <stddef.h>

#include "common/base/err.h"

/*
 * What cJSON keeps of a number's literal; it would take the rest of a longer
 * one for the next token.
 */
#define JS_NUMBER_MAX 63

/*
 * In the type of a cJSON number: its literal had neither fraction nor exponent.
 * cJSON itself only looks at the low byte of the type and two flags above it.
 */
#define JS_INTEGER (1 << 16)

/*
 * Refuses whatever RFC 8259 does not allow, and besides: invalid UTF-8, lone
 * surrogates, U+0000, numbers over JS_NUMBER_MAX characters, nesting over
 * JS_DEPTH_MAX.  Duplicate keys are not its business: they need decoding.
 */
MUST_CHECK bool js_check(const char *text, size_t len, struct err *e);

/* Bytes of the UTF-8 character at the start of s, or 0 if it is not one; size >= 1. */
size_t js_utf8_length(const char *s, size_t size);
