#pragma once

/*
 * buf: growing text with a maximum.  Appending past the maximum (or out of
 * memory) marks the buffer as failed and appends nothing more; check once,
 * at the end, with buf_failed().  `data` is always NUL-terminated unless NULL.
 */

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t room;
    size_t max; /* 0 means 64 MiB */
    bool failed;
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})

void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_clear(struct buf *b); /* keeps the room, forgets the content and the failure */
void buf_done(struct buf *b);  /* frees; the struct may be used again */
bool buf_failed(const struct buf *b);

static inline const char *buf_text(const struct buf *b)
{
    return b->data ? b->data : "";
}

#define auto_buf __attribute__((cleanup(buf_done)))
