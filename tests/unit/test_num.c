#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "common/base/num.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct mul_div_row {
    const char *name;
    int64_t a, num, den, result;
} mul_div_rows[] = {
    {"rounds down", 10, 2, 3, 6},
    {"a whole is itself", UNITS_MAX, 7, 7, UNITS_MAX},
    {"nothing of anything is nothing", UNITS_MAX, 0, 1, 0},
    {"the product may be larger than 64 bits", UNITS_MAX, UNITS_MAX - 1, UNITS_MAX, UNITS_MAX - 1},
    {"the largest integers survive", INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
};

Test(num, mul_div_is_exact)
{
    for (size_t i = 0; i < COUNT(mul_div_rows); i++) {
        const struct mul_div_row *r = &mul_div_rows[i];
        cr_expect(mul_div(r->a, r->num, r->den) == r->result, "%s", r->name);
    }
}

Test(num, mul_div_refuses_to_overflow, .signal = SIGABRT)
{
    (void)mul_div(INT64_MAX, 2, 1);
}

Test(num, mul_div_refuses_to_divide_by_nothing, .signal = SIGABRT)
{
    (void)mul_div(1, 1, 0);
}

Test(num, div_ceil_rounds_up)
{
    cr_expect(div_ceil(0, 3) == 0);
    cr_expect(div_ceil(1, 3) == 1);
    cr_expect(div_ceil(3, 3) == 1);
    cr_expect(div_ceil(UNITS_MAX, 2) == UNITS_MAX / 2 + 1);
}

static const struct parse_row {
    const char *name, *text;
    int64_t min, max;
    bool ok;
    int64_t value;
} parse_rows[] = {
    {"digits are a number", "42", 0, 100, true, 42},
    {"the minimum is allowed", "5", 5, 6, true, 5},
    {"below the minimum is refused", "4", 5, 6, false, 0},
    {"the maximum is allowed", "6", 5, 6, true, 6},
    {"above the maximum is refused", "7", 5, 6, false, 0},
    {"the largest amount is exact", "9007199254740991", 0, UNITS_MAX, true, UNITS_MAX},
    {"one more is refused", "9007199254740992", 0, UNITS_MAX, false, 0},
    {"the largest integer is exact", "9223372036854775807", 0, INT64_MAX, true, INT64_MAX},
    {"one more overflows and is refused", "9223372036854775808", 0, INT64_MAX, false, 0},
    {"the smallest integer is exact", "-9223372036854775808", INT64_MIN, 0, true, INT64_MIN},
    {"one less overflows and is refused", "-9223372036854775809", INT64_MIN, 0, false, 0},
    {"a sign where none can be is refused", "-0", 0, 9, false, 0},
    {"a plus is refused", "+1", -9, 9, false, 0},
    {"a minus alone is refused", "-", -9, 9, false, 0},
    {"nothing is refused", "", 0, 9, false, 0},
    {"a space in front is refused", " 1", 0, 9, false, 0},
    {"a space behind is refused", "1 ", 0, 9, false, 0},
    {"hexadecimal is refused", "0x1", 0, 9, false, 0},
    {"a fraction is refused", "1.0", 0, 9, false, 0},
};

Test(num, parse_takes_decimal_digits_within_bounds)
{
    for (size_t i = 0; i < COUNT(parse_rows); i++) {
        const struct parse_row *r = &parse_rows[i];
        int64_t value = -77;
        struct err e;
        cr_expect(num_parse_i64(r->text, r->min, r->max, &value, &e) == r->ok, "%s", r->name);
        cr_expect(value == (r->ok ? r->value : -77), "%s", r->name);
    }
}

static const struct time_row {
    const char *name, *text;
    bool ok;
    int64_t ms;
    const char *written;
} time_rows[] = {
    {"the epoch is 0", "1970-01-01T00:00:00Z", true, 0, "1970-01-01T00:00:00Z"},
    {"milliseconds count", "1970-01-01T00:00:00.007Z", true, 7, "1970-01-01T00:00:00.007Z"},
    {"one digit is tenths", "1970-01-01T00:00:00.5Z", true, 500, "1970-01-01T00:00:00.500Z"},
    {"before the epoch is negative", "1969-12-31T23:59:59.999Z", true, -1,
     "1969-12-31T23:59:59.999Z"},
    {"an offset is taken off", "2026-11-20T02:00:00+02:00", true, 1795132800000,
     "2026-11-20T00:00:00Z"},
    {"a western offset is added", "2026-11-19T18:30:00-05:30", true, 1795132800000,
     "2026-11-20T00:00:00Z"},
    {"small letters are RFC 3339 too", "2026-11-20t00:00:00z", true, 1795132800000,
     "2026-11-20T00:00:00Z"},
    {"a leap day is a day", "2028-02-29T00:00:00Z", true, 1835395200000, "2028-02-29T00:00:00Z"},
    {"year 1 is the first", "0001-01-01T00:00:00Z", true, -62135596800000, "0001-01-01T00:00:00Z"},
    {"year 9999 is the last", "9999-12-31T23:59:59.999Z", true, 253402300799999,
     "9999-12-31T23:59:59.999Z"},
    {"year 0 is refused", "0000-01-01T00:00:00Z", false, 0, NULL},
    {"an offset into year 0 is refused", "0001-01-01T00:00:00+00:01", false, 0, NULL},
    {"an offset into year 10000 is refused", "9999-12-31T23:59:59-00:01", false, 0, NULL},
    {"29 February of other years is refused", "2026-02-29T00:00:00Z", false, 0, NULL},
    {"31 April is refused", "2026-04-31T00:00:00Z", false, 0, NULL},
    {"month 13 is refused", "2026-13-01T00:00:00Z", false, 0, NULL},
    {"hour 24 is refused", "2026-01-01T24:00:00Z", false, 0, NULL},
    {"a leap second is refused", "2016-12-31T23:59:60Z", false, 0, NULL},
    {"no offset is refused", "2026-01-01T00:00:00", false, 0, NULL},
    {"a space instead of T is refused", "2026-01-01 00:00:00Z", false, 0, NULL},
    {"four digits of fraction are refused", "2026-01-01T00:00:00.1234Z", false, 0, NULL},
    {"an empty fraction is refused", "2026-01-01T00:00:00.Z", false, 0, NULL},
    {"an offset without colon is refused", "2026-01-01T00:00:00+0200", false, 0, NULL},
    {"an offset of a day is refused", "2026-01-01T00:00:00+24:00", false, 0, NULL},
    {"anything behind is refused", "2026-01-01T00:00:00Z ", false, 0, NULL},
    {"a date alone is refused", "2026-01-01", false, 0, NULL},
    {"nothing is refused", "", false, 0, NULL},
};

Test(num, times_are_rfc_3339_and_come_back_in_utc)
{
    for (size_t i = 0; i < COUNT(time_rows); i++) {
        const struct time_row *r = &time_rows[i];
        char text[TIME_TEXT_SIZE];
        int64_t ms = -77;
        struct err e;
        cr_expect(time_parse(r->text, &ms, &e) == r->ok, "%s", r->name);
        if (!r->ok)
            continue;
        cr_expect(ms == r->ms, "%s: %lld", r->name, (long long)ms);
        time_format(ms, text);
        cr_expect_str_eq(text, r->written, "%s: %s", r->name, text);
    }
}

Test(num, a_time_beyond_four_digits_of_year_is_written_as_the_nearest_one)
{
    char text[TIME_TEXT_SIZE];

    time_format(INT64_MAX, text);
    cr_expect_str_eq(text, "9999-12-31T23:59:59.999Z");
    time_format(INT64_MIN, text);
    cr_expect_str_eq(text, "0001-01-01T00:00:00Z");
}

Test(num, names_are_1_to_64_safe_characters)
{
    char name[66];

    memset(name, 'a', sizeof(name));
    name[65] = '\0';
    cr_expect_not(name_is_valid(name), "65 are too many");
    name[64] = '\0';
    cr_expect(name_is_valid(name), "64 are allowed");

    cr_expect(name_is_valid("Az09._-"));
    cr_expect_not(name_is_valid(""));
    cr_expect_not(name_is_valid("a b"));
    cr_expect_not(name_is_valid("a/b"));
    cr_expect_not(name_is_valid("a\n"));
    cr_expect_not(name_is_valid("\xc3\xa9"));
}

Test(num, who_is_no_name_is_told_the_rule)
{
    struct err e = {.msg = ""};

    cr_expect(name_check("the id", "a", &e));
    cr_expect_not(name_check("the id", "a b", &e));
    cr_expect(e.kind == ERR_INVALID);
    cr_expect_str_eq(e.msg, "the id must be 1 to 64 characters of A-Z a-z 0-9 . _ -");
}

Test(num, hash_text_is_fnv_1a)
{
    cr_expect(hash_text("") == UINT64_C(0xcbf29ce484222325));
    cr_expect(hash_text("a") == UINT64_C(0xaf63dc4c8601ec8c));
    cr_expect(hash_text("foobar") == UINT64_C(0x85944171f73967e8));
}
