#pragma once

/* httpd_problem: an error as application/problem+json (RFC 9457).  Pure. */

#include "common/base/buf.h"
#include "common/base/err.h"

#define HTTPD_PROBLEM_TYPE "application/problem+json"

void httpd_problem_write(struct buf *out, const struct err *e, const char *request_id);
