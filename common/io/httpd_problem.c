#include "common/io/httpd_problem.h"

#include <stdio.h>

#include "common/io/js.h"

/* The one error that has a registered type; all others are ours. */
#define TYPE_QUOTA_EXCEEDED "https://iana.org/assignments/http-problem-types#quota-exceeded"
#define TYPE_PREFIX "urn:volumecap:problem:"

static void write_type(struct js_writer *w, enum err_kind kind)
{
    char type[128];

    if (kind == ERR_USED_UP) {
        js_text(w, "type", TYPE_QUOTA_EXCEEDED);
        return;
    }
    (void)snprintf(type, sizeof(type), TYPE_PREFIX "%s", err_name(kind));
    js_text(w, "type", type);
}

/* What broke inside is for the log: it may name hosts, tables or statements. */
static const char *detail_of(const struct err *e)
{
    if (e->kind == ERR_INTERNAL)
        return "The reason is in the service's log, under this request id.";
    return e->msg;
}

static void write_errors(struct js_writer *w, const struct err *e)
{
    js_array(w, "errors");
    js_object(w, NULL);
    js_text(w, "pointer", e->pointer);
    js_text(w, "detail", detail_of(e));
    js_object_end(w);
    js_array_end(w);
}

void httpd_problem_write(struct buf *out, const struct err *e, const char *request_id)
{
    struct js_writer w = {.out = out};
    char detail[sizeof(e->pointer) + sizeof(e->msg) + 2];

    /* The whole of it in one text, for who does not look at `errors`. */
    (void)snprintf(detail, sizeof(detail), "%s%s%s", e->pointer, e->pointer[0] ? ": " : "",
                   detail_of(e));
    js_object(&w, NULL);
    write_type(&w, e->kind);
    js_text(&w, "title", err_title(e->kind));
    js_i64(&w, "status", err_http_status(e->kind));
    js_text(&w, "detail", detail);
    js_text(&w, "request_id", request_id);
    if (e->pointer[0] != '\0')
        write_errors(&w, e);
    js_object_end(&w);
}
