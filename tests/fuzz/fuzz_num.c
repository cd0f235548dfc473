/*
 * fuzz_num: times and integers as text.  What is accepted means what libc says
 * it means, and comes back the same when it is written and read again.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/base/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_time(const char *text)
{
    char written[TIME_TEXT_SIZE], rewritten[TIME_TEXT_SIZE];
    int64_t ms = 0, again = 0;
    struct err e = {0};

    if (!time_parse(text, &ms, &e)) {
        CHECK(e.kind == ERR_INVALID);
        return;
    }
    time_format(ms, written);
    CHECK(time_parse(written, &again, &e) && again == ms);
    time_format(again, rewritten);
    CHECK(strcmp(written, rewritten) == 0);
    CHECK(strlen(written) == (ms % 1000 == 0 ? 20 : 24) && strchr(written, 'Z'));
}

static void check_i64(const char *text, int64_t min, int64_t max)
{
    int64_t value = 0;
    struct err e = {0};

    errno = 0;
    const bool accepted = num_parse_i64(text, min, max, &value, &e);
    const long long expected = strtoll(text, NULL, 10);
    const size_t sign = min < 0 && text[0] == '-';
    const bool digits =
        text[sign] != '\0' && text[sign + strspn(text + sign, "0123456789")] == '\0';

    CHECK(accepted == (digits && errno == 0 && expected >= min && expected <= max));
    CHECK(!accepted || value == expected);
}

/* The reference: up to 64 characters of the set, one by one. */
static void check_name(const char *text)
{
    const size_t len = strlen(text);
    bool expected = len >= 1 && len < NAME_SIZE;

    for (const char *p = text; *p; p++)
        expected = expected && ((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
                                (*p >= 'a' && *p <= 'z') || *p == '.' || *p == '_' || *p == '-');
    CHECK(name_is_valid(text) == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = malloc(size + 1);

    CHECK(text);
    memcpy(text, data, size);
    text[size] = '\0';
    check_time(text);
    check_i64(text, 0, UNITS_MAX);
    check_i64(text, INT64_MIN, INT64_MAX);
    check_i64(text, -5, 5);
    check_name(text);
    return 0;
}
