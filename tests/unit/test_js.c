#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"
#include "common/io/js.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct text_row {
    const char *name, *text;
} good[] = {
    {"an empty object", "{}"},
    {"an empty array", "[]"},
    {"space anywhere", " \t\r\n{ \"a\" : [ 1 , 2 ] } \n"},
    {"a number alone", "12"},
    {"a string alone", "\"x\""},
    {"the three words", "[true,false,null]"},
    {"zero", "[0,-0,0.5,-0.0]"},
    {"exponents", "[1e3,1E+3,1.5e-3]"},
    {"every escape", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\""},
    {"a pair of surrogates", "\"\\ud83d\\ude00\""},
    {"UTF-8 of 2, 3 and 4 bytes", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {"the last character of Unicode", "\"\xf4\x8f\xbf\xbf\""},
    {"DEL, which is no control character in JSON", "\"\x7f\""},
    {"16 levels", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"},
    {"the same name in different objects", "{\"a\":{\"a\":1},\"b\":{\"a\":1}}"},
    {"names that differ in case", "{\"a\":1,\"A\":2}"},
    {"a number of 63 characters",
     "123456789012345678901234567890123456789012345678901234567890123"},
};

Test(js, accepts_all_of_rfc_8259)
{
    for (size_t i = 0; i < COUNT(good); i++) {
        auto_js cJSON *j = NULL;
        struct err e = {.msg = ""};
        cr_expect(js_parse(good[i].text, strlen(good[i].text), &j, &e), "%s: %s", good[i].name,
                  e.msg);
        cr_expect(j != NULL, "%s", good[i].name);
    }
}

static const struct text_row bad[] = {
    {"nothing", ""},
    {"only space", "  "},
    {"trailing garbage", "{} x"},
    {"two documents", "{}{}"},
    {"a byte order mark", "\xef\xbb\xbf{}"},
    {"a number with a leading zero", "[01]"},
    {"a negative number with a leading zero", "[-01]"},
    {"a point without digits behind", "[1.]"},
    {"a point without digits before", "[.5]"},
    {"a plus", "[+1]"},
    {"a minus alone", "[-]"},
    {"an exponent without digits", "[1e]"},
    {"an exponent with a sign only", "[1e+]"},
    {"hexadecimal", "[0x10]"},
    {"not a number", "[NaN]"},
    {"infinity", "[Infinity]"},
    {"a number of 64 characters",
     "1234567890123456789012345678901234567890123456789012345678901234"},
    {"a comma before the end of an array", "[1,]"},
    {"a comma before the end of an object", "{\"a\":1,}"},
    {"a missing comma", "[1 2]"},
    {"a missing colon", "{\"a\" 1}"},
    {"a missing value", "{\"a\":}"},
    {"a name without quotes", "{a:1}"},
    {"single quotes", "{'a':1}"},
    {"a comment", "{}/**/"},
    {"an array that does not end", "[1"},
    {"an object that does not end", "{\"a\":1"},
    {"a string that does not end", "\"abc"},
    {"a string that ends in a backslash", "\"abc\\"},
    {"brackets that do not match", "[1}"},
    {"a word cut short", "[tru]"},
    {"a word in capitals", "[TRUE]"},
    {"a newline in a string", "\"a\nb\""},
    {"a tab in a string", "\"a\tb\""},
    {"an unknown escape", "\"\\x41\""},
    {"an escape that is cut", "\"\\u00e\""},
    {"the escape of NUL", "\"\\u0000\""},
    {"the escape of NUL in a name", "{\"a\\u0000b\":1}"},
    {"the first half of a surrogate pair", "\"\\ud83d\""},
    {"the first half and something else", "\"\\ud83dx\""},
    {"the first half twice", "\"\\ud83d\\ud83d\""},
    {"the second half of a surrogate pair", "\"\\ude00\""},
    {"a byte that is not UTF-8", "\"\xff\""},
    {"a continuation byte alone", "\"\x80\""},
    {"UTF-8 that is cut", "\"\xc3\""},
    {"UTF-8 in too many bytes", "\"\xc0\xaf\""},
    {"UTF-8 in too many bytes, of 3", "\"\xe0\x80\xaf\""},
    {"UTF-8 in too many bytes, of 4", "\"\xf0\x80\x80\xaf\""},
    {"a surrogate in UTF-8", "\"\xed\xa0\x80\""},
    {"UTF-8 beyond Unicode", "\"\xf4\x90\x80\x80\""},
    {"UTF-8 of 5 bytes", "\"\xf8\x88\x80\x80\x80\""},
    {"17 levels", "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"},
    {"a name that is there twice", "{\"a\":1,\"b\":2,\"a\":3}"},
    {"a name twice, once escaped", "{\"a\":1,\"\\u0061\":3}"},
    {"a name twice, deep inside", "[{\"x\":{\"a\":1,\"a\":3}}]"},
};

Test(js, refuses_everything_else)
{
    for (size_t i = 0; i < COUNT(bad); i++) {
        auto_js cJSON *j = NULL;
        struct err e = {.msg = ""};
        cr_expect_not(js_parse(bad[i].text, strlen(bad[i].text), &j, &e), "%s", bad[i].name);
        cr_expect(e.kind == ERR_INVALID, "%s", bad[i].name);
        cr_expect(strncmp(e.msg, "not valid JSON", 14) == 0, "%s: %s", bad[i].name, e.msg);
        cr_expect(j == NULL, "%s", bad[i].name);
    }
}

/* From the heap and to the byte, so that AddressSanitizer sees a read too far. */
Test(js, never_reads_behind_the_given_length)
{
    static const char text[] = "{\"a\":[12,-3.5e1,\"\\u00e9\xc3\xa9\",true,null,false],\"b\":0}";

    for (size_t len = 0; len < sizeof(text); len++) {
        auto_js cJSON *j = NULL;
        auto_free char *copy = malloc(len > 0 ? len : 1);
        struct err e;
        memcpy(copy, text, len);
        cr_expect(js_parse(copy, len, &j, &e) == (len == sizeof(text) - 1), "%zu bytes", len);
    }
}

Test(js, a_number_may_be_the_last_byte)
{
    for (size_t len = 1; len <= 5; len++) {
        auto_js cJSON *j = NULL;
        auto_free char *copy = malloc(len);
        struct err e;
        memcpy(copy, "12345", len);
        cr_expect(js_parse(copy, len, &j, &e), "%zu bytes", len);
    }
}

Test(js, a_nul_byte_is_refused_wherever_it_is)
{
    static const char texts[][4] = {
        {'[', '1', '\0', ']'}, {'"', '\0', 'a', '"'}, {'[', ']', '\0', ' '}};

    for (size_t i = 0; i < COUNT(texts); i++) {
        auto_js cJSON *j = NULL;
        struct err e;
        cr_expect_not(js_parse(texts[i], 4, &j, &e), "%zu", i);
    }
}

Test(js, says_where_the_text_is_wrong)
{
    auto_js cJSON *j = NULL;
    struct err e;

    cr_assert_not(js_parse("{\"a\":01}", 8, &j, &e));
    cr_expect_str_eq(e.msg, "not valid JSON at byte 6: a comma or } is expected");
}

Test(js, many_members_are_checked_for_duplicates_in_time)
{
    auto_buf struct buf text = BUF_INIT(0);
    auto_js cJSON *j = NULL;
    struct err e;

    buf_str(&text, "{\"x\":0");
    for (int i = 0; i < 100000; i++)
        buf_printf(&text, ",\"k%d\":%d", i, i);
    buf_str(&text, ",\"x\":1}");
    cr_expect_not(js_parse(text.data, text.len, &j, &e));
    cr_expect_str_eq(e.msg, "not valid JSON: \"x\" is there twice");
}

struct thing {
    int64_t amount;
    int64_t at_ms;
    int64_t ppm;
    char id[NAME_SIZE];
    char text[6];
    bool flag;
    bool text_given;
    int mode;
    const cJSON *list;
    const cJSON *object;
};

static const char *const modes[] = {"all", "best_effort", "check", NULL};

/* clang-format off */
static const struct js_field fields[] = {
    {.name = "amount", .kind = JS_I64, .offset = offsetof(struct thing, amount),
     .min = 1, .max = UNITS_MAX},
    {.name = "at", .kind = JS_TIME, .offset = offsetof(struct thing, at_ms), .optional = true},
    {.name = "share", .kind = JS_PPM, .offset = offsetof(struct thing, ppm), .optional = true},
    {.name = "id", .kind = JS_NAME, .offset = offsetof(struct thing, id), .optional = true},
    {.name = "text", .kind = JS_TEXT, .offset = offsetof(struct thing, text), .min = 2, .max = 5,
     .optional = true, .nullable = true, .given = offsetof(struct thing, text_given) + 1},
    {.name = "flag", .kind = JS_BOOL, .offset = offsetof(struct thing, flag), .optional = true},
    {.name = "mode", .kind = JS_ENUM, .offset = offsetof(struct thing, mode), .names = modes,
     .optional = true},
    {.name = "list", .kind = JS_ARRAY, .offset = offsetof(struct thing, list), .min = 1, .max = 2,
     .optional = true},
    {.name = "a/b~c", .kind = JS_OBJECT, .offset = offsetof(struct thing, object),
     .optional = true},
};
/* clang-format on */

static bool decode(const char *text, struct thing *ret, struct err *e)
{
    auto_js cJSON *j = NULL;

    return js_parse(text, strlen(text), &j, e) &&
           js_decode(j, "/items/3", fields, COUNT(fields), ret, e);
}

Test(js, an_object_fills_its_struct)
{
    static const char text[] =
        "{\"amount\":9007199254740991,\"at\":\"1970-01-01T00:00:01Z\",\"share\":0.1,\"id\":\"a-1\","
        "\"text\":\"12345\",\"flag\":true,\"mode\":\"check\",\"list\":[1],\"a/b~c\":{\"x\":2}}";
    auto_js cJSON *j = NULL;
    struct thing t = {0};
    struct err e = {.msg = ""};

    cr_assert(js_parse(text, strlen(text), &j, &e), "%s", e.msg);
    cr_assert(js_decode(j, "", fields, COUNT(fields), &t, &e), "%s at %s", e.msg, e.pointer);
    cr_expect(t.amount == UNITS_MAX && t.at_ms == 1000 && t.ppm == 100000);
    cr_expect_str_eq(t.id, "a-1");
    cr_expect_str_eq(t.text, "12345");
    cr_expect(t.flag && t.mode == 2 && t.text_given);
    cr_expect(cJSON_GetArraySize(t.list) == 1);
    cr_expect(cJSON_GetObjectItemCaseSensitive(t.object, "x") != NULL);
}

Test(js, an_optional_member_that_is_absent_or_null_changes_nothing)
{
    static const char *const texts[] = {"{\"amount\":1}", "{\"amount\":1,\"text\":null}"};

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct thing t = {.text = "old", .mode = 1};
        struct err e = {.msg = ""};
        cr_assert(decode(texts[i], &t, &e), "%s", e.msg);
        cr_expect_str_eq(t.text, "old");
        cr_expect(!t.text_given && t.mode == 1);
    }
}

static const struct integer_row {
    const char *name, *literal;
    bool ok;
    int64_t value;
} integers[] = {
    {"the smallest", "1", true, 1},
    {"the largest", "9007199254740991", true, UNITS_MAX},
    {"one that cJSON prints wrongly", "4503599627370499", true, 4503599627370499},
    {"one beyond 32 bits", "4294967297", true, 4294967297},
    {"one too small", "0", false, 0},
    {"minus zero", "-0", false, 0},
    {"one too large", "9007199254740992", false, 0},
    {"one that a double cannot hold", "9007199254740993", false, 0},
    {"one beyond 64 bits", "18446744073709551617", false, 0},
    {"infinity by exponent", "1e999", false, 0},
    {"a fraction of nothing", "1.0", false, 0},
    {"an exponent", "1e3", false, 0},
    {"an exponent in capitals", "1E3", false, 0},
    {"an exponent of 0", "1e0", false, 0},
    {"a string", "\"1\"", false, 0},
    {"true", "true", false, 0},
    {"null", "null", false, 0},
};

Test(js, integers_are_exact_and_written_as_integers)
{
    for (size_t i = 0; i < COUNT(integers); i++) {
        const struct integer_row *r = &integers[i];
        struct thing t = {.amount = -77};
        struct err e = {.msg = ""};
        char text[100];
        /* What comes before must not confuse the mark of the literal. */
        (void)snprintf(text, sizeof(text), "{\"text\":\"\\\"5.5\",\"share\":0.5,\"amount\":%s}",
                       r->literal);
        cr_expect(decode(text, &t, &e) == r->ok, "%s: %s", r->name, e.msg);
        cr_expect(t.amount == (r->ok ? r->value : -77), "%s", r->name);
        if (!r->ok)
            cr_expect_str_eq(e.pointer, "/items/3/amount", "%s", r->name);
    }
}

static const struct ppm_row {
    const char *literal;
    int64_t ppm; /* -1: refused */
} ppms[] = {
    {"0", 0},
    {"1", 1000000},
    {"0.000001", 1},
    {"1e-05", 10},
    {"0.999999", 999999},
    {"0.1", 100000},
    {"0.300000", 300000},
    {"1.0", 1000000},
    {"0.0000001", -1},
    {"0.1234567", -1},
    {"1.000001", -1},
    {"-0.1", -1},
    {"2", -1},
    {"1e999", -1},
    {"\"0.1\"", -1},
};

Test(js, fractions_are_exact_to_6_decimals)
{
    for (size_t i = 0; i < COUNT(ppms); i++) {
        struct thing t = {.ppm = -1};
        struct err e = {.msg = ""};
        char text[60];
        (void)snprintf(text, sizeof(text), "{\"amount\":1,\"share\":%s}", ppms[i].literal);
        cr_expect(decode(text, &t, &e) == (ppms[i].ppm >= 0), "%s: %s", ppms[i].literal, e.msg);
        cr_expect(t.ppm == ppms[i].ppm, "%s", ppms[i].literal);
    }
}

Test(js, every_fraction_of_6_decimals_is_read_as_itself)
{
    for (int64_t ppm = 0; ppm <= 1000000; ppm += 997) {
        struct thing t = {.ppm = -1};
        struct err e = {.msg = ""};
        char text[60];
        (void)snprintf(text, sizeof(text), "{\"amount\":1,\"share\":%lld.%06lld}",
                       (long long)(ppm / 1000000), (long long)(ppm % 1000000));
        cr_assert(decode(text, &t, &e), "%s: %s", text, e.msg);
        cr_assert(t.ppm == ppm, "%s", text);
    }
}

static const struct refusal_row {
    const char *name, *text, *pointer, *msg;
} refusals[] = {
    {"a member that is missing", "{}", "/items/3/amount", "is required"},
    {"a member that is null", "{\"amount\":null}", "/items/3/amount",
     "must be an integer from 1 to 9007199254740991"},
    {"a member that nobody knows", "{\"amount\":1,\"x\":2}", "/items/3/x", "is not a known member"},
    {"a name in other case", "{\"Amount\":1}", "/items/3/Amount", "is not a known member"},
    {"a name that a pointer must escape", "{\"~/\":1}", "/items/3/~0~1", "is not a known member"},
    {"a row whose name must be escaped", "{\"amount\":1,\"a/b~c\":1}", "/items/3/a~1b~0c",
     "must be an object"},
    {"not an object", "[1]", "/items/3", "must be an object"},
    {"a time that is none", "{\"amount\":1,\"at\":\"now\"}", "/items/3/at",
     "not an RFC 3339 time: now"},
    {"a time that is a number", "{\"amount\":1,\"at\":5}", "/items/3/at",
     "must be a string, a time of RFC 3339"},
    {"a bad character in an id", "{\"amount\":1,\"id\":\"a b\"}", "/items/3/id",
     "must be 1 to 64 characters of A-Z a-z 0-9 . _ -"},
    {"a text too short", "{\"amount\":1,\"text\":\"1\"}", "/items/3/text",
     "must be a string of 2 to 5 bytes"},
    {"a text too long", "{\"amount\":1,\"text\":\"123456\"}", "/items/3/text",
     "must be a string of 2 to 5 bytes"},
    {"1 for true", "{\"amount\":1,\"flag\":1}", "/items/3/flag", "must be true or false"},
    {"an unknown word", "{\"amount\":1,\"mode\":\"some\"}", "/items/3/mode",
     "must be one of: all best_effort check"},
    {"an array too short", "{\"amount\":1,\"list\":[]}", "/items/3/list",
     "must be an array of 1 to 2 elements"},
    {"an array too long", "{\"amount\":1,\"list\":[1,2,3]}", "/items/3/list",
     "must be an array of 1 to 2 elements"},
    {"an object for an array", "{\"amount\":1,\"list\":{}}", "/items/3/list",
     "must be an array of 1 to 2 elements"},
};

Test(js, a_refusal_points_at_the_member)
{
    for (size_t i = 0; i < COUNT(refusals); i++) {
        const struct refusal_row *r = &refusals[i];
        struct thing t = {0};
        struct err e = {.msg = ""};
        cr_expect_not(decode(r->text, &t, &e), "%s", r->name);
        cr_expect(e.kind == ERR_INVALID, "%s", r->name);
        cr_expect_str_eq(e.pointer, r->pointer, "%s: %s", r->name, e.pointer);
        cr_expect_str_eq(e.msg, r->msg, "%s: %s", r->name, e.msg);
    }
}

Test(js, a_pointer_too_long_is_cut_and_no_more)
{
    auto_buf struct buf text = BUF_INIT(0);
    struct thing t = {0};
    struct err e;

    buf_str(&text, "{\"");
    for (int i = 0; i < 300; i++)
        buf_str(&text, "/");
    buf_str(&text, "\":1}");
    cr_assert_not(decode(buf_text(&text), &t, &e));
    cr_expect(strlen(e.pointer) < sizeof(e.pointer));
    cr_expect(strncmp(e.pointer, "/items/3/~1~1", 13) == 0);
}

Test(js, a_lax_decode_passes_over_unknown_members_only)
{
    static const char text[] = "{\"amount\":3,\"new\":[]}";
    auto_js cJSON *j = NULL;
    struct thing t = {0};
    struct err e = {.msg = ""};

    cr_assert(js_parse(text, strlen(text), &j, &e), "%s", e.msg);
    cr_assert(js_decode_lax(j, "", fields, COUNT(fields), &t, &e), "%s", e.msg);
    cr_expect(t.amount == 3);
    cr_expect_not(js_decode_lax(NULL, "", fields, COUNT(fields), &t, &e));
}

Test(js, the_writer_puts_commas_where_they_belong)
{
    auto_buf struct buf out = BUF_INIT(0);
    struct js_writer w = {.out = &out};

    js_object(&w, NULL);
    js_i64(&w, "a", 1);
    js_array(&w, "b");
    js_i64(&w, NULL, 2);
    js_object(&w, NULL);
    js_object_end(&w);
    js_array(&w, NULL);
    js_array_end(&w);
    js_array_end(&w);
    js_object(&w, "c");
    js_bool(&w, "d", true);
    js_bool(&w, "e", false);
    js_null(&w, "f");
    js_text(&w, "g", NULL);
    js_time(&w, "h", 0);
    js_object_end(&w);
    js_object_end(&w);
    cr_expect_str_eq(buf_text(&out), "{\"a\":1,\"b\":[2,{},[]],\"c\":{\"d\":true,\"e\":false,"
                                     "\"f\":null,\"g\":null,\"h\":\"1970-01-01T00:00:00Z\"}}");
}

Test(js, integers_written_are_read_back_exactly)
{
    static const int64_t values[] = {0,         1,         -1, 4503599627370499, 1000000000000000,
                                     UNITS_MAX, -UNITS_MAX};
    static const struct js_field field = {
        .name = "n", .kind = JS_I64, .min = INT64_MIN, .max = INT64_MAX};

    for (size_t i = 0; i < COUNT(values); i++) {
        auto_buf struct buf out = BUF_INIT(0);
        auto_js cJSON *j = NULL;
        struct js_writer w = {.out = &out};
        int64_t back = -77;
        struct err e = {.msg = ""};
        js_object(&w, NULL);
        js_i64(&w, "n", values[i]);
        js_object_end(&w);
        cr_assert(js_parse(out.data, out.len, &j, &e), "%s", e.msg);
        cr_assert(js_decode(j, "", &field, 1, &back, &e), "%s", e.msg);
        cr_expect(back == values[i], "%s", buf_text(&out));
    }
}

static const struct string_row {
    const char *name, *value, *written;
} strings[] = {
    {"plain", "abc/", "\"abc/\""},
    {"nothing", "", "\"\""},
    {"quotes and backslashes", "\"\\", "\"\\\"\\\\\""},
    {"control characters", "\b\f\n\r\t\x01\x1f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\""},
    {"UTF-8", "a\xc3\xa9\xf0\x9f\x98\x80", "\"a\xc3\xa9\xf0\x9f\x98\x80\""},
    {"bytes that are not UTF-8", "a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\""},
};

Test(js, strings_are_escaped_and_always_utf_8)
{
    for (size_t i = 0; i < COUNT(strings); i++) {
        auto_buf struct buf out = BUF_INIT(0);
        auto_js cJSON *j = NULL;
        struct js_writer w = {.out = &out};
        struct err e = {.msg = ""};
        js_text(&w, NULL, strings[i].value);
        cr_expect_str_eq(buf_text(&out), strings[i].written, "%s", strings[i].name);
        cr_expect(js_parse(out.data, out.len, &j, &e), "%s: %s", strings[i].name, e.msg);
    }
}

Test(js, fractions_are_written_without_idle_zeros)
{
    static const struct {
        int64_t ppm;
        const char *written;
    } rows[] = {{0, "0"},        {1, "0.000001"}, {100000, "0.1"}, {123456, "0.123456"},
                {50000, "0.05"}, {1000000, "1"}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        auto_buf struct buf out = BUF_INIT(0);
        struct js_writer w = {.out = &out};
        js_ppm(&w, NULL, rows[i].ppm);
        cr_expect_str_eq(buf_text(&out), rows[i].written);
    }
}
