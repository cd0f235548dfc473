#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "services/remote-svc/app.h"
#include "services/remote-svc/fetch.h"

#define WAIT_MS 5000
#define GRACE_MS 5000
#define FAILED_MS 500

/* So many are known by name, and logged once. */
static bool is_new_without_peer(struct without_peer *w, const char *dc)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->dcs[i], dc) == 0)
            return false;
    if (w->count == REMOTE_PEERS_MAX)
        return false;
    (void)snprintf(w->dcs[w->count++], NAME_SIZE, "%s", dc);
    return true;
}

/* local-svc trades with a data centre that nobody here can reach. */
static void note_without_peer(struct remote_app *app, struct span rows)
{
    struct span row;
    char dc[NAME_SIZE];
    size_t at = 0;

    while (span_next(rows, &at, &row)) {
        if (!span_member_text(row, "peer", dc, sizeof(dc)) || remote_link_of(app, dc))
            continue;
        metric_inc(app->metrics.without_peer, 1);
        if (is_new_without_peer(&app->without_peer, dc))
            log_event(
                LOG_WARN, "rows.without_peer", log_str("dc", dc),
                log_str("why", "local-svc has rows for it, and REMOTE_PEERS does not name it"),
                log_str("then", "it is told nothing"));
    }
}

static void tell_all(struct remote_app *app, struct span rows)
{
    note_without_peer(app, rows);
    for (size_t i = 0; i < app->count; i++)
        peer_tell_rows(&app->links[i].peer, rows);
}

static void tell_everything(struct remote_app *app)
{
    for (size_t i = 0; i < app->count; i++)
        peer_to_be_told_everything(&app->links[i].peer);
}

/*
 * Where we stand is all that is asked at first: what was to be told before,
 * the rounds tell, which begin with each peer that is heard.
 */
static bool begin(struct remote_app *app, struct httpc *http, struct err *e)
{
    auto_reply struct httpc_reply reply = {0};
    struct span page;
    char path[128];

    (void)snprintf(path, sizeof(path), "/rows?since=%lld&limit=1", (long long)UNITS_MAX);
    if (!fetch(http, &app->locals, path, GRACE_MS, &reply, &page, e))
        return false;
    if (!span_member_i64(page, "revision", &app->rows_since))
        return err_set(e, ERR_INTERNAL, "GET /rows: an answer without revision");
    app->is_following = true;
    return true;
}

static bool step(struct remote_app *app, struct httpc *http, struct err *e)
{
    auto_reply struct httpc_reply reply = {0};
    struct span page, rows;
    int64_t revision = 0;
    char path[128];

    (void)snprintf(path, sizeof(path), "/rows?since=%lld&wait_ms=%d&limit=1000",
                   (long long)app->rows_since, WAIT_MS);
    if (!fetch(http, &app->locals, path, WAIT_MS + GRACE_MS, &reply, &page, e))
        return false;
    if (!span_member_i64(page, "revision", &revision) || !span_member(page, "rows", &rows))
        return err_set(e, ERR_INTERNAL, "GET /rows: an answer without revision or rows");
    tell_all(app, rows);
    /* A restored database counts again from an earlier revision. */
    if (revision < app->rows_since)
        tell_everything(app);
    app->rows_since = revision;
    return true;
}

int64_t follow_rows_tick(void *arg, struct httpc *http)
{
    struct remote_app *app = arg;
    struct err e = {0};

    if ((app->is_following || begin(app, http, &e)) && step(app, http, &e))
        return 0;
    log_event(LOG_WARN, "rows.failed", log_str("error", e.msg), log_str("then", "will retry"));
    return FAILED_MS;
}

void follow_rows_rest(void *arg)
{
    struct remote_app *app = arg;

    app->is_following = false;
}
