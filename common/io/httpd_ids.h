#pragma once

/* httpd_ids: X-Request-Id and traceparent, as received.  Pure. */

#include <stdbool.h>

#define HTTPD_REQUEST_ID_SIZE 65

/* [A-Za-z0-9._-]{1,64}: what may be put into logs and answers as it is. */
bool httpd_request_id_is_valid(const char *text);

/* W3C Trace Context, version 00: 00-<32 hex>-<16 hex>-<2 hex>, ids not all zero. */
bool httpd_traceparent_is_valid(const char *text);
