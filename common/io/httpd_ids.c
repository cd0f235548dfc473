#include "common/io/httpd_ids.h"

#include <string.h>

#include "common/base/num.h"

bool httpd_request_id_is_valid(const char *text)
{
    return name_is_valid(text);
}

static bool is_hex_id(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") == len && strspn(text, "0") < len;
}

bool httpd_traceparent_is_valid(const char *text)
{
    return strlen(text) == strlen("00-") + 32 + 1 + 16 + 1 + 2 && memcmp(text, "00-", 3) == 0 &&
           is_hex_id(text + 3, 32) && text[35] == '-' && is_hex_id(text + 36, 16) &&
           text[52] == '-' && strspn(text + 53, "0123456789abcdef") == 2;
}
