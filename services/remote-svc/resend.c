#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "services/remote-svc/app.h"
#include "services/remote-svc/fetch.h"

#define TICK_MS 100
#define TIMEOUT_MS 5000
#define BACKOFF_MAX 10 /* times the first pause */
#define CURSOR_SIZE 128

/* What the pages of one look have shown. */
struct look {
    int64_t rows, units;
};

static void add_up(struct span rows, struct look *look)
{
    struct span row;
    size_t at = 0;

    while (span_next(rows, &at, &row)) {
        int64_t sent = 0, echoed = 0;
        if (!span_member_i64(row, "sent", &sent) || !span_member_i64(row, "echoed", &echoed))
            continue;
        look->rows++;
        look->units += max_i64(sent - echoed, 0);
    }
}

/* One page of GET /rows for this peer; `cursor` becomes "" at the end. */
static bool tell_page(struct remote_link *link, struct httpc *http, bool in_transit,
                      char cursor[CURSOR_SIZE], struct look *look, struct err *e)
{
    auto_reply struct httpc_reply reply = {0};
    struct span page, rows;
    char url[512];

    (void)snprintf(url, sizeof(url), "%s/rows?peer=%s&limit=1000%s%s%s",
                   link->app->config.local_url, link->peer.setting.dc,
                   in_transit ? "&in_transit=true" : "", cursor[0] ? "&after=" : "", cursor);
    if (!fetch(http, url, TIMEOUT_MS, &reply, &page, e))
        return false;
    if (!span_member(page, "rows", &rows))
        return err_set(e, ERR_INTERNAL, "GET /rows: an answer without rows");
    peer_tell_rows(&link->peer, rows);
    add_up(rows, look);
    if (!span_member_text(page, "next", cursor, CURSOR_SIZE))
        cursor[0] = '\0';
    return true;
}

/*
 * All pages, as long as there is room for them: what does not fit now comes
 * first the next time, when this has been told.
 */
static bool tell(struct remote_link *link, struct httpc *http, bool in_transit, struct look *look,
                 struct err *e)
{
    char cursor[CURSOR_SIZE] = "";

    do {
        if (!tell_page(link, http, in_transit, cursor, look, e))
            return false;
    } while (cursor[0] != '\0' &&
             outgoing_count(link->peer.rows) < link->app->config.queue_rows_max);
    return true;
}

/* Whoever does not answer is told less and less often, until something changes. */
static bool tell_in_transit(struct remote_link *link, struct httpc *http, struct err *e)
{
    struct resend *r = &link->resend;
    const int64_t first_ms = link->app->config.resend_ms;
    struct look look = {0};

    if (!tell(link, http, true, &look, e))
        return false;
    peer_in_transit(&link->peer, look.rows, look.units);
    bool stuck = look.units > 0 && look.units == r->units;
    r->pause_ms = stuck ? min_i64(2 * r->pause_ms, BACKOFF_MAX * first_ms) : first_ms;
    r->units = look.units;
    r->due_ms = clk_now_ms() + r->pause_ms;
    return true;
}

static bool tell_everything(struct remote_link *link, struct httpc *http, struct err *e)
{
    struct look look = {0};

    if (!tell(link, http, false, &look, e))
        return false;
    link->resend.sync_due_ms = clk_now_ms() + link->app->config.sync_ms;
    return true;
}

int64_t resend_tick(void *arg, struct httpc *http)
{
    struct remote_link *link = arg;
    struct resend *r = &link->resend;
    struct err e = {0};

    if (peer_check(&link->peer)) {
        r->sync_due_ms = r->due_ms = 0;
        r->units = 0;
    }
    bool ok = clk_now_ms() < r->due_ms || tell_in_transit(link, http, &e);
    ok = ok && (clk_now_ms() < r->sync_due_ms || tell_everything(link, http, &e));
    if (!ok)
        log_event(r->failed ? LOG_DEBUG : LOG_WARN, "resend.failed",
                  log_str("peer", link->peer.setting.dc), log_str("error", e.msg),
                  log_str("then", "will retry"));
    r->failed = !ok;
    return min_i64(TICK_MS, link->app->config.resend_ms);
}
