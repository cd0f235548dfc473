#include "common/base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/num.h"

/* A line that is longer loses its end; below PIPE_BUF, so that lines never mix in a pipe. */
#define LINE_SIZE 4000
#define ID_SIZE 129

struct line {
    char text[LINE_SIZE];
    size_t len;
    bool cut;
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static atomic_int level_min = LOG_INFO;
static _Atomic(const char *) service = NULL;
static _Thread_local char request_id[ID_SIZE];

/* All or nothing, so that an escape is never cut in two; room is kept for the "..." and "\n". */
static void add(struct line *l, const char *text)
{
    size_t len = strlen(text);

    if (l->cut || len > sizeof(l->text) - 4 - l->len) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void add_escaped(struct line *l, unsigned char c)
{
    char text[8] = {(char)c};

    if (c == '"' || c == '\\')
        (void)snprintf(text, sizeof(text), "\\%c", c);
    else if (c == '\n')
        (void)snprintf(text, sizeof(text), "\\n");
    else if (c < 0x20 || c == 0x7f)
        (void)snprintf(text, sizeof(text), "\\x%02x", c);
    add(l, text);
}

static bool is_plain(const char *text)
{
    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f || strchr("\"\\=", *text) != NULL)
            return false;
    return true;
}

static void add_value(struct line *l, const char *text)
{
    if (is_plain(text)) {
        add(l, text);
        return;
    }
    add(l, "\"");
    for (; *text != '\0'; text++)
        add_escaped(l, (unsigned char)*text);
    add(l, "\"");
}

static void add_kv(struct line *l, const struct log_kv *kv)
{
    char number[24];

    add(l, " ");
    add(l, kv->key);
    add(l, "=");
    if (kv->text != NULL) {
        add_value(l, kv->text);
        return;
    }
    (void)snprintf(number, sizeof(number), "%lld", (long long)kv->number);
    add(l, number);
}

/* Milliseconds are always there, so that columns line up. */
static void add_time(struct line *l)
{
    int64_t now_ms = clk_utc_ms();
    char time[TIME_TEXT_SIZE], fraction[8];

    time_format(now_ms - now_ms % 1000, time);
    time[strlen(time) - 1] = '\0';
    (void)snprintf(fraction, sizeof(fraction), ".%03dZ", (int)(now_ms % 1000));
    add(l, time);
    add(l, fraction);
}

/* A log that cannot be written is nothing we could report; the work goes on. */
static void write_line(struct line *l)
{
    ssize_t written = 0;

    if (l->cut) {
        memcpy(l->text + l->len, "...", 3);
        l->len += 3;
    }
    l->text[l->len++] = '\n';
    do
        written = write(STDERR_FILENO, l->text, l->len);
    while (written < 0 && errno == EINTR);
}

void log_event_(enum log_level level, const char *event, const struct log_kv *kvs, size_t n)
{
    struct line l = {.len = 0};
    const char *name = atomic_load(&service);

    if ((int)level < atomic_load_explicit(&level_min, memory_order_relaxed))
        return;
    add_time(&l);
    add(&l, " ");
    add(&l, level_names[level]);
    add(&l, " ");
    add(&l, event);
    for (size_t i = 1; i < n; i++)
        add_kv(&l, &kvs[i]);
    if (name != NULL)
        add_kv(&l, &(struct log_kv){.key = "service", .text = name});
    if (request_id[0] != '\0')
        add_kv(&l, &(struct log_kv){.key = "request_id", .text = request_id});
    write_line(&l);
}

void log_level_set(enum log_level min)
{
    atomic_store(&level_min, (int)min);
}

bool log_level_set_name(const char *name, struct err *e)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(level_names[i], name) == 0) {
            log_level_set((enum log_level)i);
            return true;
        }
    }
    return err_set(e, ERR_INVALID, "the log level must be debug, info, warn or error");
}

void log_service_set(const char *name)
{
    atomic_store(&service, name);
}

void log_request_id_set(const char *id)
{
    size_t len = id != NULL ? strnlen(id, sizeof(request_id) - 1) : 0;

    if (len > 0)
        memcpy(request_id, id, len);
    request_id[len] = '\0';
}

const char *log_request_id(void)
{
    return request_id;
}
