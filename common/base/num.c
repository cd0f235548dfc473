#include "common/base/num.h"

#include <string.h>

#include "common/base/check.h"

int64_t mul_div(int64_t a, int64_t num, int64_t den)
{
    CHECK(a >= 0 && num >= 0 && den >= 1);

    unsigned __int128 quotient = (unsigned __int128)a * (unsigned __int128)num / (uint64_t)den;

    CHECK(quotient <= INT64_MAX);
    return (int64_t)quotient;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Counts down from 0, since there is one more negative number than there are positive ones. */
static bool parse_digits(const char *text, bool negative, int64_t *ret)
{
    int64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (!is_digit(*text) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *text - '0', &value))
            return false;
    if (negative) {
        *ret = value;
        return true;
    }
    return !__builtin_sub_overflow(0, value, ret);
}

bool num_parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret, struct err *e)
{
    bool negative = min < 0 && text[0] == '-';
    int64_t value = 0;

    if (!parse_digits(text + negative, negative, &value) || value < min || value > max)
        return err_set(e, ERR_INVALID, "not an integer from %lld to %lld: %.40s", (long long)min,
                       (long long)max, text);
    *ret = value;
    return true;
}

bool name_is_valid(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    size_t len = strnlen(text, NAME_SIZE);

    return len >= 1 && len < NAME_SIZE && strspn(text, allowed) == len;
}

bool name_check(const char *what, const char *text, struct err *e)
{
    return name_is_valid(text) || err_set(e, ERR_INVALID, "%s must be " NAME_RULE, what);
}

uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}
