#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/js.h"
#include "services/remote-svc/app.h"
#include "services/remote-svc/fetch.h"

#define QUEUE_TTL_MS 60000
#define QUEUE_MESSAGES_MAX 10000
#define QUEUE_BYTES_MAX (INT64_C(256) * 1024 * 1024)
#define META_AWAY_MS 5000
#define REPLY_MAX (INT64_C(4) * 1024 * 1024)

struct consumer {
    struct remote_app *app;
    struct httpc *http; /* of the receiver's thread */
    char queue[NAME_SIZE + 16];
    struct bus_receiver *receiver;
    int64_t meta_away_until_ms; /* it did not answer: it is not asked before */
};

/* ---- what is wrong with a message */

/* `why`: more about it; or "". */
static void refuse(struct consumer *c, const char *reason, const char *from, const char *why)
{
    metric_add(metric_at(c->app->metrics.refused, reason, NULL, NULL), 1);
    const int64_t count = refusals_add(c->app->refusals, from, reason, clk_now_ms());
    if (count > 0)
        log_event(LOG_WARN, "message.refused", log_str("reason", reason),
                  log_str("from", from && name_is_valid(from) ? from : ""), log_i64("count", count),
                  log_str("error", why));
}

/*
 * True: nothing more to do.  Whoever cannot be reached is asked again, until
 * the message expires.  Whoever refuses, or fails at this message, would do so
 * the next time as well: the sender hears that it was missed.
 */
static bool refused_by(struct consumer *c, const char *reason, struct remote_link *link,
                       const struct err *e)
{
    if (err_is_retryable(e->kind)) {
        log_event(LOG_DEBUG, "message.waits", log_str("for", reason), log_str("error", e->msg));
        return false;
    }
    refuse(c, reason, link->peer.setting.dc, e->msg);
    peer_missed(&link->peer);
    return true;
}

/* ---- what they say */

static bool take_rows(struct consumer *c, struct remote_link *link, struct span message)
{
    const char *from = link->peer.setting.dc;
    auto_buf struct buf body = BUF_INIT(BUS_BODY_MAX + 256);
    auto_reply struct httpc_reply reply = {0};
    struct span rows, answer, ours;
    struct err e = {0};
    if (!span_member(message, "rows", &rows)) {
        refuse(c, envelope_verdict_names[ENVELOPE_MALFORMED], from, "");
        return true;
    }
    buf_printf(&body, "{\"from\":\"%s\",\"rows\":", from);
    buf_add(&body, rows.text, rows.len);
    buf_str(&body, "}");
    if (!fetch_with(c->http, "POST", &c->app->locals, "/rows", &body, &reply, &answer, &e))
        return refused_by(c, "local_svc", link, &e);
    if (span_member(answer, "rows", &ours))
        peer_tell_rows(&link->peer, ours);
    metric_add(link->peer.metrics.applied, 1);
    return true;
}

static bool take_definitions(struct consumer *c, struct remote_link *link, struct span message)
{
    const char *from = link->peer.setting.dc;
    auto_buf struct buf body = BUF_INIT(BUS_BODY_MAX + 256);
    auto_reply struct httpc_reply reply = {0};
    struct span definitions, answer;
    int64_t first = 0, last = 0, applied = 0;
    struct err e = {0};
    char path[128];

    if (!span_member(message, "definitions", &definitions) ||
        !span_member_i64(message, "from_revision", &first) ||
        !span_member_i64(message, "to_revision", &last)) {
        refuse(c, envelope_verdict_names[ENVELOPE_MALFORMED], from, "");
        return true;
    }
    buf_printf(&body,
               "{\"from_revision\":%lld,\"to_revision\":%lld,\"definitions\":", (long long)first,
               (long long)last);
    buf_add(&body, definitions.text, definitions.len);
    buf_str(&body, "}");
    (void)snprintf(path, sizeof(path), "/peers/%s/definitions", from);
    /* They are told again until they are applied: rows need not wait behind them. */
    if (clk_now_ms() < c->meta_away_until_ms)
        return true;
    if (!fetch_with(c->http, "PUT", &c->app->metas, path, &body, &reply, &answer, &e)) {
        (void)refused_by(c, "meta_svc", link, &e);
        c->meta_away_until_ms = clk_now_ms() + (err_is_retryable(e.kind) ? META_AWAY_MS : 0);
        return true;
    }
    if (span_member_i64(answer, "applied_revision", &applied))
        peer_definitions_applied(&link->peer, applied);
    return true;
}

static bool take_hello(struct consumer *c, struct remote_link *link, struct span message)
{
    (void)c;
    (void)link;
    (void)message;
    return true;
}

/* False: it does not say which message it is. */
static bool said_in(struct span message, struct peer_said *ret)
{
    struct peer_said said = PEER_SAID_NOTHING;

    (void)span_member_i64(message, "sent_at_ms", &said.sent_at_ms);
    (void)span_member_i64(message, "run", &said.run);
    (void)span_member_i64(message, "seq", &said.seq);
    (void)span_member_i64(message, "heard_ms_ago", &said.heard_ms_ago);
    (void)span_member_i64(message, "heard_run", &said.heard_run);
    (void)span_member_i64(message, "missed", &said.missed);
    (void)span_member_i64(message, "rows_seq", &said.rows_seq);
    (void)span_member_i64(message, "rows_done", &said.rows_done);
    (void)span_member_i64(message, "definitions_applied", &said.definitions_applied);
    *ret = said;
    return said.run != PEER_UNKNOWN && said.seq != PEER_UNKNOWN;
}

static bool take(struct consumer *c, enum envelope_kind kind, struct remote_link *link,
                 struct span message, const struct peer_said *said)
{
    static bool (*const takers[])(struct consumer *, struct remote_link *, struct span) = {
        [ENVELOPE_HELLO] = take_hello,
        [ENVELOPE_ROWS] = take_rows,
        [ENVELOPE_DEFINITIONS] = take_definitions,
    };
    bool done = takers[kind](c, link, message);

    if (done && kind == ENVELOPE_ROWS)
        peer_rows_done(&link->peer, said);
    return done;
}

static bool handle(void *arg, const struct bus_message *m)
{
    struct consumer *c = arg;
    auto_js cJSON *json = NULL; /* only to know that it is JSON */
    auto_envelope struct envelope envelope = {0};
    struct peer_said said = PEER_SAID_NOTHING;
    struct err e = {0};
    enum envelope_verdict verdict = envelope_open(c->app->keys, c->app->config.dc, m, &envelope);
    const struct span message = {.text = envelope.text, .len = envelope.len};
    struct remote_link *link =
        verdict == ENVELOPE_GOOD ? remote_link_of(c->app, envelope.from) : NULL;

    if (verdict == ENVELOPE_GOOD && !link)
        verdict = ENVELOPE_STRANGER;
    if (verdict == ENVELOPE_GOOD &&
        (!js_parse(message.text, message.len, &json, &e) || !said_in(message, &said)))
        verdict = ENVELOPE_MALFORMED;
    if (verdict == ENVELOPE_GOOD && !peer_heard(&link->peer, &said, m->body.len, m->is_redelivered))
        verdict = ENVELOPE_REPLAYED;
    if (verdict == ENVELOPE_GOOD)
        return take(c, envelope.kind, link, message, &said);
    refuse(c, envelope_verdict_names[verdict], bus_header(m, "from"), "");
    return true;
}

/* ---- life */

static bool is_wanted(void *arg)
{
    const struct consumer *c = arg;

    return remote_may_act(c->app);
}

bool consumer_start(struct remote_app *app, struct consumer **ret, struct err *e)
{
    struct consumer *c = calloc(1, sizeof(*c));

    CHECK(c != NULL);
    *ret = c; /* the caller's also when it fails */
    c->app = app;
    (void)snprintf(c->queue, sizeof(c->queue), "volumecap.%s", app->config.dc);
    const struct bus_receiver_config config = {.name = app->config.dc,
                                               .url = app->config.broker,
                                               .ca = app->config.ca,
                                               .queue = c->queue,
                                               .ttl_ms = QUEUE_TTL_MS,
                                               .messages_max = QUEUE_MESSAGES_MAX,
                                               .bytes_max = QUEUE_BYTES_MAX,
                                               .handle = handle,
                                               .wanted = is_wanted,
                                               .arg = c};
    return httpc_new(REPLY_MAX, &c->http, e) && bus_receiver_start(&config, &c->receiver, e);
}

struct bus_counts consumer_bus(const struct consumer *c)
{
    return bus_receiver_counts(c->receiver);
}

/* Of one that may not have started. */
void consumer_tell_stop(struct consumer *c)
{
    if (c->http)
        httpc_cancel(c->http);
    if (c->receiver)
        bus_receiver_tell_stop(c->receiver);
}

struct consumer *consumer_stop(struct consumer *c)
{
    if (!c)
        return NULL;
    consumer_tell_stop(c);
    (void)bus_receiver_stop(c->receiver);
    (void)httpc_free(c->http);
    free(c);
    return NULL;
}
