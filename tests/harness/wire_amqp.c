#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "tests/harness/proc.h"
#include "tests/harness/wire_internal.h"

#define FRAME_HEAD 7 /* type, channel, size */
#define FRAME_MAX (1 << 20)
#define FRAME_END 0xCE
#define GREETING 8 /* "AMQP", a version */
#define CHANNELS 16
#define MESSAGE_MAX (4 << 20)
#define HELD_MAX (64 << 20)
#define REPEATS_MAX 256

enum frame_type { FRAME_METHOD = 1, FRAME_HEADER = 2, FRAME_BODY = 3, FRAME_HEARTBEAT = 8 };

#define METHOD(class, number) ((uint32_t)(class) << 16 | (number))
#define CONNECTION_CLOSE METHOD(10, 50)
#define CHANNEL_CLOSE METHOD(20, 40)
#define BASIC_PUBLISH METHOD(60, 40)
#define BASIC_DELIVER METHOD(60, 60)
#define BASIC_ACK METHOD(60, 80)
#define BASIC_REJECT METHOD(60, 90)
#define BASIC_NACK METHOD(60, 120)
#define MULTIPLE 1 /* the lowest bit after the tag, of ack and nack */

struct frame {
    const uint8_t *data; /* all of it */
    size_t len;
    enum frame_type type;
    unsigned channel;
    const uint8_t *payload;
    size_t size;     /* of the payload */
    uint32_t method; /* 0: it is none */
};

/* A message on its way: method, header and body, and what has come of it. */
struct content {
    bool is_open;
    struct buf frames;
    size_t header_at, body_at; /* in the frames; 0: not come yet */
    uint64_t missing;          /* bytes of the body */
};

/* A delivery that the consumer gets twice. */
struct repeat {
    unsigned channel;
    uint64_t tag;
    bool is_answered; /* once: the next answer is the broker's to miss */
};

struct wire_amqp {
    struct buf unread[2]; /* by side: the beginning of a frame */
    bool is_opaque[2];    /* no AMQP: it passes as it is */
    struct content contents[2][CHANNELS];
    struct wire_queue held, reversed;
    struct repeat repeats[REPEATS_MAX];
    size_t repeats_count;
};

/* ---- making and ending */

struct wire_amqp *wire_amqp_new(void)
{
    struct wire_amqp *a = calloc(1, sizeof(*a));

    if (!a)
        harness_fail("out of memory");
    return a;
}

struct wire_amqp *wire_amqp_free(struct wire_amqp *a)
{
    if (!a)
        return NULL;
    for (int side = WIRE_CLIENT; side <= WIRE_UPSTREAM; side++) {
        buf_done(&a->unread[side]);
        for (int i = 0; i < CHANNELS; i++)
            buf_done(&a->contents[side][i].frames);
    }
    wire_queue_clear(&a->held);
    wire_queue_clear(&a->reversed);
    free(a);
    return NULL;
}

/* ---- numbers, big end first */

static uint64_t number(const uint8_t *p, size_t bytes)
{
    uint64_t n = 0;

    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

static void put_number(uint8_t *p, size_t bytes, uint64_t n)
{
    for (size_t i = bytes; i > 0; i--, n >>= 8)
        p[i - 1] = (uint8_t)n;
}

/* ---- what is held */

static void release(struct wire_link *l, struct wire_queue *q)
{
    for (struct wire_piece *p = wire_queue_take(q); p; p = wire_queue_take(q)) {
        l->wire->counts.passed++;
        wire_link_put(l, WIRE_UPSTREAM, p);
    }
}

void wire_amqp_release(struct wire_link *l)
{
    if (!l->amqp)
        return;
    release(l, &l->amqp->held);
    release(l, &l->amqp->reversed);
}

static void forget(struct wire_amqp *a)
{
    wire_queue_clear(&a->held);
    wire_queue_clear(&a->reversed);
    a->repeats_count = 0;
}

void wire_amqp_forget(struct wire_link *l)
{
    if (l->amqp)
        forget(l->amqp);
}

int64_t wire_amqp_held(const struct wire_link *l)
{
    return l->amqp ? l->amqp->held.count + l->amqp->reversed.count : 0;
}

static struct wire_piece *piece_of(const struct content *c)
{
    return wire_piece_new(c->frames.data, c->frames.len);
}

static void hold(struct wire_link *l, const struct content *c)
{
    wire_queue_add(&l->amqp->held, piece_of(c));
    if (l->amqp->held.bytes > HELD_MAX)
        harness_fail("the wire holds more than %d bytes", HELD_MAX);
}

/* The last to come is the first of the queue; that the rule is used up concerns all links. */
static void reverse(struct wire_link *l, const struct content *c)
{
    struct wire *w = l->wire;

    w->counts.reversed++;
    wire_queue_add_first(&l->amqp->reversed, piece_of(c));
    if (l->amqp->reversed.bytes > HELD_MAX)
        harness_fail("the wire holds more than %d bytes", HELD_MAX);
    for (size_t i = 0; i < w->links_count && w->deliveries.pending == 0; i++)
        release(w->links[i], &w->links[i]->amqp->reversed);
}

/* ---- deliveries */

static uint64_t delivery_tag(const struct content *c)
{
    const uint8_t *args = (const uint8_t *)c->frames.data + FRAME_HEAD + 4;
    const size_t tag_at = 1 + (size_t)args[0]; /* after the consumer's, a short string */

    if (FRAME_HEAD + 4 + tag_at + 8 > c->header_at)
        harness_fail("a basic.deliver without a tag");
    return number(args + tag_at, 8);
}

static void pass(struct wire_link *l, enum wire_side side, const struct content *c)
{
    wire_link_put_bytes(l, side, c->frames.data, c->frames.len);
}

static void drop(struct wire_link *l, unsigned channel, const struct content *c)
{
    uint8_t ack[FRAME_HEAD + 4 + 8 + 1 + 1] = {FRAME_METHOD};

    put_number(ack + 1, 2, channel);
    put_number(ack + 3, 4, 4 + 8 + 1);
    put_number(ack + FRAME_HEAD, 4, BASIC_ACK);
    put_number(ack + FRAME_HEAD + 4, 8, delivery_tag(c));
    ack[sizeof(ack) - 1] = FRAME_END;
    wire_link_put_bytes(l, WIRE_CLIENT, ack, sizeof(ack));
    l->wire->counts.dropped++;
}

static void forget_repeat(struct wire_amqp *a, size_t i)
{
    a->repeats_count--;
    memmove(&a->repeats[i], &a->repeats[i + 1], (a->repeats_count - i) * sizeof(a->repeats[0]));
}

/* A consumer that never answers must not fill the list: the oldest makes room. */
static void repeat(struct wire_link *l, unsigned channel, const struct content *c)
{
    struct wire_amqp *a = l->amqp;

    if (a->repeats_count == REPEATS_MAX)
        forget_repeat(a, 0);
    a->repeats[a->repeats_count++] = (struct repeat){.channel = channel, .tag = delivery_tag(c)};
    pass(l, WIRE_UPSTREAM, c);
    pass(l, WIRE_UPSTREAM, c);
    l->wire->counts.passed++;
    l->wire->counts.repeated++;
}

/* Uses the rule up by one, if it is about such a message. */
static bool applies(struct wire_rule *rule, const struct content *c)
{
    if (rule->pending == 0 || !memmem(c->frames.data + c->header_at, c->body_at - c->header_at,
                                      rule->containing, strlen(rule->containing)))
        return false;
    rule->pending--;
    return true;
}

static void deliver(struct wire_link *l, unsigned channel, const struct content *c)
{
    struct wire_rule *rule = &l->wire->deliveries;

    if (!applies(rule, c)) {
        l->wire->counts.passed++;
        pass(l, WIRE_UPSTREAM, c);
        return;
    }
    switch (rule->fault) {
    case WIRE_HOLD: hold(l, c); return;
    case WIRE_DROP: drop(l, channel, c); return;
    case WIRE_REPEAT: repeat(l, channel, c); return;
    case WIRE_REVERSE: reverse(l, c); return;
    default: harness_fail("the wire knows no fault %d", (int)rule->fault);
    }
}

/* Another bit each time, of the body's first frame. */
static void corrupt(struct wire *w, const struct content *c)
{
    uint8_t *frame = (uint8_t *)c->frames.data + c->body_at;
    const uint64_t size = number(frame + 3, 4), turn = (uint64_t)w->counts.corrupted++;

    if (size > 0)
        frame[FRAME_HEAD + turn * 7919 % size] ^= (uint8_t)(1U << turn % 8);
}

static void publish(struct wire_link *l, const struct content *c)
{
    const bool has_body = c->frames.len > c->body_at;

    l->wire->counts.published++;
    if (has_body && applies(&l->wire->publishes, c))
        corrupt(l->wire, c);
    pass(l, WIRE_CLIENT, c);
}

/* ---- messages out of frames */

static void content_begin(struct content *c, const struct frame *f)
{
    buf_clear(&c->frames);
    buf_add(&c->frames, f->data, f->len);
    c->is_open = true;
    c->header_at = c->frames.len;
    c->body_at = 0;
}

/* Too large, or broken off: it goes as it is. */
static void content_give_up(struct wire_link *l, enum wire_side side, struct content *c)
{
    pass(l, side, c);
    buf_done(&c->frames);
    c->is_open = false;
}

static void content_add(struct wire_link *l, enum wire_side side, struct content *c,
                        const struct frame *f)
{
    buf_add(&c->frames, f->data, f->len);
    if (c->body_at == 0) {
        c->body_at = c->frames.len;
        c->missing = f->size >= 12 ? number(f->payload + 4, 8) : 0; /* after class and weight */
        if (c->missing > MESSAGE_MAX) {
            content_give_up(l, side, c);
            return;
        }
    } else
        c->missing -= f->size < c->missing ? f->size : c->missing;
    if (c->missing > 0)
        return;
    if (side == WIRE_UPSTREAM)
        deliver(l, f->channel, c);
    else
        publish(l, c);
    buf_done(&c->frames);
    c->is_open = false;
}

/* ---- what a consumer answers */

/* True: the broker has heard this, and would close the channel. */
static bool is_answered(struct wire_amqp *a, const struct frame *f)
{
    const bool is_ack = f->method == BASIC_ACK || f->method == BASIC_NACK;
    bool swallow = false;

    if ((!is_ack && f->method != BASIC_REJECT) || f->size < 4 + 8 + 1)
        return false;
    const uint64_t tag = number(f->payload + 4, 8);
    const bool multiple = is_ack && (f->payload[12] & MULTIPLE);
    for (size_t i = 0; i < a->repeats_count;) {
        struct repeat *r = &a->repeats[i];
        const bool is_meant = r->tag == tag || (multiple && (tag == 0 || r->tag < tag));
        if (r->channel != f->channel || !is_meant) {
            i++;
            continue;
        }
        swallow |= r->is_answered && r->tag == tag;
        if (r->is_answered)
            forget_repeat(a, i);
        else {
            r->is_answered = true;
            i++;
        }
    }
    return swallow;
}

/* ---- frames */

static void take_frame(struct wire_link *l, enum wire_side side, const struct frame *f)
{
    static const uint32_t begins[] = {
        [WIRE_CLIENT] = BASIC_PUBLISH, [WIRE_UPSTREAM] = BASIC_DELIVER};
    struct wire_amqp *a = l->amqp;

    CHECK(a != NULL);
    struct content *c = f->channel < CHANNELS ? &a->contents[side][f->channel] : NULL;

    if (c && c->is_open && f->type != FRAME_METHOD) {
        content_add(l, side, c, f);
        return;
    }
    if (c && c->is_open)
        content_give_up(l, side, c);
    if (c && f->method == begins[side]) {
        content_begin(c, f);
        return;
    }
    if (side == WIRE_CLIENT && is_answered(a, f)) {
        l->wire->counts.acks_swallowed++;
        return;
    }
    if (f->method == CHANNEL_CLOSE || f->method == CONNECTION_CLOSE)
        forget(a); /* tags die with their channel; clients here have one */
    wire_link_put_bytes(l, side, f->data, f->len);
}

/* The length of what is first in the bytes; 0: not all of it has come. False: that is no AMQP. */
static bool read_frame(const uint8_t *p, size_t len, size_t *ret_len, struct frame *ret)
{
    *ret_len = 0;
    *ret = (struct frame){0};
    if (len < GREETING)
        return true;
    const bool is_greeting = memcmp(p, "AMQP", 4) == 0;
    const size_t size = is_greeting ? 0 : number(p + 3, 4);
    const size_t whole = is_greeting ? GREETING : FRAME_HEAD + size + 1;
    if (whole > FRAME_MAX)
        return false;
    if (len < whole)
        return true;
    *ret_len = whole;
    *ret = (struct frame){.data = p, .len = whole};
    if (is_greeting)
        return true;
    ret->type = (enum frame_type)p[0];
    ret->channel = (unsigned)number(p + 1, 2);
    ret->payload = p + FRAME_HEAD;
    ret->size = size;
    if (ret->type == FRAME_METHOD && size >= 4)
        ret->method = (uint32_t)number(ret->payload, 4);
    return p[whole - 1] == FRAME_END;
}

void wire_amqp_take(struct wire_link *l, enum wire_side side, const char *data, size_t len)
{
    struct wire_amqp *a = l->amqp;
    struct buf *unread = &a->unread[side];
    size_t done = 0, next = 0;
    struct frame f;

    buf_add(unread, data, len);
    while (!a->is_opaque[side]) {
        const uint8_t *p = (const uint8_t *)unread->data + done;
        a->is_opaque[side] = !read_frame(p, unread->len - done, &next, &f);
        if (a->is_opaque[side] || next == 0)
            break;
        take_frame(l, side, &f);
        done += next;
    }
    unread->len -= done;
    memmove(unread->data, unread->data + done, unread->len);
    if (a->is_opaque[side] && unread->len > 0) {
        wire_link_put_bytes(l, side, unread->data, unread->len);
        buf_clear(unread);
    }
}
