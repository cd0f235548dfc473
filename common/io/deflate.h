#pragma once

/* deflate: what repeats itself made short, on zlib.  The form is that of RFC 1950. */

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/* Appends; a buffer that is too small is marked as failed, like everywhere. */
void deflate_pack(const void *data, size_t len, struct buf *out);

/*
 * Appends.  ERR_INVALID: it is damaged; ERR_TOO_LARGE: it is more than `out` may hold, however
 * much that is: no more than that is ever unpacked.
 */
MUST_CHECK bool deflate_unpack(const void *data, size_t len, struct buf *out, struct err *e);
