#include "common/io/js.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "common/io/js_check.h"

static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

/* Writes one character that is not plain; returns how many bytes of the text it took. */
static size_t write_special(struct buf *out, const char *text, size_t size)
{
    static const char controls[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    const char *control = strchr(controls, *text);
    size_t len = js_utf8_length(text, size);

    if (control != NULL)
        buf_printf(out, "\\%c", letters[control - controls]);
    else if ((unsigned char)*text < 0x20)
        buf_printf(out, "\\u%04x", (unsigned)*text);
    else if (len != 0)
        buf_add(out, text, len);
    else
        buf_str(out, "\xef\xbf\xbd"); /* U+FFFD: what we send is UTF-8, whatever we were given */
    return len != 0 ? len : 1;
}

static void write_string(struct buf *out, const char *text)
{
    size_t left = strlen(text);

    buf_str(out, "\"");
    while (left > 0) {
        size_t len = 0;
        while (len < left && is_plain(text[len]))
            len++;
        buf_add(out, text, len);
        if (len < left)
            len += write_special(out, text + len, left - len);
        text += len;
        left -= len;
    }
    buf_str(out, "\"");
}

/* What stands before every value: the comma after the one before, and the key. */
static void begin(struct js_writer *w, const char *key)
{
    if (w->comma)
        buf_str(w->out, ",");
    w->comma = true;
    if (key == NULL)
        return;
    write_string(w->out, key);
    buf_str(w->out, ":");
}

static void open_nested(struct js_writer *w, const char *key, const char *bracket)
{
    begin(w, key);
    buf_str(w->out, bracket);
    w->comma = false;
}

static void close_nested(struct js_writer *w, const char *bracket)
{
    buf_str(w->out, bracket);
    w->comma = true;
}

void js_object(struct js_writer *w, const char *key)
{
    open_nested(w, key, "{");
}

void js_object_end(struct js_writer *w)
{
    close_nested(w, "}");
}

void js_array(struct js_writer *w, const char *key)
{
    open_nested(w, key, "[");
}

void js_array_end(struct js_writer *w)
{
    close_nested(w, "]");
}

void js_i64(struct js_writer *w, const char *key, int64_t value)
{
    begin(w, key);
    buf_printf(w->out, "%lld", (long long)value);
}

void js_text(struct js_writer *w, const char *key, const char *value)
{
    begin(w, key);
    if (value == NULL)
        buf_str(w->out, "null");
    else
        write_string(w->out, value);
}

void js_bool(struct js_writer *w, const char *key, bool value)
{
    begin(w, key);
    buf_str(w->out, value ? "true" : "false");
}

void js_time(struct js_writer *w, const char *key, int64_t ms)
{
    char text[TIME_TEXT_SIZE];

    time_format(ms, text);
    js_text(w, key, text);
}

void js_ppm(struct js_writer *w, const char *key, int64_t ppm)
{
    int64_t fraction = ppm % 1000000;
    int digits = 6;

    CHECK(ppm >= 0);
    begin(w, key);
    buf_printf(w->out, "%lld", (long long)(ppm / 1000000));
    if (fraction == 0)
        return;
    for (; fraction % 10 == 0; fraction /= 10)
        digits--;
    buf_printf(w->out, ".%0*lld", digits, (long long)fraction);
}

void js_null(struct js_writer *w, const char *key)
{
    js_text(w, key, NULL);
}
