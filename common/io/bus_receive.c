#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "common/io/bus_internal.h"

#define PREFETCH 16
#define RETRY_MS 200 /* after a message that has to wait */

struct bus_receiver {
    struct bus_receiver_config config;
    struct bus_conn conn;
    struct bus_message message; /* the thread's */
};

/* ---- the queue */

static amqp_table_entry_t number(const char *name, int64_t n)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(name),
        .value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = n}},
    };
}

static bool declare(struct bus_receiver *r, struct err *e)
{
    const struct bus_receiver_config *c = &r->config;
    amqp_table_entry_t entries[] = {
        number("x-message-ttl", c->ttl_ms),
        number("x-max-length", c->messages_max),
        number("x-max-length-bytes", c->bytes_max),
        {.key = amqp_cstring_bytes("x-overflow"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8,
                   .value = {.bytes = amqp_cstring_bytes("drop-head")}}},
    };
    const amqp_table_t arguments = {.num_entries = 4, .entries = entries};

    (void)amqp_queue_declare(r->conn.amqp, BUS_CHANNEL, amqp_cstring_bytes(c->queue),
                             /* passive= */ 0, /* durable= */ 1, /* exclusive= */ 0,
                             /* auto_delete= */ 0, arguments);
    return bus_reply_check(amqp_get_rpc_reply(r->conn.amqp), "queue", e);
}

static bool receiver_open(void *arg, struct bus_conn *c, struct err *e)
{
    struct bus_receiver *r = arg;

    if (!declare(r, e))
        return false;
    (void)amqp_basic_qos(c->amqp, BUS_CHANNEL, 0, PREFETCH, 0);
    if (!bus_reply_check(amqp_get_rpc_reply(c->amqp), "prefetch", e))
        return false;
    (void)amqp_basic_consume(c->amqp, BUS_CHANNEL, amqp_cstring_bytes(r->config.queue),
                             amqp_empty_bytes, 0, /* no_ack= */ 0, 0, amqp_empty_table);
    return bus_reply_check(amqp_get_rpc_reply(c->amqp), "consume", e);
}

/* ---- a message */

static void copy_text(char *ret, size_t size, amqp_bytes_t from)
{
    (void)snprintf(ret, size, "%.*s", (int)min_i64((int64_t)from.len, (int64_t)size - 1),
                   from.bytes ? (const char *)from.bytes : "");
}

/* Headers of other kinds than text, and beyond our number, say nothing to us. */
static void copy_headers(struct bus_message *m, const amqp_basic_properties_t *properties)
{
    const amqp_table_t *table = &properties->headers;

    m->headers_count = 0;
    if (!(properties->_flags & AMQP_BASIC_HEADERS_FLAG))
        return;
    for (int i = 0; i < table->num_entries && m->headers_count < BUS_HEADERS_MAX; i++) {
        const amqp_table_entry_t *entry = &table->entries[i];
        if (entry->value.kind != AMQP_FIELD_KIND_UTF8)
            continue;
        struct bus_header *h = &m->headers[m->headers_count++];
        copy_text(h->name, sizeof(h->name), entry->key);
        copy_text(h->value, sizeof(h->value), entry->value.value.bytes);
    }
}

/* The next frame of this kind on our channel; the connection's own may come in between. */
static bool read_frame(struct bus_receiver *r, uint8_t type, amqp_frame_t *ret, struct err *e)
{
    do {
        amqp_maybe_release_buffers(r->conn.amqp);
        bus_conn_busy(&r->conn);
        int status = amqp_simple_wait_frame(r->conn.amqp, ret);
        bus_conn_idle(&r->conn);
        if (!bus_status_check(status, "message", e) || !bus_conn_handle(&r->conn, ret, e))
            return false;
    } while (ret->channel != BUS_CHANNEL || ret->frame_type != type);
    return true;
}

/* One over the limit is read past, since it would come again; it is never held. */
static bool read_body(struct bus_receiver *r, uint64_t size, struct err *e)
{
    amqp_frame_t frame;

    buf_clear(&r->message.body);
    r->message.body.failed = size > BUS_BODY_MAX;
    for (uint64_t done = 0; done < size; done += frame.payload.body_fragment.len) {
        if (!read_frame(r, AMQP_FRAME_BODY, &frame, e))
            return false;
        if (!buf_failed(&r->message.body))
            buf_add(&r->message.body, frame.payload.body_fragment.bytes,
                    frame.payload.body_fragment.len);
    }
    return true;
}

/* A body over the limit arrives marked as failed, and empty. */
static bool read_message(struct bus_receiver *r, struct err *e)
{
    amqp_frame_t frame;

    if (!read_frame(r, AMQP_FRAME_HEADER, &frame, e))
        return false;
    copy_headers(&r->message, frame.payload.properties.decoded);
    if (!read_body(r, frame.payload.properties.body_size, e))
        return false;
    bus_conn_count(&r->conn, &r->conn.counts.received, 1);
    return true;
}

static bool acknowledge(struct bus_receiver *r, uint64_t tag, bool done, struct err *e)
{
    bus_conn_busy(&r->conn);
    int status = done ? amqp_basic_ack(r->conn.amqp, BUS_CHANNEL, tag, 0)
                      : amqp_basic_reject(r->conn.amqp, BUS_CHANNEL, tag, /* requeue= */ 1);
    bus_conn_idle(&r->conn);
    return bus_status_check(status, "acknowledge", e);
}

static bool take_delivery(struct bus_receiver *r, uint64_t tag, bool is_redelivered, struct err *e)
{
    if (!read_message(r, e))
        return false;
    r->message.is_redelivered = is_redelivered;
    bool done = r->config.handle(r->config.arg, &r->message);
    if (!acknowledge(r, tag, done, e))
        return false;
    if (!done)
        bus_conn_pause(&r->conn, RETRY_MS);
    return true;
}

static bool receiver_step(void *arg, struct bus_conn *c, struct err *e)
{
    struct bus_receiver *r = arg;
    amqp_frame_t frame;
    bool any = false;

    if (!bus_conn_frame(c, &frame, &any, e))
        return false;
    if (!any) {
        bus_conn_wait(c, BUS_POLL_MS);
        return true;
    }
    if (frame.frame_type == AMQP_FRAME_METHOD &&
        frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
        const amqp_basic_deliver_t *deliver = frame.payload.method.decoded;
        return take_delivery(r, deliver->delivery_tag, deliver->redelivered, e);
    }
    return bus_conn_handle(c, &frame, e);
}

static void receiver_closed(void *arg)
{
    (void)arg;
}

static const struct bus_role receiver_role = {
    .open = receiver_open, .step = receiver_step, .closed = receiver_closed};

bool bus_receiver_start(const struct bus_receiver_config *config, struct bus_receiver **ret,
                        struct err *e)
{
    auto_bus_receiver struct bus_receiver *r = NULL;

    if (!bus_url_check(config->url, config->ca, e))
        return false;
    r = calloc(1, sizeof(*r));
    CHECK(r != NULL);
    r->config = *config;
    r->message.body = BUF_INIT(BUS_BODY_MAX);
    r->conn = (struct bus_conn){.name = config->name,
                                .url = config->url,
                                .ca = config->ca,
                                .role = &receiver_role,
                                .arg = r,
                                .wanted = config->wanted,
                                .wanted_arg = config->arg};
    if (!bus_conn_start(&r->conn, e))
        return false;
    *ret = TAKE(r);
    return true;
}

struct bus_counts bus_receiver_counts(struct bus_receiver *r)
{
    return bus_conn_counts(&r->conn);
}

void bus_receiver_tell_stop(struct bus_receiver *r)
{
    bus_conn_tell_stop(&r->conn);
}

struct bus_receiver *bus_receiver_stop(struct bus_receiver *r)
{
    if (!r)
        return NULL;
    bus_conn_stop(&r->conn);
    buf_done(&r->message.body);
    free(r);
    return NULL;
}
