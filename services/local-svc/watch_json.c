#include "services/local-svc/watch_json.h"

#include "common/domain/interval.h"
#include "common/io/js.h"

static void write_window(struct js_writer *w, const struct watch_row *row)
{
    js_object(w, NULL);
    js_text(w, "cap", row->key.cap);
    js_time(w, "starts_at", row->key.starts_at_ms);
    js_time(w, "ends_at", row->ends_at_ms);
    js_i64(w, "starts_in_ms", row->starts_in_ms);
    js_i64(w, "ends_in_ms", row->ends_in_ms);
    js_text(w, "state", interval_state_names[row->state]);
    js_bool(w, "paused", row->paused);
    js_i64(w, "total", row->total);
    js_i64(w, "autonomy_ms", row->autonomy_ms);
    js_bool(w, "recall", row->recall);
    js_i64(w, "revision", row->revision);
    js_object_end(w);
}

void watch_json_nothing(int64_t revision, const char *member, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "revision", revision);
    js_bool(&w, "more", false);
    js_array(&w, member);
    js_array_end(&w);
    js_object_end(&w);
}

void watch_json(const struct watch_news *news, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "revision", news->revision);
    js_bool(&w, "more", news->more);
    js_array(&w, "windows");
    for (size_t i = 0; i < news->count; i++)
        write_window(&w, &news->rows[i]);
    js_array_end(&w);
    js_object_end(&w);
}
