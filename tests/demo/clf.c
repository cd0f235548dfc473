#include "tests/demo/clf.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HASH_SIZE 8 /* "-" and seven hex digits */

/* Is the character its own picture in a key? */
static bool is_plain(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '-';
}

void clf_key(const char *path, size_t len, char ret[NAME_SIZE])
{
    char whole[1024];
    size_t n = 0;
    bool exact = true;

    snprintf(whole, sizeof(whole), "%.*s", (int)len, path);
    const char *rest = whole + (whole[0] == '/');
    exact = rest[0] != '/';
    for (; rest[n] != '\0' && n < NAME_SIZE - 1; n++) {
        ret[n] = rest[n];
        if (rest[n] == '/') {
            ret[n] = '_';
        } else if (!is_plain(rest[n])) {
            ret[n] = '-';
            exact = false;
        }
    }
    exact = exact && rest[n] == '\0';
    if (n == 0)
        ret[n++] = '_'; /* the start page */
    ret[n] = '\0';
    if (exact)
        return;

    size_t at = n < NAME_SIZE - HASH_SIZE - 1 ? n : NAME_SIZE - HASH_SIZE - 1;
    snprintf(ret + at, NAME_SIZE - at, "-%07x", (unsigned)(hash_text(whole) & 0xfffffff));
}

/* "17/May/2015:10:05:03 +0000" */
static bool parse_time(const char *text, int64_t *ret_s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int day, year, hour, minute, second;
    char month[4], zone[6], iso[TIME_TEXT_SIZE + 16];
    int64_t ms = 0;
    struct err e;

    if (sscanf(text, "%2d/%3[A-Za-z]/%4d:%2d:%2d:%2d %5[-+0-9]", &day, month, &year, &hour, &minute,
               &second, zone) != 7 ||
        strlen(zone) != 5)
        return false;
    const char *found = strstr(months, month);
    if (!found || (found - months) % 3 != 0)
        return false;
    snprintf(iso, sizeof(iso), "%04d-%02d-%02dT%02d:%02d:%02d%.3s:%.2s", year,
             (int)(found - months) / 3 + 1, day, hour, minute, second, zone, zone + 3);
    if (!time_parse(iso, &ms, &e))
        return false;
    *ret_s = ms / 1000;
    return true;
}

bool clf_parse(const char *line, struct clf_request *ret)
{
    const char *opening = strchr(line, '[');
    const char *quote = strchr(line, '"');
    size_t client_len = strcspn(line, " ");

    if (!opening || !quote || quote < opening || client_len == 0)
        return false;
    if (!parse_time(opening + 1, &ret->at_s))
        return false;

    const char *path = strchr(quote, ' ');
    if (!path || path[1] != '/')
        return false;
    path++;
    clf_key(path, strcspn(path, " ?\"#"), ret->key);
    snprintf(ret->client, sizeof(ret->client), "%.*s", (int)client_len, line);
    return true;
}
