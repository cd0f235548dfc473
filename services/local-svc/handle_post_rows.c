#include <stdlib.h>

#include "common/base/check.h"
#include "services/local-svc/app.h"
#include "services/local-svc/rows_json.h"

/* POST /rows */

static void batch_done(struct trade_batch *b)
{
    free(b->outcomes);
    free(b->answers);
}
#define auto_batch __attribute__((cleanup(batch_done)))

static void make_room(struct trade_batch *b)
{
    b->outcomes = calloc(b->count, sizeof(*b->outcomes));
    b->answers = calloc(b->count, sizeof(*b->answers));
    CHECK(b->outcomes != NULL && b->answers != NULL);
}

static void count(const struct local_metrics *m, const struct trade_batch *b)
{
    local_metrics_moved(m, &b->moved);
    for (size_t i = 0; i < b->count; i++)
        metric_add(metric_at(m->rows, trade_outcome_names[b->outcomes[i]], NULL, NULL), 1);
}

bool handle_post_rows(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                      struct err *e)
{
    const struct local_app *app = arg;
    auto_free struct told_row *rows = NULL;
    auto_batch struct trade_batch batch = {.peers = &app->peers};

    if (!httpd_query_only(req, local_no_query, e) ||
        !rows_decode(req->body, req->body_len, &app->peers, &batch.from, &rows, &batch.count, e))
        return false;
    batch.rows = rows;
    make_room(&batch);
    if (!store_trade(app->db, app->witness, &batch, e))
        return false;
    count(&app->metrics, &batch);
    rows_encode_outcomes(&batch, &reply->body);
    return true;
}
