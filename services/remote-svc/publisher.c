#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/io/js.h"
#include "services/remote-svc/app.h"

#define ROWS_MAX 500
#define ROWS_BYTES_MAX ((size_t)512 * 1024) /* a long way from BUS_BODY_MAX */
#define HELLO_MS 1000

/* Under the peer's lock: true if something has to be said, if only that we are there. */
static bool choose(struct peer *p, enum envelope_kind *ret)
{
    *ret = ENVELOPE_HELLO;
    if (p->has_definitions)
        *ret = ENVELOPE_DEFINITIONS;
    else if (outgoing_count(p->rows) > 0 && peer_rows_may_go(p))
        *ret = ENVELOPE_ROWS;
    return *ret != ENVELOPE_HELLO || p->owes_echo || clk_now_ms() - p->said_ms >= HELLO_MS;
}

/* Under the peer's lock. */
static struct peer_said say(struct peer *p, enum envelope_kind kind)
{
    struct peer_said said = peer_say(p);

    p->said_ms = clk_now_ms();
    p->owes_echo = false;
    if (kind == ENVELOPE_ROWS) {
        said.rows_seq = ++p->rows_seq;
        p->rows_ms = p->said_ms;
    }
    return said;
}

static void write_known(struct js_writer *w, const char *name, int64_t value)
{
    if (value != PEER_UNKNOWN)
        js_i64(w, name, value);
}

/* What every message says besides. */
static void write_begin(struct buf *out, const struct peer_said *said)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "sent_at_ms", said->sent_at_ms);
    js_i64(&w, "run", said->run);
    js_i64(&w, "seq", said->seq);
    write_known(&w, "heard_ms_ago", said->heard_ms_ago);
    write_known(&w, "heard_run", said->heard_run);
    write_known(&w, "missed", said->missed);
    write_known(&w, "rows_seq", said->rows_seq);
    write_known(&w, "rows_done", said->rows_done);
    write_known(&w, "definitions_applied", said->definitions_applied);
}

static void write_rows(struct peer *p, struct buf *out)
{
    buf_str(out, ",\"rows\":[");
    int64_t taken = outgoing_take(p->rows, ROWS_MAX, ROWS_BYTES_MAX, out);
    buf_str(out, "]");
    metric_add(p->metrics.sent_rows, taken);
    metric_set(p->metrics.waiting, outgoing_count(p->rows));
}

static void write_definitions(struct peer *p, struct buf *out)
{
    buf_add(out, p->definitions.data, p->definitions.len);
    p->has_definitions = false;
}

/*
 * Under the peer's lock, all of it: when a later run begins, the rows of this
 * message are noted as told already, and so are told again, or they are in that run.
 */
static void write_message(struct peer *p, enum envelope_kind kind, struct buf *out)
{
    const struct peer_said said = say(p, kind);

    write_begin(out, &said);
    if (kind == ENVELOPE_ROWS)
        write_rows(p, out);
    if (kind == ENVELOPE_DEFINITIONS)
        write_definitions(p, out);
    buf_str(out, "}");
}

bool publisher_next(void *arg, struct bus_message *ret)
{
    struct remote_link *link = arg;
    struct peer *p = &link->peer;
    enum envelope_kind kind = ENVELOPE_HELLO;

    CHECK(pthread_mutex_lock(&p->lock) == 0);
    bool must = choose(p, &kind);
    if (must)
        write_message(p, kind, &ret->body);
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
    if (!must)
        return false;

    envelope_seal(sign_key_of(link->app->keys, link->app->config.dc, NULL), p->setting.dc, kind,
                  ret);
    metric_add(p->metrics.sent_bytes, (int64_t)ret->body.len);
    return true;
}
