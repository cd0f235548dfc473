#include "common/io/deflate.h"

#include <stdint.h>
#include <stdlib.h>

#define ZLIB_CONST
#include <zlib.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/base/num.h"

#define LEVEL 1 /* rows shrink to a tenth, and to hardly less with more effort */
#define CHUNK 65536

void deflate_pack(const void *data, size_t len, struct buf *out)
{
    uLongf room = compressBound(len);
    auto_free Bytef *packed = malloc(room);

    CHECK(packed != NULL);
    CHECK(compress2(packed, &room, data, len, LEVEL) == Z_OK);
    buf_add(out, packed, room);
}

/* Chunk by chunk, so that what says little and unpacks to much is not believed. */
static int unpack(z_stream *z, struct buf *out)
{
    unsigned char chunk[CHUNK];
    int status = Z_OK;

    while (status == Z_OK && !buf_failed(out)) {
        z->next_out = chunk;
        z->avail_out = sizeof(chunk);
        status = inflate(z, Z_NO_FLUSH);
        buf_add(out, chunk, sizeof(chunk) - z->avail_out);
    }
    return status;
}

bool deflate_unpack(const void *data, size_t len, struct buf *out, struct err *e)
{
    z_stream z = {.next_in = data, .avail_in = (uInt)len};

    CHECK(len <= INT32_MAX);
    CHECK(inflateInit(&z) == Z_OK);
    int status = unpack(&z, out);
    (void)inflateEnd(&z);
    if (buf_failed(out))
        return err_set(e, ERR_TOO_LARGE, "too large when unpacked");
    return status == Z_STREAM_END || err_set(e, ERR_INVALID, "not what deflate made");
}
