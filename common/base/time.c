#include "common/base/num.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_MS INT64_C(86400000)

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z: what four digits of year can say. */
#define TIME_MIN_MS (-719162 * DAY_MS)
#define TIME_MAX_MS (2932897 * DAY_MS - 1)

/* Takes exactly `digits` digits off the front of *text. */
static bool take_number(const char **text, int digits, int min, int max, int *ret)
{
    int value = 0;

    for (int i = 0; i < digits; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        value = value * 10 + (**text - '0');
    }
    *ret = value;
    return value >= min && value <= max;
}

static bool take_char(const char **text, const char *any_of)
{
    if (**text == '\0' || strchr(any_of, **text) == NULL)
        return false;
    (*text)++;
    return true;
}

static bool take_date(const char **text, struct tm *ret)
{
    return take_number(text, 4, 1, 9999, &ret->tm_year) && take_char(text, "-") &&
           take_number(text, 2, 1, 12, &ret->tm_mon) && take_char(text, "-") &&
           take_number(text, 2, 1, 31, &ret->tm_mday);
}

/* Leap seconds are refused: neither POSIX time nor PostgreSQL has them. */
static bool take_clock(const char **text, struct tm *ret)
{
    return take_number(text, 2, 0, 23, &ret->tm_hour) && take_char(text, ":") &&
           take_number(text, 2, 0, 59, &ret->tm_min) && take_char(text, ":") &&
           take_number(text, 2, 0, 59, &ret->tm_sec);
}

static bool take_fraction(const char **text, int *ret_ms)
{
    static const int scale[] = {0, 100, 10, 1};

    *ret_ms = 0;
    if (!take_char(text, "."))
        return true;
    int digits = (int)strspn(*text, "0123456789");
    if (digits < 1 || digits > 3 || !take_number(text, digits, 0, 999, ret_ms))
        return false;
    *ret_ms *= scale[digits];
    return true;
}

static bool take_offset(const char **text, int *ret_minutes)
{
    int hours = 0, minutes = 0;
    bool west = **text == '-';

    *ret_minutes = 0;
    if (take_char(text, "Zz"))
        return true;
    if (!take_char(text, "+-") || !take_number(text, 2, 0, 23, &hours) || !take_char(text, ":") ||
        !take_number(text, 2, 0, 59, &minutes))
        return false;
    *ret_minutes = (west ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

/* timegm() turns 30 February into 1 or 2 March; a day that moved was not in the calendar. */
static bool to_seconds(struct tm *tm, int64_t *ret)
{
    int mday = tm->tm_mday;

    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    *ret = timegm(tm);
    return tm->tm_mday == mday;
}

bool time_parse(const char *text, int64_t *ret_ms, struct err *e)
{
    const char *rest = text;
    struct tm tm = {0};
    int fraction = 0, offset = 0;
    int64_t seconds = 0;

    if (!take_date(&rest, &tm) || !take_char(&rest, "Tt") || !take_clock(&rest, &tm) ||
        !take_fraction(&rest, &fraction) || !take_offset(&rest, &offset) || *rest != '\0' ||
        !to_seconds(&tm, &seconds))
        return err_set(e, ERR_INVALID, "not an RFC 3339 time: %.40s", text);

    int64_t ms = (seconds - (int64_t)offset * 60) * 1000 + fraction;
    if (ms < TIME_MIN_MS || ms > TIME_MAX_MS)
        return err_set(e, ERR_INVALID, "not within years 0001 to 9999 in UTC: %.40s", text);
    *ret_ms = ms;
    return true;
}

void time_format(int64_t ms, char ret[TIME_TEXT_SIZE])
{
    struct tm tm;

    ms = min_i64(max_i64(ms, TIME_MIN_MS), TIME_MAX_MS);
    int64_t fraction = (ms % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((ms - fraction) / 1000);

    (void)gmtime_r(&seconds, &tm);
    size_t len = strftime(ret, TIME_TEXT_SIZE, "%4Y-%m-%dT%H:%M:%S", &tm);
    if (fraction != 0)
        (void)snprintf(ret + len, TIME_TEXT_SIZE - len, ".%03dZ", (int)fraction);
    else
        (void)snprintf(ret + len, TIME_TEXT_SIZE - len, "Z");
}
