#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/bus_internal.h"

#define BURST_MAX 32 /* frames or messages in one step */

struct bus_sender {
    struct bus_sender_config config;
    struct bus_conn conn;

    /* The thread's: what is not confirmed yet are the tags in (confirmed, published]. */
    struct bus_message message;
    uint64_t published;
    bool is_settled[BUS_UNCONFIRMED_MAX]; /* by tag, modulo: confirmed out of order */
    uint64_t confirmed;
    bool has_returned;   /* a return has come, and not yet the confirm that follows it */
    int64_t progress_ms; /* the last confirm, or publish into emptiness */
};

/* ---- confirms */

static void settle_one(struct bus_sender *s, uint64_t tag)
{
    if (tag > s->confirmed && tag <= s->published)
        s->is_settled[tag % BUS_UNCONFIRMED_MAX] = true;
}

static void settle(struct bus_sender *s, uint64_t tag, bool multiple, int64_t *count)
{
    uint64_t first = multiple ? s->confirmed + 1 : tag, before = s->confirmed;

    for (uint64_t t = first; t <= tag && t <= s->published; t++) {
        bool is_new = t > before && !s->is_settled[t % BUS_UNCONFIRMED_MAX];
        settle_one(s, t);
        bus_conn_count(&s->conn, count, is_new ? 1 : 0);
        bus_conn_count(&s->conn, &s->conn.counts.unconfirmed, is_new ? -1 : 0);
    }
    while (s->confirmed < s->published && s->is_settled[(s->confirmed + 1) % BUS_UNCONFIRMED_MAX])
        s->is_settled[++s->confirmed % BUS_UNCONFIRMED_MAX] = false;
    s->progress_ms = clk_now_ms();
}

/* The message comes back with its return, and is of no use: the peer has no queue there yet. */
static bool take_returned(struct bus_sender *s, struct err *e)
{
    amqp_message_t message;

    bus_conn_busy(&s->conn);
    amqp_rpc_reply_t reply = amqp_read_message(s->conn.amqp, BUS_CHANNEL, &message, 0);
    bus_conn_idle(&s->conn);
    if (!bus_reply_check(reply, "return", e))
        return false;
    amqp_destroy_message(&message);
    bus_conn_count(&s->conn, &s->conn.counts.refused, 1);
    s->has_returned = true;
    return true;
}

static bool take_frame(struct bus_sender *s, const amqp_frame_t *frame, struct err *e)
{
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return true;
    const amqp_method_t *method = &frame->payload.method;
    if (method->id == AMQP_BASIC_RETURN_METHOD)
        return take_returned(s, e);
    if (method->id == AMQP_BASIC_ACK_METHOD) {
        const amqp_basic_ack_t *ack = method->decoded;
        settle(s, ack->delivery_tag, ack->multiple, &s->conn.counts.confirmed);
        bus_conn_queue(&s->conn, s->has_returned);
        s->has_returned = false;
    } else if (method->id == AMQP_BASIC_NACK_METHOD) {
        const amqp_basic_nack_t *nack = method->decoded;
        settle(s, nack->delivery_tag, nack->multiple, &s->conn.counts.refused);
    }
    return bus_conn_handle(&s->conn, frame, e);
}

static bool take_frames(struct bus_sender *s, struct err *e)
{
    bool any = true;

    for (int i = 0; any && i < BURST_MAX; i++) {
        amqp_frame_t frame;
        if (!bus_conn_frame(&s->conn, &frame, &any, e) || (any && !take_frame(s, &frame, e)))
            return false;
    }
    return true;
}

/* ---- publishing */

static bool publish(struct bus_sender *s, struct err *e)
{
    const struct bus_message *m = &s->message;
    amqp_table_entry_t entries[BUS_HEADERS_MAX];
    const amqp_bytes_t body = {.len = m->body.len, .bytes = m->body.data};

    for (size_t i = 0; i < m->headers_count; i++)
        entries[i] = (amqp_table_entry_t){
            .key = amqp_cstring_bytes(m->headers[i].name),
            .value = {.kind = AMQP_FIELD_KIND_UTF8,
                      .value = {.bytes = amqp_cstring_bytes(m->headers[i].value)}},
        };
    const amqp_basic_properties_t properties = {
        ._flags =
            AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        .headers = {.num_entries = (int)m->headers_count, .entries = entries},
    };

    bus_conn_busy(&s->conn);
    int status = amqp_basic_publish(s->conn.amqp, BUS_CHANNEL, amqp_empty_bytes,
                                    amqp_cstring_bytes(s->config.queue), /* mandatory= */ 1, 0,
                                    &properties, body);
    bus_conn_idle(&s->conn);
    if (!bus_status_check(status, "publish", e))
        return false;
    if (s->published == s->confirmed)
        s->progress_ms = clk_now_ms();
    s->published++;
    bus_conn_count(&s->conn, &s->conn.counts.published, 1);
    bus_conn_count(&s->conn, &s->conn.counts.unconfirmed, 1);
    return true;
}

/*
 * The first message of a connection goes alone: a broker with an alarm says so
 * only when it gets one, and more of them would fill the socket and block.
 */
static bool may_publish(struct bus_sender *s)
{
    uint64_t room = s->confirmed == 0 ? 1 : BUS_UNCONFIRMED_MAX;

    return s->published - s->confirmed < room && bus_conn_counts(&s->conn).state != BUS_BLOCKED;
}

static bool publish_some(struct bus_sender *s, bool *ret_more, struct err *e)
{
    *ret_more = true;
    for (int i = 0; *ret_more && i < BURST_MAX && may_publish(s); i++) {
        buf_clear(&s->message.body);
        s->message.headers_count = 0;
        *ret_more = s->config.next(s->config.arg, &s->message);
        if (*ret_more && buf_failed(&s->message.body))
            log_event(LOG_ERROR, "bus.too_large", log_str("broker", s->config.name));
        else if (*ret_more && (!publish(s, e) || !take_frames(s, e)))
            return false;
    }
    return true;
}

/* A broker with an alarm may be silent for as long as it has it: its heartbeats go on. */
static bool check_progress(struct bus_sender *s, struct err *e)
{
    if (s->published == s->confirmed || clk_now_ms() - s->progress_ms < BUS_CALL_MS ||
        bus_conn_counts(&s->conn).state == BUS_BLOCKED)
        return true;
    return err_set(e, ERR_TIMEOUT, "no confirm for %d ms", BUS_CALL_MS);
}

/* ---- the role */

static bool sender_open(void *arg, struct bus_conn *c, struct err *e)
{
    struct bus_sender *s = arg;

    s->published = s->confirmed = 0;
    s->has_returned = false;
    memset(s->is_settled, 0, sizeof(s->is_settled));
    (void)amqp_confirm_select(c->amqp, BUS_CHANNEL);
    return bus_reply_check(amqp_get_rpc_reply(c->amqp), "confirms", e);
}

static bool sender_step(void *arg, struct bus_conn *c, struct err *e)
{
    struct bus_sender *s = arg;
    bool more = false;

    if (!take_frames(s, e) || !publish_some(s, &more, e) || !check_progress(s, e))
        return false;
    bus_conn_wait(c, more && may_publish(s) ? 0 : BUS_POLL_MS);
    return true;
}

static void sender_closed(void *arg)
{
    struct bus_sender *s = arg;
    int64_t lost = bus_conn_counts(&s->conn).unconfirmed;

    bus_conn_count(&s->conn, &s->conn.counts.lost, lost);
    bus_conn_count(&s->conn, &s->conn.counts.unconfirmed, -lost);
    s->published = s->confirmed = 0;
}

static const struct bus_role sender_role = {
    .open = sender_open, .step = sender_step, .closed = sender_closed};

bool bus_sender_start(const struct bus_sender_config *config, struct bus_sender **ret,
                      struct err *e)
{
    auto_bus_sender struct bus_sender *s = NULL;

    if (!bus_url_check(config->url, config->ca, e))
        return false;
    s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    s->config = *config;
    s->message.body = BUF_INIT(BUS_BODY_MAX);
    s->conn = (struct bus_conn){.name = config->name,
                                .url = config->url,
                                .ca = config->ca,
                                .role = &sender_role,
                                .arg = s,
                                .wanted = config->wanted,
                                .wanted_arg = config->arg};
    if (!bus_conn_start(&s->conn, e))
        return false;
    *ret = TAKE(s);
    return true;
}

void bus_sender_wake(struct bus_sender *s)
{
    bus_conn_wake(&s->conn);
}

struct bus_counts bus_sender_counts(struct bus_sender *s)
{
    return bus_conn_counts(&s->conn);
}

void bus_sender_tell_stop(struct bus_sender *s)
{
    bus_conn_tell_stop(&s->conn);
}

struct bus_sender *bus_sender_stop(struct bus_sender *s)
{
    if (!s)
        return NULL;
    bus_conn_stop(&s->conn);
    buf_done(&s->message.body);
    free(s);
    return NULL;
}
