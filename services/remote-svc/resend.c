#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "services/remote-svc/app.h"
#include "services/remote-svc/fetch.h"

#define TICK_MS 100
#define TIMEOUT_MS 5000
#define FAILED_MS 500
#define BACKOFF_MAX 10 /* times the first pause */
#define PAGE_ROWS 500
#define PAGE_LIMIT "&limit=500" /* the same */
#define PAGES_EXPECTED 64       /* of a round, as long as none was longer */
#define ALL_EVERY 20            /* rounds, of which one tells what it told before, too */

/*
 * Both walks read a page only when the one before has been published, so that
 * at most two pages of them wait for a peer, and none for one whose broker
 * takes nothing.
 */
static bool may_read(struct peer *p)
{
    return peer_takes_rows(p) && peer_has_drained(p, PAGE_ROWS);
}

/* One page of GET /rows for this peer, from the walk's cursor, which it moves. */
static bool read_page(struct remote_link *link, struct httpc *http, struct walk *walk,
                      const char *options, struct httpc_reply *reply, struct span *ret_page,
                      struct span *ret_rows, struct err *e)
{
    char path[512];

    if (walk->cursor[0] == '\0') {
        walk->began_ms = clk_now_ms();
        walk->pages = 0;
    }
    (void)snprintf(path, sizeof(path), "/rows?peer=%s%s%s%s", link->peer.setting.dc, options,
                   walk->cursor[0] ? "&after=" : "", walk->cursor);
    if (!fetch(http, &link->app->locals, path, TIMEOUT_MS, reply, ret_page, e))
        return false;
    if (!span_member(*ret_page, "rows", ret_rows))
        return err_set(e, ERR_INTERNAL, "GET /rows: an answer without rows");
    if (!span_member_text(*ret_page, "next", walk->cursor, sizeof(walk->cursor)))
        walk->cursor[0] = '\0';
    walk->pages++;
    return true;
}

/* ---- units in transit */

/* Whoever is silent, or does not confirm anything, is told less and less often. */
static void pause_in_transit(struct remote_link *link)
{
    struct resend *r = &link->resend;
    const struct peer_view view = peer_look(&link->peer);
    const int64_t first_ms = link->app->config.resend_ms;
    bool is_stuck = !view.is_up || (view.units_in_transit > 0 && view.units_in_transit == r->units);

    r->pause_ms =
        is_stuck ? min_i64(max_i64(2 * r->pause_ms, first_ms), BACKOFF_MAX * first_ms) : first_ms;
    r->units = view.units_in_transit;
    r->in_transit.due_ms = clk_now_ms() + r->pause_ms;
}

/* For whom nothing can be done, only the sums are looked at. */
static bool step_in_transit(struct remote_link *link, struct httpc *http, struct err *e)
{
    struct walk *walk = &link->resend.in_transit;
    auto_reply struct httpc_reply reply = {0};
    struct span page, rows;
    int64_t count = 0, units = 0;
    bool is_told = peer_takes_rows(&link->peer);

    if (clk_now_ms() < walk->due_ms || (is_told && !may_read(&link->peer)))
        return true;
    if (!read_page(link, http, walk,
                   is_told ? "&in_transit=true" PAGE_LIMIT : "&in_transit=true&limit=1", &reply,
                   &page, &rows, e))
        return false;
    if (!span_member_i64(page, "in_transit_rows", &count) ||
        !span_member_i64(page, "in_transit_units", &units))
        return err_set(e, ERR_INTERNAL, "GET /rows: an answer without its sums");
    peer_in_transit(&link->peer, count, units);
    if (is_told)
        peer_tell_rows(&link->peer, rows);
    else
        walk->cursor[0] = '\0';
    if (walk->cursor[0] == '\0')
        pause_in_transit(link);
    return true;
}

/* ---- rounds */

/* Even steps, so that a round takes half of the time between two. */
static int64_t step_ms(const struct remote_link *link)
{
    return link->app->config.sync_ms / 2 / max_i64(link->resend.round_pages, PAGES_EXPECTED);
}

/* The next begins at another moment in each data centre, and for each peer. */
static void end_round(struct remote_link *link)
{
    struct resend *r = &link->resend;
    const struct peer_metrics *m = &link->peer.metrics;
    const int64_t sync_ms = link->app->config.sync_ms, now_ms = clk_now_ms();

    outgoing_sweep(link->peer.rows);
    metric_add(m->rounds, 1);
    metric_set(m->round_seconds, (now_ms - r->round.began_ms) * 1000000);
    r->round_pages = r->round.pages;
    if (++r->rounds % ALL_EVERY == 0)
        outgoing_forget(link->peer.rows);
    r->round.due_ms = r->wants_another
                          ? now_ms
                          : r->round.began_ms + sync_ms - prng_below(&r->prng, sync_ms / 8 + 1);
    r->wants_another = false;
}

static bool step_round(struct remote_link *link, struct httpc *http, struct err *e)
{
    struct walk *walk = &link->resend.round;
    auto_reply struct httpc_reply reply = {0};
    struct span page, rows;

    if (clk_now_ms() < walk->due_ms || !may_read(&link->peer))
        return true;
    if (!read_page(link, http, walk, PAGE_LIMIT, &reply, &page, &rows, e))
        return false;
    metric_add(link->peer.metrics.round_rows, peer_tell_untold(&link->peer, rows));
    walk->due_ms = clk_now_ms() + step_ms(link);
    if (walk->cursor[0] == '\0')
        end_round(link);
    return true;
}

/*
 * Everything is to be told, from now on.  A round that is under way goes on to
 * its end, and the next begins where it ends: however often this happens, the
 * last windows have their turn.
 */
static void tell_everything(struct remote_link *link)
{
    struct resend *r = &link->resend;

    outgoing_forget(link->peer.rows);
    r->wants_another = r->round.cursor[0] != '\0';
    if (!r->wants_another)
        r->round.due_ms = 0;
}

/* A peer that cannot keep up says all the time that it misses something: that is no reason to
 * hurry. */
static void take_events(struct remote_link *link)
{
    struct resend *r = &link->resend;
    const struct peer_events events = peer_check(&link->peer);
    const int64_t now_ms = clk_now_ms();

    if (events.was_found) {
        r->in_transit.due_ms = 0;
        r->units = 0;
    }
    r->has_missed = r->has_missed || events.has_missed;
    if (!events.was_found && !(r->has_missed && now_ms - r->forgot_ms >= link->app->config.sync_ms))
        return;
    tell_everything(link);
    r->has_missed = false;
    r->forgot_ms = now_ms;
}

/* Whoever is not heard gets its first round some time, and not all of them at once. */
static void begin(struct remote_link *link)
{
    struct resend *r = &link->resend;

    if (r->has_begun)
        return;
    r->has_begun = true;
    r->prng.state = prng_entropy();
    r->round.due_ms = clk_now_ms() + prng_below(&r->prng, link->app->config.sync_ms);
}

int64_t resend_tick(void *arg, struct httpc *http)
{
    struct remote_link *link = arg;
    struct resend *r = &link->resend;
    struct err e = {0};

    begin(link);
    take_events(link);
    bool ok = step_in_transit(link, http, &e) && step_round(link, http, &e);
    if (!ok)
        log_event(r->failed ? LOG_DEBUG : LOG_WARN, "resend.failed",
                  log_str("peer", link->peer.setting.dc), log_str("error", e.msg),
                  log_str("then", "will retry"));
    r->failed = !ok;
    if (!ok)
        return FAILED_MS;
    return min_i64(TICK_MS, min_i64(link->app->config.resend_ms, max_i64(step_ms(link), 1)));
}

void resend_rest(void *arg)
{
    struct remote_link *link = arg;

    link->resend = (struct resend){0};
    peer_rest(&link->peer);
}
