#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEFAULT ((size_t)64 << 20)
#define ROOM_FIRST 256

static bool fail(struct buf *b)
{
    b->failed = true;
    return false;
}

/* Makes room for `more` bytes and the NUL. */
static bool reserve(struct buf *b, size_t more)
{
    size_t max = b->max != 0 ? b->max : MAX_DEFAULT;

    if (b->failed || more > max || b->len > max - more)
        return fail(b);
    if (b->len + more < b->room)
        return true;

    size_t room = b->room != 0 ? b->room : ROOM_FIRST;
    while (room <= b->len + more)
        room *= 2;
    char *data = realloc(b->data, room);
    if (data == NULL)
        return fail(b);
    b->data = data;
    b->room = room;
    return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (len == 0 || !reserve(b, len))
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        b->failed = true;
        return;
    }
    if (len == 0 || !reserve(b, (size_t)len))
        return;

    va_start(args, fmt);
    (void)vsnprintf(b->data + b->len, (size_t)len + 1, fmt, args);
    va_end(args);
    b->len += (size_t)len;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT(b->max);
}

bool buf_failed(const struct buf *b)
{
    return b->failed;
}
