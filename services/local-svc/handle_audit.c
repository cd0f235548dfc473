#include "common/io/js.h"
#include "services/local-svc/app.h"
#include "services/local-svc/audit.h"

/* GET /audit */

static void write_result(struct js_writer *w, const struct audit_result *r)
{
    js_object(w, NULL);
    js_text(w, "id", r->id);
    js_text(w, "statement", r->statement);
    js_i64(w, "violations", r->violations);
    js_array(w, "examples");
    for (size_t i = 0; i < r->examples_count; i++)
        js_text(w, NULL, r->examples[i]);
    js_array_end(w);
    js_object_end(w);
}

static void encode(const struct audit *a, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_bool(&w, "clean", a->violations == 0);
    js_time(&w, "checked_at", a->checked_at_ms);
    js_array(&w, "checks");
    for (size_t i = 0; i < AUDIT_CHECKS; i++)
        write_result(&w, &a->results[i]);
    js_array_end(&w);
    js_object_end(&w);
}

bool handle_audit(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                  struct err *e)
{
    const struct local_app *app = arg;
    struct audit audit;

    if (!httpd_query_only(req, local_no_query, e) || !audit_run(app->db, &audit, e))
        return false;
    encode(&audit, &reply->body);
    return true;
}
