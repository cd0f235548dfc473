#include "common/base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct kind_row {
    const char *name;
    const char *title;
    int status;
    bool retryable;
};

static const struct kind_row kinds[] = {[ERR_NONE] = {"none", "No error", 200, false},
#define X(kind, name, status, title, retry) [kind] = {name, title, status, retry},
                                        ERR_KINDS(X)
#undef X
};

#define KINDS_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind_row *row_of(enum err_kind kind)
{
    return (size_t)kind < KINDS_COUNT ? &kinds[kind] : &kinds[ERR_INTERNAL];
}

static void put_text(char *ret, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);

    memcpy(ret, text, len);
    ret[len] = '\0';
}

/* By way of a copy: the arguments may well be the old message itself. */
static void put_message(struct err *e, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

static void put_message(struct err *e, const char *fmt, va_list args)
{
    char msg[sizeof(e->msg)];

    (void)vsnprintf(msg, sizeof(msg), fmt, args);
    put_text(e->msg, sizeof(e->msg), msg);
}

void err_set_(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_message(e, fmt, args);
    va_end(args);
    e->kind = kind;
    e->pointer[0] = '\0';
}

void err_at_(struct err *e, const char *pointer, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_message(e, fmt, args);
    va_end(args);
    e->kind = ERR_INVALID;
    if (pointer != e->pointer)
        put_text(e->pointer, sizeof(e->pointer), pointer);
}

void err_while_(struct err *e, const char *fmt, ...)
{
    char msg[sizeof(e->msg)];
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(msg) - 2)
        return; /* No room for what went wrong, which matters more than what we were doing. */
    put_text(msg + len, sizeof(msg) - (size_t)len, ": ");
    put_text(msg + len + 2, sizeof(msg) - (size_t)len - 2, e->msg);
    put_text(e->msg, sizeof(e->msg), msg);
}

const char *err_name(enum err_kind kind)
{
    return row_of(kind)->name;
}

const char *err_title(enum err_kind kind)
{
    return row_of(kind)->title;
}

int err_http_status(enum err_kind kind)
{
    return row_of(kind)->status;
}

bool err_is_retryable(enum err_kind kind)
{
    return row_of(kind)->retryable;
}

enum err_kind err_kind_of_status(int status)
{
    for (size_t kind = ERR_NONE + 1; kind < KINDS_COUNT; kind++)
        if (kinds[kind].status == status)
            return (enum err_kind)kind;
    /* We say 503 of an unknown outcome; this is a gateway's word for it. */
    return status == 504 ? ERR_TIMEOUT : ERR_INTERNAL;
}
