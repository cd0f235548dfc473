#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/wait.h"
#include "common/io/bus_internal.h"

#define FRAME_MAX 131072
#define HEARTBEAT_S 5
#define BACKOFF_MIN_MS INT64_C(50)
#define BACKOFF_MAX_MS INT64_C(3000)
#define WATCHDOG_MS 250

static void lock(struct bus_conn *c)
{
    CHECK(pthread_mutex_lock(&c->lock) == 0);
}

static void unlock(struct bus_conn *c)
{
    CHECK(pthread_mutex_unlock(&c->lock) == 0);
}

/* ---- what happened */

bool bus_status_check(int status, const char *what, struct err *e)
{
    if (status == AMQP_STATUS_OK)
        return true;
    return err_set(e, status == AMQP_STATUS_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, "%s: %s", what,
                   amqp_error_string2(status));
}

static bool refused(const amqp_method_t *method, const char *what, struct err *e)
{
    amqp_bytes_t text = amqp_empty_bytes;

    if (method->id == AMQP_CONNECTION_CLOSE_METHOD)
        text = ((const amqp_connection_close_t *)method->decoded)->reply_text;
    if (method->id == AMQP_CHANNEL_CLOSE_METHOD)
        text = ((const amqp_channel_close_t *)method->decoded)->reply_text;
    return err_set(e, ERR_UNAVAILABLE, "%s: %.*s", what, (int)min_i64((int64_t)text.len, 150),
                   text.bytes ? (const char *)text.bytes : "the broker has closed it");
}

bool bus_reply_check(amqp_rpc_reply_t reply, const char *what, struct err *e)
{
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL: return true;
    case AMQP_RESPONSE_SERVER_EXCEPTION: return refused(&reply.reply, what, e);
    case AMQP_RESPONSE_LIBRARY_EXCEPTION: return bus_status_check(reply.library_error, what, e);
    default: return err_set(e, ERR_UNAVAILABLE, "%s: no answer", what);
    }
}

void bus_conn_count(struct bus_conn *c, int64_t *count, int64_t n)
{
    lock(c);
    *count += n;
    unlock(c);
}

void bus_conn_queue(struct bus_conn *c, bool is_missing)
{
    lock(c);
    c->counts.queue_missing = is_missing;
    unlock(c);
}

void bus_conn_state(struct bus_conn *c, enum bus_state state)
{
    lock(c);
    bool changed = c->counts.state != state;
    c->counts.state = state;
    unlock(c);
    if (changed)
        log_event(state == BUS_CONNECTED ? LOG_INFO : LOG_WARN, "bus.state",
                  log_str("broker", c->name), log_str("state", bus_state_names[state]));
}

struct bus_counts bus_conn_counts(struct bus_conn *c)
{
    lock(c);
    struct bus_counts counts = c->counts;
    unlock(c);
    return counts;
}

/* ---- the watchdog */

void bus_conn_busy(struct bus_conn *c)
{
    lock(c);
    c->busy_until_ms = clk_now_ms() + BUS_CALL_MS;
    unlock(c);
}

void bus_conn_idle(struct bus_conn *c)
{
    lock(c);
    c->busy_until_ms = 0;
    unlock(c);
}

/* Under the lock. A call blocked on the socket returns with an error. */
static void cut(struct bus_conn *c)
{
    if (c->fd >= 0)
        (void)shutdown(c->fd, SHUT_RDWR);
}

/* Under the lock. */
static void sleep_ms(struct bus_conn *c, int64_t ms)
{
    const struct timespec until = wait_deadline(ms);

    while (!atomic_load(&c->stopped) && wait_until(&c->stop, &c->lock, until))
        continue;
}

void bus_conn_pause(struct bus_conn *c, int64_t ms)
{
    lock(c);
    sleep_ms(c, ms);
    unlock(c);
}

static void *watch(void *arg)
{
    struct bus_conn *c = arg;

    lock(c);
    while (!atomic_load(&c->stopped)) {
        if (c->busy_until_ms > 0 && clk_now_ms() >= c->busy_until_ms) {
            cut(c);
            c->busy_until_ms = 0;
            log_event(LOG_WARN, "bus.cut", log_str("broker", c->name),
                      log_str("why", "the broker does not read"));
        }
        sleep_ms(c, WATCHDOG_MS);
    }
    unlock(c);
    return NULL;
}

/* ---- opening and closing */

static void set_fd(struct bus_conn *c, int fd)
{
    lock(c);
    c->fd = fd;
    if (atomic_load(&c->stopped))
        cut(c);
    unlock(c);
}

/* Who cannot prove to be the host that is meant is not talked to. */
static bool demand_proof(struct bus_conn *c, amqp_socket_t *socket, struct err *e)
{
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 1);
    return bus_status_check(amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST),
                            "TLS", e) &&
           bus_status_check(amqp_ssl_socket_set_cacert(socket, c->ca), c->ca, e);
}

static bool connect_to(struct bus_conn *c, const struct amqp_connection_info *info, struct err *e)
{
    const struct timeval limit = {.tv_sec = BUS_CALL_MS / 1000};
    amqp_socket_t *socket = info->ssl ? amqp_ssl_socket_new(c->amqp) : amqp_tcp_socket_new(c->amqp);

    if (!socket)
        return err_set(e, ERR_INTERNAL, "out of memory");
    if (info->ssl && !demand_proof(c, socket, e))
        return false;
    if (!bus_status_check(amqp_set_handshake_timeout(c->amqp, &limit), "timeout", e) ||
        !bus_status_check(amqp_set_rpc_timeout(c->amqp, &limit), "timeout", e) ||
        !bus_status_check(amqp_socket_open_noblock(socket, info->host, info->port, &limit),
                          "connect", e))
        return false;
    set_fd(c, amqp_get_sockfd(c->amqp));
    return true;
}

static amqp_table_entry_t flag(const char *name)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(name),
        .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}},
    };
}

/* The broker tells of its alarms, and of the end of a queue, only who says that it listens. */
static bool login(struct bus_conn *c, const struct amqp_connection_info *info, struct err *e)
{
    amqp_table_entry_t flags[] = {flag("connection.blocked"), flag("consumer_cancel_notify")};
    amqp_table_entry_t capabilities = {
        .key = amqp_cstring_bytes("capabilities"),
        .value = {.kind = AMQP_FIELD_KIND_TABLE,
                  .value = {.table = {.num_entries = 2, .entries = flags}}},
    };
    const amqp_table_t properties = {.num_entries = 1, .entries = &capabilities};
    amqp_rpc_reply_t reply =
        amqp_login_with_properties(c->amqp, info->vhost, 0, FRAME_MAX, HEARTBEAT_S, &properties,
                                   AMQP_SASL_METHOD_PLAIN, info->user, info->password);

    if (!bus_reply_check(reply, "login", e))
        return false;
    (void)amqp_channel_open(c->amqp, BUS_CHANNEL);
    return bus_reply_check(amqp_get_rpc_reply(c->amqp), "channel", e);
}

static bool open_conn(struct bus_conn *c, struct err *e)
{
    struct amqp_connection_info info;
    auto_free char *url = strdup(c->url);

    CHECK(url != NULL);
    CHECK(amqp_parse_url(url, &info) == AMQP_STATUS_OK);
    c->amqp = amqp_new_connection();
    CHECK(c->amqp != NULL);
    if (!connect_to(c, &info, e) || !login(c, &info, e) || !c->role->open(c->arg, c, e))
        return false;
    bus_conn_count(c, &c->counts.connects, 1);
    bus_conn_state(c, BUS_CONNECTED);
    return true;
}

/* No farewell: the broker sees the end of the socket, and a farewell could block. */
static void close_conn(struct bus_conn *c)
{
    set_fd(c, -1);
    bus_conn_idle(c);
    if (c->amqp)
        (void)amqp_destroy_connection(c->amqp);
    c->amqp = NULL;
    c->role->closed(c->arg);
    bus_conn_state(c, BUS_DOWN);
}

/* ---- frames */

void bus_conn_wait(struct bus_conn *c, int64_t ms)
{
    struct pollfd fds[] = {
        {.fd = c->wake_fd, .events = POLLIN},
        {.fd = amqp_get_sockfd(c->amqp), .events = POLLIN},
    };
    uint64_t rings = 0;

    if (amqp_frames_enqueued(c->amqp) || amqp_data_in_buffer(c->amqp))
        return;
    (void)poll(fds, 2, (int)ms);
    if (fds[0].revents & POLLIN)
        (void)!read(c->wake_fd, &rings, sizeof(rings));
}

bool bus_conn_frame(struct bus_conn *c, amqp_frame_t *ret, bool *ret_any, struct err *e)
{
    const struct timeval now = {0};

    amqp_maybe_release_buffers(c->amqp);
    bus_conn_busy(c); /* a heartbeat may have to be sent */
    int status = amqp_simple_wait_frame_noblock(c->amqp, ret, &now);
    bus_conn_idle(c);
    *ret_any = status == AMQP_STATUS_OK;
    return status == AMQP_STATUS_TIMEOUT || bus_status_check(status, "read", e);
}

bool bus_conn_handle(struct bus_conn *c, const amqp_frame_t *frame, struct err *e)
{
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return true;
    switch (frame->payload.method.id) {
    case AMQP_CONNECTION_BLOCKED_METHOD: bus_conn_state(c, BUS_BLOCKED); return true;
    case AMQP_CONNECTION_UNBLOCKED_METHOD: bus_conn_state(c, BUS_CONNECTED); return true;
    case AMQP_CONNECTION_CLOSE_METHOD:
    case AMQP_CHANNEL_CLOSE_METHOD: return refused(&frame->payload.method, "closed", e);
    case AMQP_BASIC_CANCEL_METHOD: return err_set(e, ERR_UNAVAILABLE, "the queue has been deleted");
    default: return true;
    }
}

/* ---- the thread */

static void back_off(struct bus_conn *c, const struct err *e)
{
    bus_conn_count(c, &c->counts.failures, 1);
    if (!atomic_load(&c->stopped))
        log_event(c->backoff_ms == 0 ? LOG_WARN : LOG_DEBUG, "bus.failed",
                  log_str("broker", c->name), log_str("error", e->msg),
                  log_str("then", "will reconnect"));
    c->backoff_ms = min_i64(max_i64(2 * c->backoff_ms, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
    bus_conn_pause(c, c->backoff_ms / 2 + prng_below(&c->prng, c->backoff_ms / 2 + 1));
}

static bool is_wanted(const struct bus_conn *c)
{
    return !c->wanted || c->wanted(c->wanted_arg);
}

static void *run(void *arg)
{
    struct bus_conn *c = arg;

    while (!atomic_load(&c->stopped)) {
        struct err e = {0};

        if (!is_wanted(c)) {
            bus_conn_pause(c, BUS_POLL_MS);
            continue;
        }
        bool ok = open_conn(c, &e);
        int64_t since_ms = clk_now_ms();

        while (ok && !atomic_load(&c->stopped) && is_wanted(c))
            ok = c->role->step(c->arg, c, &e);
        /* A connection that breaks at once is no reason to hurry. */
        if (clk_now_ms() - since_ms > BACKOFF_MAX_MS)
            c->backoff_ms = 0;
        close_conn(c);
        if (!ok)
            back_off(c, &e);
    }
    return NULL;
}

bool bus_conn_start(struct bus_conn *c, struct err *e)
{
    c->fd = -1;
    c->prng.state = prng_entropy();
    CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    wait_init(&c->stop);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0)
        return err_set(e, ERR_INTERNAL, "eventfd: %s", strerror(errno));
    CHECK(pthread_create(&c->watchdog, NULL, watch, c) == 0);
    CHECK(pthread_create(&c->thread, NULL, run, c) == 0);
    return true;
}

void bus_conn_tell_stop(struct bus_conn *c)
{
    lock(c);
    atomic_store(&c->stopped, true);
    cut(c);
    CHECK(pthread_cond_broadcast(&c->stop) == 0);
    unlock(c);
    bus_conn_wake(c);
}

void bus_conn_stop(struct bus_conn *c)
{
    if (c->wake_fd >= 0) {
        bus_conn_tell_stop(c);
        CHECK(pthread_join(c->thread, NULL) == 0);
        CHECK(pthread_join(c->watchdog, NULL) == 0);
        (void)close(c->wake_fd);
    }
    CHECK(pthread_cond_destroy(&c->stop) == 0);
    CHECK(pthread_mutex_destroy(&c->lock) == 0);
}

void bus_conn_wake(struct bus_conn *c)
{
    const uint64_t one = 1;

    (void)!write(c->wake_fd, &one, sizeof(one));
}
