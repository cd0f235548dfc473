#include "services/meta-svc/message.h"

#include "common/io/js.h"
#include "services/meta-svc/body.h"

void meta_message_write(const struct meta_cap *m, int64_t version, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "version", version);
    js_bool(&w, "deleted", m->deleted);
    meta_body_definition(&w, &m->cap);
    meta_body_origin(&w, &m->origin);
    js_i64(&w, "home_version", m->version);
    js_object_end(&w);
}
