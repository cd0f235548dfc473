#pragma once

/* num: exact integers, and RFC 3339 times as milliseconds since 1970. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/* Amounts of units are integers from 0 to 2^53-1: exact in JSON and in a double. */
#define UNITS_MAX INT64_C(9007199254740991)

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* a in [0, UNITS_MAX], b in [1, UNITS_MAX]; rounds up. */
static inline int64_t div_ceil(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

/* a * num / den, rounded down, without overflow; all >= 0, den >= 1, num <= den or the result
 * must fit (CHECKed). */
int64_t mul_div(int64_t a, int64_t num, int64_t den);

/* Decimal digits only (and a leading '-' if min < 0), no spaces, within [min, max]. */
MUST_CHECK bool num_parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret,
                              struct err *e);

/*
 * RFC 3339 with offset or Z, 0 to 3 digits of fraction, years 0001 to 9999;
 * written in UTC with "Z", with ".mmm" only if there are milliseconds.  A time
 * outside those years is written as the nearest one inside.
 */
#define TIME_TEXT_SIZE 32
MUST_CHECK bool time_parse(const char *text, int64_t *ret_ms, struct err *e);
void time_format(int64_t ms, char ret[TIME_TEXT_SIZE]);

/* Names of caps, servers, data centres and the like. */
#define NAME_SIZE 65
#define NAME_RULE "1 to 64 characters of A-Z a-z 0-9 . _ -"
bool name_is_valid(const char *text);

/* ERR_INVALID, with `what` in front, unless it is a name. */
MUST_CHECK bool name_check(const char *what, const char *text, struct err *e);

/* 64 bits of FNV-1a, for spreading keys over shards; never for security. */
uint64_t hash_text(const char *text);
