#include "common/io/js_check.h"

#include <string.h>

#include "common/io/js.h"

struct cursor {
    const char *text;
    size_t len;
    size_t at;
    int depth;
    const char *wrong; /* what was expected at `at` */
};

static bool check_value(struct cursor *c);

static bool fail(struct cursor *c, const char *wrong)
{
    c->wrong = wrong;
    return false;
}

/* NUL stands for the end: it is not allowed anywhere in JSON either. */
static char peek(const struct cursor *c)
{
    return c->at < c->len ? c->text[c->at] : '\0';
}

static bool take(struct cursor *c, char wanted)
{
    if (c->at >= c->len || c->text[c->at] != wanted)
        return false;
    c->at++;
    return true;
}

static void skip_space(struct cursor *c)
{
    while (peek(c) != '\0' && strchr(" \t\n\r", peek(c)) != NULL)
        c->at++;
}

static size_t take_digits(struct cursor *c)
{
    size_t start = c->at;

    while (peek(c) >= '0' && peek(c) <= '9')
        c->at++;
    return c->at - start;
}

static bool check_word(struct cursor *c, const char *word)
{
    size_t len = strlen(word);

    if (c->len - c->at < len || memcmp(c->text + c->at, word, len) != 0)
        return fail(c, "not a JSON value");
    c->at += len;
    return true;
}

static bool check_number(struct cursor *c)
{
    size_t start = c->at;

    (void)take(c, '-');
    if (!take(c, '0') && take_digits(c) == 0)
        return fail(c, "not a JSON value");
    if (take(c, '.') && take_digits(c) == 0)
        return fail(c, "a digit is missing after the decimal point");
    if (take(c, 'e') || take(c, 'E')) {
        if (!take(c, '+'))
            (void)take(c, '-');
        if (take_digits(c) == 0)
            return fail(c, "a digit is missing in the exponent");
    }
    return c->at - start <= JS_NUMBER_MAX || fail(c, "a number is too long");
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The XXXX of \uXXXX, or -1. */
static int take_hex4(struct cursor *c)
{
    int code = 0;

    for (int i = 0; i < 4; i++, c->at++) {
        int digit = hex_digit(peek(c));
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* Behind "\u". */
static bool check_unicode_escape(struct cursor *c)
{
    int code = take_hex4(c);

    if (code < 0)
        return fail(c, "four hexadecimal digits are missing after \\u");
    if (code == 0)
        return fail(c, "\\u0000 is not accepted");
    if (code < 0xd800 || code > 0xdfff)
        return true;
    if (code > 0xdbff || !take(c, '\\') || !take(c, 'u'))
        return fail(c, "half of a surrogate pair");
    code = take_hex4(c);
    return (code >= 0xdc00 && code <= 0xdfff) || fail(c, "half of a surrogate pair");
}

static bool check_escape(struct cursor *c)
{
    if (take(c, 'u'))
        return check_unicode_escape(c);
    if (peek(c) == '\0' || strchr("\"\\/bfnrt", peek(c)) == NULL)
        return fail(c, "an unknown escape");
    c->at++;
    return true;
}

size_t js_utf8_length(const char *s, size_t size)
{
    const unsigned char *b = (const unsigned char *)s;
    size_t len = b[0] < 0x80 ? 1 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;

    if (len == 1)
        return 1;
    if (b[0] < 0xc2 || b[0] > 0xf4 || size < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    /* Not in the shortest form; a surrogate; beyond U+10FFFF. */
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
        (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
        return 0;
    return len;
}

static bool check_character(struct cursor *c)
{
    size_t len = js_utf8_length(c->text + c->at, c->len - c->at);

    if (len == 0)
        return fail(c, "not UTF-8");
    if ((unsigned char)peek(c) < 0x20)
        return fail(c, "a control character in a string must be escaped");
    c->at += len;
    return true;
}

static bool check_string(struct cursor *c)
{
    if (!take(c, '"'))
        return fail(c, "a string is expected");
    while (!take(c, '"')) {
        if (c->at >= c->len)
            return fail(c, "a string does not end");
        if (!(take(c, '\\') ? check_escape(c) : check_character(c)))
            return false;
    }
    return true;
}

static bool check_array(struct cursor *c)
{
    skip_space(c);
    if (take(c, ']'))
        return true;
    do {
        if (!check_value(c))
            return false;
    } while (take(c, ','));
    return take(c, ']') || fail(c, "a comma or ] is expected");
}

static bool check_member(struct cursor *c)
{
    skip_space(c);
    if (!check_string(c))
        return false;
    skip_space(c);
    if (!take(c, ':'))
        return fail(c, "a colon is expected");
    return check_value(c);
}

static bool check_object(struct cursor *c)
{
    skip_space(c);
    if (take(c, '}'))
        return true;
    do {
        if (!check_member(c))
            return false;
    } while (take(c, ','));
    return take(c, '}') || fail(c, "a comma or } is expected");
}

static bool check_nested(struct cursor *c, bool (*check)(struct cursor *))
{
    if (c->depth == JS_DEPTH_MAX)
        return fail(c, "nested too deeply");
    c->at++;
    c->depth++;
    bool ok = check(c);
    c->depth--;
    return ok;
}

static bool check_any(struct cursor *c)
{
    switch (peek(c)) {
    case '{': return check_nested(c, check_object);
    case '[': return check_nested(c, check_array);
    case '"': return check_string(c);
    case 't': return check_word(c, "true");
    case 'f': return check_word(c, "false");
    case 'n': return check_word(c, "null");
    default: return check_number(c);
    }
}

/* With the space around it. */
static bool check_value(struct cursor *c)
{
    skip_space(c);
    if (!check_any(c))
        return false;
    skip_space(c);
    return true;
}

bool js_check(const char *text, size_t len, struct err *e)
{
    struct cursor c = {.text = text, .len = len};

    if (check_value(&c) && (c.at == len || fail(&c, "something follows the document")))
        return true;
    return err_set(e, ERR_INVALID, "not valid JSON at byte %zu: %s", c.at, c.wrong);
}
