#include <stdlib.h>

#include "common/base/check.h"
#include "common/io/httpd.h"
#include "services/local-svc/app.h"
#include "services/local-svc/topup_json.h"

/* POST /topup, POST /return: decoded here, committed with others, answered by topup_done(). */

struct topup_call {
    struct committer_job job; /* first: topup_done() gets a pointer to it */
    struct httpd_call *call;
};

static struct topup_call *topup_call_free(struct topup_call *t)
{
    if (!t)
        return NULL;
    topup_request_done(&t->job.request);
    free(t);
    return NULL;
}
CLEANUP_DEFINE(topup_call, struct topup_call, topup_call_free)
#define auto_topup_call CLEANUP(topup_call)

static void answer(struct topup_call *t, const struct err *e)
{
    static const char *const refusals[] = {
        [TOPUP_IMPOSTOR] = "another process, or a newer one, has the ledger of this incarnation",
        [TOPUP_OLD_LEDGER] = "this ledger is older than what was reported from it before",
    };
    struct httpd_reply reply = {0};
    struct err refused = {0};

    if (!e && t->job.request.refusal != TOPUP_ADMITTED) {
        (void)err_set(&refused, ERR_CONFLICT, "%s", refusals[t->job.request.refusal]);
        e = &refused;
    }
    if (!e)
        topup_encode(&t->job.request, &reply.body);
    httpd_complete(t->call, &reply, e);
}

void topup_done(struct committer_job *job, const struct err *e)
{
    auto_topup_call struct topup_call *t = (struct topup_call *)(void *)job;

    answer(t, e);
}

/* Deferred before it is queued: its answer may come before committer_put() returns. */
static bool enqueue(struct local_app *app, const struct httpd_request *req, bool is_return,
                    struct err *e)
{
    auto_topup_call struct topup_call *t = calloc(1, sizeof(*t));
    struct err refusal = {0};

    CHECK(t != NULL);
    if (!topup_decode(req->body, req->body_len, is_return, &t->job.request, e))
        return false;
    t->call = httpd_defer(req);
    if (!committer_put(app->committer, &t->job, &refusal)) {
        answer(t, &refusal);
        return true;
    }
    (void)TAKE(t);
    return true;
}

bool handle_topup(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                  struct err *e)
{
    (void)reply;
    return httpd_query_only(req, local_no_query, e) && enqueue(arg, req, false, e);
}

bool handle_return(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                   struct err *e)
{
    (void)reply;
    return httpd_query_only(req, local_no_query, e) && enqueue(arg, req, true, e);
}
