#include <stdio.h>

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

static bool tell_on(struct remote_link *link, struct httpc *http, struct err *e)
{
    struct follower *f = &link->definitions;
    auto_reply struct httpc_reply reply = {0};
    auto_buf struct buf members = BUF_INIT(BUS_BODY_MAX);
    struct span page;
    int64_t revision = 0;
    char path[128];

    (void)snprintf(path, sizeof(path), "/definitions?since=%lld&wait_ms=%d&limit=%d",
                   (long long)f->told, WAIT_MS, LIMIT);
    if (!fetch(http, &link->app->metas, path, WAIT_MS + GRACE_MS, &reply, &page, e))
        return false;
    if (!span_member_i64(page, "revision", &revision) ||
        !write_members(page, f->told, revision, &members))
        return err_set(e, ERR_INTERNAL, "GET /definitions: an answer without its members");
    peer_definitions_revision(&link->peer, revision);
    if (revision <= f->told)
        return true;
    peer_tell_definitions(&link->peer, &members);
    if (f->told <= f->echoed)
        f->told_ms = clk_now_ms();
    f->told = revision;
    return true;
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
    int64_t echoed = peer_look(&link->peer).definitions_echoed;

    bool ok = look_applied(link, http, &e);
    if (ok && !may_tell(link, echoed))
        return SOON_MS;
    if (ok) {
        take_echo(f, max_i64(echoed, 0), link->app->config.resend_ms);
        ok = tell_on(link, http, &e);
    }
    if (!ok)
        log_event(f->failed ? LOG_DEBUG : LOG_WARN, "definitions.failed",
                  log_str("peer", link->peer.setting.dc), log_str("error", e.msg),
                  log_str("then", "will retry"));
    f->failed = !ok;
    return ok ? 0 : FAILED_MS;
}
