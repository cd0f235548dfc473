#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/io/js.h"
#include "services/remote-svc/app.h"

#define ROWS_MAX 500
#define HELLO_MS 1000

/* Under the peer's lock: true if something has to be said, if only that we are there. */
static bool choose(struct peer *p, int64_t rows, enum envelope_kind *ret, struct buf *definitions)
{
    *ret = ENVELOPE_HELLO;
    if (p->has_definitions) {
        *ret = ENVELOPE_DEFINITIONS;
        buf_add(definitions, p->definitions.data, p->definitions.len);
        p->has_definitions = false;
    } else if (rows > 0) {
        *ret = ENVELOPE_ROWS;
    }
    bool must = *ret != ENVELOPE_HELLO || clk_now_ms() - p->said_ms >= HELLO_MS;
    if (must)
        p->said_ms = clk_now_ms();
    return must;
}

/* What every message says besides. */
static void write_begin(struct buf *out, const struct peer_view *view)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "sent_at_ms", clk_utc_ms());
    if (view->definitions_applied != PEER_UNKNOWN)
        js_i64(&w, "definitions_applied", view->definitions_applied);
}

static void write_rows(struct remote_link *link, struct buf *out)
{
    struct peer *p = &link->peer;

    buf_str(out, ",\"rows\":[");
    int64_t taken = outgoing_take(p->rows, ROWS_MAX, out);
    buf_str(out, "]");
    metric_add(metric_at(link->app->metrics.rows_sent, p->setting.dc, NULL, NULL), taken);
    metric_set(p->waiting, outgoing_count(p->rows));
}

bool publisher_next(void *arg, struct bus_message *ret)
{
    struct remote_link *link = arg;
    struct peer *p = &link->peer;
    auto_buf struct buf definitions = BUF_INIT(BUS_BODY_MAX);
    enum envelope_kind kind = ENVELOPE_HELLO;
    int64_t rows = outgoing_count(p->rows);

    CHECK(pthread_mutex_lock(&p->lock) == 0);
    bool must = choose(p, rows, &kind, &definitions);
    struct peer_view view = p->view;
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
    if (!must)
        return false;

    write_begin(&ret->body, &view);
    if (kind == ENVELOPE_ROWS)
        write_rows(link, &ret->body);
    if (kind == ENVELOPE_DEFINITIONS)
        buf_add(&ret->body, definitions.data, definitions.len);
    buf_str(&ret->body, "}");
    envelope_seal(sign_key_of(link->app->keys, link->app->config.dc, NULL), p->setting.dc, kind,
                  ret);
    return true;
}
