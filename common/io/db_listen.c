#include "common/io/db_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/prng.h"

#define CHANNEL_SIZE 64 /* PostgreSQL's own limit on names */
#define PAUSE_FIRST_MS 50
#define PAUSE_MAX_MS 1000
#define QUIET_MS 5000 /* then the server is asked whether it is still the one to listen to */
#define CHECK_MS 2000

struct db_listener {
    struct db_settings *settings;
    struct db_conn *conn; /* NULL: not connected */
    char listen[CHANNEL_SIZE * 2 + 16];
    int wake;              /* an eventfd: the only member that other threads touch */
    int64_t pause_ms;      /* the next one, before connecting again */
    int64_t not_before_ms; /* no connecting before */
    int64_t check_at_ms;
    struct prng prng;
};

static bool is_channel(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return len > 0 && len < CHANNEL_SIZE && text[len] == '\0';
}

bool db_listen(const char *conninfo, const char *channel, struct db_listener **ret, struct err *e)
{
    CHECK(is_channel(channel));

    struct db_listener *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(e, ERR_INTERNAL, "out of memory");
    snprintf(l->listen, sizeof(l->listen), "LISTEN \"%s\"", channel);
    l->pause_ms = PAUSE_FIRST_MS;
    l->prng.state = prng_entropy();
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake < 0)
        err_set_(e, ERR_INTERNAL, "eventfd: %s", strerror(errno));
    if (l->wake < 0 || !db_settings_new(conninfo, &l->settings, e)) {
        db_listener_free(l);
        return false;
    }
    *ret = l;
    return true;
}

struct db_listener *db_listener_free(struct db_listener *l)
{
    if (!l)
        return NULL;
    db_conn_free(l->conn);
    db_settings_free(l->settings);
    if (l->wake >= 0)
        close(l->wake);
    free(l);
    return NULL;
}

void db_listener_wake(struct db_listener *l)
{
    const uint64_t one = 1;

    /* It fails only when the counter is full, and then the listener is awake anyway. */
    if (write(l->wake, &one, sizeof(one)) < 0)
        CHECK(errno == EAGAIN);
}

static bool was_woken(struct db_listener *l)
{
    uint64_t count = 0;

    return read(l->wake, &count, sizeof(count)) == sizeof(count);
}

static bool subscribe(struct db_listener *l, struct err *e)
{
    auto_db_conn struct db_conn *c = NULL;

    if (!db_conn_new(l->settings, &c, e) || !db_conn_script(c, l->listen, DB_ANSWER_MS, NULL, e))
        return false;
    l->conn = TAKE(c);
    return true;
}

static void put_off(struct db_listener *l, const struct err *e)
{
    log_event(LOG_WARN, "db.listen_failed", log_str("error", e->msg),
              log_i64("will_retry_in_ms", l->pause_ms));
    l->not_before_ms = clk_now_ms() + l->pause_ms / 2 + prng_below(&l->prng, l->pause_ms);
    l->pause_ms = min_i64(l->pause_ms * 2, PAUSE_MAX_MS);
}

static bool reconnect(struct db_listener *l)
{
    struct err e = {0};

    if (!subscribe(l, &e)) {
        put_off(l, &e);
        return false;
    }
    l->pause_ms = PAUSE_FIRST_MS;
    l->check_at_ms = clk_now_ms() + QUIET_MS;
    return true;
}

/*
 * A server that is frozen, or no longer the primary, keeps the connection and
 * never says anything again.
 */
static void check(struct db_listener *l)
{
    struct err e = {0};
    bool answers = db_conn_script(l->conn, "SELECT 1", CHECK_MS, NULL, &e);

    l->check_at_ms = clk_now_ms() + QUIET_MS;
    if (answers && db_conn_is_of_use(l->conn))
        return;
    log_event(LOG_WARN, "db.listen_lost",
              log_str("error", answers ? "the server has become read-only" : e.msg),
              log_str("then", "will connect again"));
    l->conn = db_conn_free(l->conn);
}

static bool take_notifications(struct db_listener *l)
{
    bool any = false;

    if (!PQconsumeInput(l->conn->pg)) {
        l->conn = db_conn_free(l->conn);
        return false;
    }
    for (PGnotify *n = PQnotifies(l->conn->pg); n; n = PQnotifies(l->conn->pg)) {
        any = true;
        PQfreemem(n);
    }
    if (any)
        l->check_at_ms = clk_now_ms() + QUIET_MS;
    return any;
}

/* Waits for the server or a wake, or until the time; true: woken. */
static bool poll_until(struct db_listener *l, int64_t until_ms)
{
    struct pollfd fds[] = {
        {.fd = l->wake, .events = POLLIN},
        {.fd = l->conn ? PQsocket(l->conn->pg) : -1, .events = POLLIN},
    };
    int64_t left_ms = min_i64(max_i64(until_ms - clk_now_ms(), 0), INT32_MAX);

    (void)poll(fds, 2, (int)left_ms);
    return was_woken(l);
}

bool db_listener_wait(struct db_listener *l, int64_t timeout_ms)
{
    int64_t deadline_ms = clk_now_ms() + timeout_ms;

    do {
        if (l->conn && clk_now_ms() >= l->check_at_ms)
            check(l);
        bool connected = l->conn != NULL;

        if (!connected && clk_now_ms() >= l->not_before_ms && reconnect(l))
            return true;
        /* Notifications may have come along with an earlier answer. */
        if (connected && take_notifications(l))
            return true;
        if (poll_until(l, min_i64(deadline_ms, l->conn ? l->check_at_ms : l->not_before_ms)))
            return true;
    } while (clk_now_ms() < deadline_ms);
    return l->conn && take_notifications(l);
}
