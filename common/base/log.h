#pragma once

/*
 * log: one event a line on stderr, key=value, values escaped.
 *
 *   log_event(LOG_INFO, "outbox.delivered", log_str("path", path), log_i64("rows", n));
 *   2026-11-20T10:00:00.123Z info outbox.delivered path=/definitions/a rows=3 request_id=...
 *
 * Thread-safe; each line is one write(2).  The request id of the thread, if
 * set, is on each of its lines.
 */

#include <stdint.h>
#include <stddef.h>

#include "common/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_kv {
    const char *key;
    const char *text; /* NULL: the number counts */
    int64_t number;
};

static inline struct log_kv log_str(const char *key, const char *text)
{
    return (struct log_kv){.key = key, .text = text ? text : ""};
}

static inline struct log_kv log_i64(const char *key, int64_t number)
{
    return (struct log_kv){.key = key, .number = number};
}

#define log_event(level, event, ...)                                                               \
    log_event_(level, event, (const struct log_kv[]){{.key = NULL}, ##__VA_ARGS__},                \
               sizeof((const struct log_kv[]){{.key = NULL}, ##__VA_ARGS__}) /                     \
                   sizeof(struct log_kv))

/* The first row of kvs is a placeholder without a key and is left out. */
void log_event_(enum log_level level, const char *event, const struct log_kv *kvs, size_t n);

void log_level_set(enum log_level min);
MUST_CHECK bool log_level_set_name(const char *name, struct err *e); /* as in a setting: "info" */
void log_service_set(const char *name);  /* borrowed for the life of the process */
void log_request_id_set(const char *id); /* this thread's; copied; NULL clears it */
const char *log_request_id(void);        /* this thread's, or "" */
