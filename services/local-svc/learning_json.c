#include "services/local-svc/learning_json.h"

#include "common/io/js.h"

bool learning_json(const struct local_app *app, struct buf *out, struct err *e)
{
    struct js_writer w = {.out = out};
    struct learn_status s;

    if (!store_learn_status(app->db, &s, e))
        return false;
    js_object(&w, NULL);
    js_bool(&w, "learning", s.is_learning);
    js_i64(&w, "incarnation", s.incarnation);
    js_text(&w, "reason", s.reason[0] == '\0' ? NULL : s.reason);
    js_bool(&w, "is_lost", s.is_lost);
    js_bool(&w, "servers_have_spoken", s.has_heard);
    js_bool(&w, "overruled", s.in_doubt && s.is_overruled);
    js_i64(&w, "for_ms", s.for_ms);
    js_i64(&w, "windows", s.pools);
    js_i64(&w, "units", s.units);
    js_i64(&w, "ends_in_ms", s.ends_in_ms);
    js_i64(&w, "silent_servers", s.silent);
    js_object_end(&w);
    return true;
}
