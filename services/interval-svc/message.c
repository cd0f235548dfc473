#include "services/interval-svc/message.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/io/js.h"
#include "common/io/outbox.h"

#define MESSAGE_MAX 1024

static void write_body(const struct interval_definition *d, const struct interval *w,
                       struct buf *out)
{
    const struct cap *cap = &d->cap;
    struct js_writer json = {.out = out};

    js_object(&json, NULL);
    js_i64(&json, "version", w->version);
    js_time(&json, "ends_at", w->ends_at_ms);
    js_text(&json, "state", interval_state_names[w->state]);
    js_i64(&json, "total", w->total);
    js_bool(&json, "paused", w->paused);
    js_ppm(&json, "topup_fraction", cap->topup_ppm);
    js_ppm(&json, "slice_max_fraction", cap->slice_max_ppm);
    js_i64(&json, "autonomy_ms", cap->autonomy_ms);
    if (w->home[0] != '\0')
        js_text(&json, "home", w->home);
    js_i64(&json, "total_max", w->total_max);
    if (d->home_version > 0)
        js_i64(&json, "definition", d->home_version);
    js_object_end(&json);
}

bool interval_message_put(struct db_conn *c, const struct interval_definition *d,
                          const struct interval *w, struct err *e)
{
    auto_buf struct buf body = BUF_INIT(MESSAGE_MAX);
    char path[sizeof("/intervals//") + NAME_SIZE + TIME_TEXT_SIZE];
    char starts_at[TIME_TEXT_SIZE];

    time_format(w->starts_at_ms, starts_at);
    (void)snprintf(path, sizeof(path), "/intervals/%s/%s", d->cap.id, starts_at);
    write_body(d, w, &body);
    CHECK(!buf_failed(&body));
    return outbox_put(c, "interval", path, buf_text(&body), e);
}
