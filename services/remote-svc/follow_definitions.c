#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "services/remote-svc/app.h"
#include "services/remote-svc/fetch.h"

#define WAIT_MS 1000
#define GRACE_MS 5000
#define FAILED_MS 500
#define SOON_MS 100
#define LIMIT 100
#define BACKOFF_MAX 10 /* times the first pause */
#define AGAIN_EVERY 20 /* times the pause between two rounds of rows */

/* What we have applied of the peer's: meta-svc knows; now and then, since it may be restored. */
static bool look_applied(struct remote_link *link, struct httpc *http, struct err *e)
{
    const struct remote_config *config = &link->app->config;
    auto_reply struct httpc_reply reply = {0};
    struct span answer;
    int64_t applied = 0;
    char path[128];

    if (link->definitions.looked_ms > 0 &&
        clk_now_ms() - link->definitions.looked_ms < config->sync_ms)
        return true;
    (void)snprintf(path, sizeof(path), "/peers/%s/definitions", link->peer.setting.dc);
    if (!fetch(http, &link->app->metas, path, GRACE_MS, &reply, &answer, e))
        return false;
    if (!span_member_i64(answer, "applied_revision", &applied))
        return err_set(e, ERR_INTERNAL, "GET /peers: an answer without applied_revision");
    peer_definitions_applied(&link->peer, applied);
    link->definitions.looked_ms = clk_now_ms();
    return true;
}

/*
 * From where to tell on.  What was told and is not echoed is told again after
 * a while that grows; an echo is the truth, also when it goes back.
 */
static void take_echo(struct follower *f, int64_t echoed, int64_t resend_ms)
{
    int64_t now_ms = clk_now_ms();

    if (echoed >= f->told || echoed != f->echoed) {
        f->told = max_i64(f->told, echoed);
        f->resend_ms = resend_ms;
        f->told_ms = now_ms;
        f->echoed = echoed;
    } else if (now_ms - f->told_ms >= f->resend_ms) {
        f->told = echoed;
        f->resend_ms = min_i64(2 * f->resend_ms, BACKOFF_MAX * resend_ms);
        f->told_ms = now_ms;
    }
}

static bool write_members(struct span page, int64_t from, int64_t to, struct buf *out)
{
    struct span definitions;

    if (!span_member(page, "definitions", &definitions))
        return false;
    buf_printf(out,
               ",\"from_revision\":%lld,\"to_revision\":%lld,\"definitions\":", (long long)from,
               (long long)to);
    buf_add(out, definitions.text, definitions.len);
    return true;
}

struct page {
    int64_t revision; /* all up to here is in it */
    bool more;
};

static bool is_true(struct span page, const char *name)
{
    struct span value;

    return span_member(page, name, &value) && value.len == strlen("true");
}

/* From here on it is the peer's turn to say that it has them. */
static void note_told(struct follower *f, int64_t revision)
{
    if (revision > f->told && f->told <= f->echoed)
        f->told_ms = clk_now_ms();
    f->told = revision;
}

/* Tells what meta-svc has after a revision, a page of it. */
static bool tell(struct remote_link *link, struct httpc *http, int64_t since, int64_t wait_ms,
                 struct page *ret, struct err *e)
{
    auto_reply struct httpc_reply reply = {0};
    auto_buf struct buf members = BUF_INIT(BUS_BODY_MAX);
    struct span page;
    char path[128];

    (void)snprintf(path, sizeof(path), "/definitions?since=%lld&wait_ms=%lld&limit=%d",
                   (long long)since, (long long)wait_ms, LIMIT);
    if (!fetch(http, &link->app->metas, path, wait_ms + GRACE_MS, &reply, &page, e))
        return false;
    if (!span_member_i64(page, "revision", &ret->revision) ||
        !write_members(page, since, ret->revision, &members))
        return err_set(e, ERR_INTERNAL, "GET /definitions: an answer without its members");
    ret->more = is_true(page, "more");
    if (ret->revision > since)
        peer_tell_definitions(&link->peer, &members);
    return true;
}

static bool tell_news(struct remote_link *link, struct httpc *http, struct err *e)
{
    struct follower *f = &link->definitions;
    struct page page;

    if (!tell(link, http, f->told, WAIT_MS, &page, e))
        return false;
    f->revision = page.more ? max_i64(f->revision, page.revision) : page.revision;
    peer_definitions_revision(&link->peer, page.revision);
    /* The database has forgotten what the peer has heard: who knows what else. */
    if (page.revision < f->told)
        f->again_ms = 0;
    note_told(f, page.revision);
    return true;
}

/* Until all is told that it says it has: the rest is news, unless it is on the last page. */
static bool tell_again(struct remote_link *link, struct httpc *http, struct err *e)
{
    struct follower *f = &link->definitions;
    struct page page;

    if (!tell(link, http, f->again, 0, &page, e))
        return false;
    if (f->again == 0)
        f->again_ms = clk_now_ms() + AGAIN_EVERY * link->app->config.sync_ms;
    f->again = page.more && page.revision < f->echoed ? page.revision : 0;
    note_told(f, max_i64(f->told, page.revision));
    return true;
}

/* News and a walk take turns.  Whoever is heard, for the first time or again, is due for a walk. */
static bool tell_on(struct remote_link *link, struct httpc *http, bool is_up, struct err *e)
{
    struct follower *f = &link->definitions;

    if (!is_up)
        f->again_ms = 0;
    f->was_again = is_up && !f->was_again && f->again < f->echoed &&
                   (f->again > 0 || clk_now_ms() >= f->again_ms);
    return f->was_again ? tell_again(link, http, e) : tell_news(link, http, e);
}

/* At first the peer's echo is waited for, so that a restart does not tell everything again. */
static bool may_tell(struct remote_link *link, int64_t echoed)
{
    if (link->definitions.begun_ms == 0)
        link->definitions.begun_ms = clk_now_ms();
    return peer_is_told_definitions(&link->peer) &&
           (echoed != PEER_UNKNOWN ||
            clk_now_ms() - link->definitions.begun_ms > 2 * link->app->config.resend_ms);
}

int64_t follow_definitions_tick(void *arg, struct httpc *http)
{
    struct remote_link *link = arg;
    struct follower *f = &link->definitions;
    struct err e = {0};
    const struct peer_view view = peer_look(&link->peer);
    int64_t echoed = view.definitions_echoed;

    bool ok = look_applied(link, http, &e);
    if (ok && !may_tell(link, echoed))
        return SOON_MS;
    if (ok) {
        take_echo(f, min_i64(max_i64(echoed, 0), f->revision), link->app->config.resend_ms);
        ok = tell_on(link, http, view.is_up, &e);
    }
    if (!ok)
        log_event(f->failed ? LOG_DEBUG : LOG_WARN, "definitions.failed",
                  log_str("peer", link->peer.setting.dc), log_str("error", e.msg),
                  log_str("then", "will retry"));
    f->failed = !ok;
    return ok ? 0 : FAILED_MS;
}

void follow_definitions_rest(void *arg)
{
    struct remote_link *link = arg;

    link->definitions = (struct follower){.revision = FOLLOWER_UNKNOWN};
}
