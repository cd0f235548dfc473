#include "services/meta-svc/away.h"

#include <stdio.h>

#include "common/io/httpd_problem.h"
#include "common/io/js.h"

void meta_away(const struct httpd_request *http, const char *id, const char *home,
               struct httpd_reply *reply)
{
    struct js_writer w = {.out = &reply->body};
    char type[64], detail[256];

    (void)snprintf(type, sizeof(type), "urn:volumecap:problem:%s", err_name(ERR_CONFLICT));
    (void)snprintf(detail, sizeof(detail), "the home of cap %s is %s: change it there", id, home);
    reply->status = err_http_status(ERR_CONFLICT);
    reply->content_type = HTTPD_PROBLEM_TYPE;
    js_object(&w, NULL);
    js_text(&w, "type", type);
    js_text(&w, "title", err_title(ERR_CONFLICT));
    js_i64(&w, "status", reply->status);
    js_text(&w, "detail", detail);
    js_text(&w, "request_id", http->request_id);
    js_text(&w, "home", home);
    js_object_end(&w);
}
