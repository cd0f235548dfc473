#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/num.h"
#include "tests/harness/proc.h"
#include "tests/harness/wire_internal.h"

#define PIECE_MAX 65536
#define QUEUE_MAX (2 << 20)
#define NS_PER_S INT64_C(1000000000)
#define STEPS_PER_S 100 /* a slow line carries its bytes in so many portions */

/* ---- queues */

struct wire_piece *wire_piece_new(const void *data, size_t len)
{
    struct wire_piece *p = malloc(sizeof(*p) + len);

    if (!p)
        harness_fail("out of memory");
    *p = (struct wire_piece){.len = len};
    memcpy(p->data, data, len);
    return p;
}

static void count_piece(struct wire_queue *q, const struct wire_piece *p, int by)
{
    if (by > 0)
        q->bytes += sizeof(*p) + p->len;
    else
        q->bytes -= sizeof(*p) + p->len;
    q->count += by;
}

void wire_queue_add(struct wire_queue *q, struct wire_piece *p)
{
    p->next = NULL;
    if (q->last)
        q->last->next = p;
    else
        q->first = p;
    q->last = p;
    count_piece(q, p, 1);
}

void wire_queue_add_first(struct wire_queue *q, struct wire_piece *p)
{
    p->next = q->first;
    q->first = p;
    if (!q->last)
        q->last = p;
    count_piece(q, p, 1);
}

struct wire_piece *wire_queue_take(struct wire_queue *q)
{
    struct wire_piece *p = q->first;

    if (!p)
        return NULL;
    q->first = p->next;
    if (!q->first)
        q->last = NULL;
    count_piece(q, p, -1);
    return p;
}

void wire_queue_clear(struct wire_queue *q)
{
    for (struct wire_piece *p = wire_queue_take(q); p; p = wire_queue_take(q))
        free(p);
}

/* ---- the ends */

static void close_side(struct wire_link *l, enum wire_side side, bool with_reset)
{
    const struct linger none = {.l_onoff = 1};

    if (l->fds[side] < 0)
        return;
    if (with_reset)
        (void)setsockopt(l->fds[side], SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    (void)close(l->fds[side]);
    l->fds[side] = -1;
}

static void end_flow(struct wire_link *l, enum wire_side side, enum wire_end end)
{
    struct wire_flow *f = &l->flows[side];

    f->end = end;
    f->ended_at_ns = l->wire->now_ns;
    f->is_end_told = false;
}

/* This side has reset the connection, or died: the other hears of it in its time. */
static void side_failed(struct wire_link *l, enum wire_side side)
{
    close_side(l, side, false);
    wire_queue_clear(&l->flows[wire_other(side)].queue);
    l->flows[wire_other(side)].is_full = false;
    l->is_over = l->fds[wire_other(side)] < 0;
    end_flow(l, side, WIRE_END_RESET);
}

static void tell_end(struct wire_link *l, enum wire_side side)
{
    const enum wire_side to = wire_other(side);
    struct wire_flow *f = &l->flows[side];

    f->is_end_told = true;
    if (f->end == WIRE_END_RESET) {
        close_side(l, to, /* with_reset= */ true);
        l->is_over = true;
        return;
    }
    if (l->fds[to] >= 0)
        (void)shutdown(l->fds[to], SHUT_WR);
    l->is_over = l->flows[to].is_end_told;
}

void wire_link_reset(struct wire_link *l)
{
    close_side(l, WIRE_CLIENT, true);
    close_side(l, WIRE_UPSTREAM, true);
    l->is_over = true;
}

void wire_link_half_open(struct wire_link *l)
{
    if (l->state == WIRE_LINK_WAITING)
        return;
    close_side(l, WIRE_UPSTREAM, true);
    wire_queue_clear(&l->flows[WIRE_CLIENT].queue);
    wire_queue_clear(&l->flows[WIRE_UPSTREAM].queue);
    wire_amqp_forget(l);
    l->state = WIRE_LINK_HALF_OPEN;
    l->is_over = l->is_over || l->fds[WIRE_CLIENT] < 0;
}

/* ---- connecting */

static void no_waiting(int fd)
{
    const int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

struct wire_link *wire_link_new(struct wire *w, int client)
{
    struct wire_link *l = calloc(1, sizeof(*l));

    if (!l)
        harness_fail("out of memory");
    l->wire = w;
    l->fds[WIRE_CLIENT] = client;
    l->fds[WIRE_UPSTREAM] = -1;
    l->amqp = w->is_amqp ? wire_amqp_new() : NULL;
    no_waiting(client);
    wire_link_connect(l);
    return l;
}

/* Of a link that waits. The first packet of a client does not get through a cut either. */
void wire_link_connect(struct wire_link *l)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)l->wire->upstream_port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    if (l->state != WIRE_LINK_WAITING || l->wire->lines[WIRE_CLIENT].is_cut)
        return;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        harness_fail("no socket for a connection to port %lld: %s",
                     (long long)l->wire->upstream_port, strerror(errno));
    no_waiting(fd);
    l->fds[WIRE_UPSTREAM] = fd;
    l->state = WIRE_LINK_CONNECTING;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        l->state = WIRE_LINK_OPEN;
    else if (errno != EINPROGRESS) {
        l->state = WIRE_LINK_OPEN;
        side_failed(l, WIRE_UPSTREAM);
    }
}

static void finish_connecting(struct wire_link *l)
{
    int error = 0;
    socklen_t len = sizeof(error);

    l->state = WIRE_LINK_OPEN;
    if (getsockopt(l->fds[WIRE_UPSTREAM], SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        side_failed(l, WIRE_UPSTREAM);
}

void wire_link_free(struct wire_link *l)
{
    close_side(l, WIRE_CLIENT, false);
    close_side(l, WIRE_UPSTREAM, false);
    wire_queue_clear(&l->flows[WIRE_CLIENT].queue);
    wire_queue_clear(&l->flows[WIRE_UPSTREAM].queue);
    (void)wire_amqp_free(l->amqp);
    free(l);
}

/* ---- reading */

static bool may_read(const struct wire_link *l, enum wire_side side)
{
    const struct wire_flow *f = &l->flows[side];

    return l->state == WIRE_LINK_OPEN && f->end == WIRE_END_NONE && l->fds[side] >= 0 &&
           l->fds[wire_other(side)] >= 0 && f->queue.bytes < QUEUE_MAX &&
           !l->wire->lines[side].is_cut;
}

/* Nobody is there to take what sets out to a socket that is gone. */
void wire_link_put(struct wire_link *l, enum wire_side side, struct wire_piece *p)
{
    if (l->fds[wire_other(side)] < 0) {
        free(p);
        return;
    }
    p->came_at_ns = l->wire->now_ns;
    wire_queue_add(&l->flows[side].queue, p);
}

void wire_link_put_bytes(struct wire_link *l, enum wire_side side, const void *data, size_t len)
{
    wire_link_put(l, side, wire_piece_new(data, len));
}

static void read_side(struct wire_link *l, enum wire_side side)
{
    char bytes[PIECE_MAX];
    ssize_t n = recv(l->fds[side], bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n > 0 && l->amqp)
        wire_amqp_take(l, side, bytes, (size_t)n);
    else if (n > 0)
        wire_link_put_bytes(l, side, bytes, (size_t)n);
    else if (n == 0)
        end_flow(l, side, WIRE_END_CLOSED);
    else if (errno != EAGAIN && errno != EINTR)
        side_failed(l, side);
}

static void hear_side(struct wire_link *l, enum wire_side side, short events)
{
    if (l->state == WIRE_LINK_WAITING || l->state == WIRE_LINK_HALF_OPEN) {
        l->is_over = true; /* the client has given up */
        return;
    }
    if (l->state == WIRE_LINK_CONNECTING) {
        if (side == WIRE_UPSTREAM)
            finish_connecting(l);
        else
            wire_link_reset(l);
        return;
    }
    if (events & POLLOUT)
        l->flows[wire_other(side)].is_full = false;
    if (may_read(l, side) && (events & (POLLIN | POLLHUP | POLLERR)))
        read_side(l, side);
    else if (events & POLLERR)
        side_failed(l, side);
    else if (events & POLLHUP)
        l->is_hung[side] = true; /* shut both ways */
}

void wire_link_watch(const struct wire_link *l, struct pollfd ret[2])
{
    for (int i = WIRE_CLIENT; i <= WIRE_UPSTREAM; i++) {
        const enum wire_side side = (enum wire_side)i;
        const bool reads = may_read(l, side);
        int events = 0;

        if (l->state == WIRE_LINK_CONNECTING)
            events = side == WIRE_UPSTREAM ? POLLOUT : 0;
        else if (l->state != WIRE_LINK_OPEN)
            events = POLLRDHUP;
        else
            events = (reads ? POLLIN : 0) | (l->flows[wire_other(side)].is_full ? POLLOUT : 0);
        ret[side] = (struct pollfd){.fd = l->is_hung[side] && !reads ? -1 : l->fds[side],
                                    .events = (short)events};
    }
}

void wire_link_hear(struct wire_link *l, const struct pollfd fds[2])
{
    for (int i = WIRE_CLIENT; i <= WIRE_UPSTREAM; i++)
        if (fds[i].revents != 0 && fds[i].fd == l->fds[i] && !l->is_over)
            hear_side(l, (enum wire_side)i, fds[i].revents);
}

/* ---- passing on */

/* How many bytes the line takes now. */
static size_t room_on(const struct wire_line *line)
{
    if (line->bytes_per_s == 0)
        return SIZE_MAX;
    return (size_t)max_i64(line->bytes_per_s / STEPS_PER_S, 1);
}

/* Who comes late, as threads do, may catch up by one portion: that keeps the mean exact. */
static void use_line(struct wire *w, struct wire_line *line, int64_t bytes)
{
    const int64_t free_since_ns = max_i64(line->busy_until_ns, w->now_ns - NS_PER_S / STEPS_PER_S);

    if (line->bytes_per_s > 0)
        line->busy_until_ns = free_since_ns + bytes * NS_PER_S / line->bytes_per_s;
}

/* Some of the first piece. */
static void send_some(struct wire_link *l, enum wire_side side)
{
    struct wire *w = l->wire;
    struct wire_line *line = &w->lines[side];
    struct wire_flow *f = &l->flows[side];
    struct wire_piece *p = f->queue.first;
    const size_t rest = p->len - p->passed, room = room_on(line);
    ssize_t n = send(l->fds[wire_other(side)], p->data + p->passed, rest < room ? rest : room,
                     MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR)
            f->is_full = true;
        else
            side_failed(l, wire_other(side));
        return;
    }
    use_line(w, line, n);
    *(side == WIRE_CLIENT ? &w->counts.to_upstream : &w->counts.to_client) += n;
    p->passed += (size_t)n;
    if (p->passed == p->len)
        free(wire_queue_take(&f->queue));
}

static void pass_flow(struct wire_link *l, enum wire_side side)
{
    struct wire *w = l->wire;
    const struct wire_line *line = &w->lines[side];
    struct wire_flow *f = &l->flows[side];

    if (l->state != WIRE_LINK_OPEN || line->is_cut)
        return;
    while (f->queue.first && !f->is_full) {
        if (!wire_is_due(w, f->queue.first->came_at_ns + line->delay_ns) ||
            !wire_is_due(w, line->bytes_per_s > 0 ? line->busy_until_ns : 0))
            return;
        send_some(l, side);
    }
    /* A reset needs no room at the receiver's. */
    if (f->queue.first && f->end != WIRE_END_RESET)
        return;
    if (f->end != WIRE_END_NONE && !f->is_end_told &&
        wire_is_due(w, f->ended_at_ns + line->delay_ns))
        tell_end(l, side);
}

void wire_link_pass(struct wire_link *l)
{
    if (!l->is_over)
        pass_flow(l, WIRE_CLIENT);
    if (!l->is_over)
        pass_flow(l, WIRE_UPSTREAM);
}
