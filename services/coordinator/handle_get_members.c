#include "services/coordinator/app.h"

#include "common/io/js.h"
#include "services/coordinator/terms.h"

/* GET /members */

static void write_member(struct js_writer *w, const struct coordinator_member *m)
{
    bool is_alive = m->seen_ms_ago < TERMS_ALIVE_MS;

    js_object(w, NULL);
    js_text(w, "name", m->name);
    js_text(w, "state", m->is_holder ? "primary" : m->competes ? "standby" : "resting");
    js_bool(w, "alive", is_alive);
    js_bool(w, "self", m->is_us);
    js_i64(w, "seen_ms_ago", m->seen_ms_ago);
    js_i64(w, "lag_ms", m->lag_ms);
    js_text(w, "version", m->version);
    js_object_end(w);
}

bool coordinator_handle_get_members(void *arg, const struct httpd_request *http,
                                    struct httpd_reply *reply, struct err *e)
{
    const struct coordinator_app *app = arg;
    struct js_writer w = {.out = &reply->body};
    struct coordinator_sight sight;

    if (!httpd_query_only(http, (const char *const[]){NULL}, e) ||
        !standing_sight(app->standing, &sight, e))
        return false;
    js_object(&w, NULL);
    js_text(&w, "role", app->role);
    js_array(&w, "members");
    for (size_t i = 0; i < sight.count; i++)
        write_member(&w, &sight.members[i]);
    js_array_end(&w);
    js_object_end(&w);
    return true;
}
