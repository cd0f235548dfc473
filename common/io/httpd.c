#include "common/io/httpd.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/prng.h"
#include "common/io/httpd_internal.h"

#define BACKLOG 1024
#define CONNECTION_MEMORY ((size_t)16 * 1024)
#define STOP_WAIT_MS 2000

/* ---- the listening socket: ours, so that a failure has a reason */

static bool resolve(const struct httpd_settings *s, struct addrinfo **ret, struct err *e)
{
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
        .ai_socktype = SOCK_STREAM,
    };
    char port[12];

    (void)snprintf(port, sizeof(port), "%d", (int)s->port);
    int error = getaddrinfo(s->address, port, &hints, ret);
    if (error != 0)
        return err_set(e, ERR_INVALID, "%s is no address: %s", s->address, gai_strerror(error));
    return true;
}

static bool bind_and_listen(int fd, const struct addrinfo *at)
{
    const int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
}

static bool listen_on(struct httpd *h, struct err *e)
{
    struct addrinfo *at = NULL;

    if (!resolve(&h->config.settings, &at, e))
        return false;
    h->listen_fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = h->listen_fd >= 0 && bind_and_listen(h->listen_fd, at);
    int error = errno;
    freeaddrinfo(at);
    if (!ok)
        return err_set(e, ERR_UNAVAILABLE, "cannot listen on %s port %lld: %s",
                       h->config.settings.address, (long long)h->config.settings.port,
                       strerror(error));
    return true;
}

static int64_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    char port[NI_MAXSERV] = "0";

    (void)getsockname(fd, (struct sockaddr *)&address, &len);
    (void)getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof(port),
                      NI_NUMERICSERV);
    return strtol(port, NULL, 10);
}

/* ---- connections */

static void conn_open(struct httpd *h, struct MHD_Connection *connection, void **context)
{
    const int fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    struct httpd_conn *conn = calloc(1, sizeof(*conn));

    if (conn)
        conn->slot =
            httpd_reaper_add(h->reaper, fd, clk_now_ms() + h->config.settings.request_timeout_ms);
    if (!conn || !conn->slot) {
        free(conn);
        (void)shutdown(fd, SHUT_RDWR); /* without a deadline it is not served */
        return;
    }
    metric_inc(h->metrics.connections, 1);
    *context = conn;
}

static void conn_close(struct httpd *h, void **context)
{
    struct httpd_conn *conn = TAKE(*context);

    if (!conn)
        return;
    httpd_reaper_remove(h->reaper, conn->slot);
    metric_inc(h->metrics.connections, -1);
    free(conn);
}

static void conn_notify(void *cls, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        conn_open(cls, connection, context);
    else
        conn_close(cls, context);
}

/* ---- the daemon */

static void mhd_log(void *cls, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));

static void mhd_log(void *cls, const char *fmt, va_list args)
{
    char text[200];

    (void)cls;
    (void)vsnprintf(text, sizeof(text), fmt, args);
    log_event(LOG_DEBUG, "http.library", log_str("text", text));
}

/* libmicrohttpd refuses a pool of one, which is what it is without a pool. */
static unsigned pool_size(int64_t threads)
{
    return threads > 1 ? (unsigned)threads : 0;
}

/*
 * Poll, not epoll: with more than about 128 suspended connections
 * libmicrohttpd 0.9.75 stalls under epoll, and watches and topups are
 * suspended by the thousand.  There is no limit by client address, since all
 * clients of a service may well come through one proxy.
 */
static bool daemon_start(struct httpd *h, struct err *e)
{
    const struct httpd_settings *s = &h->config.settings;

    h->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        httpd_call_step, h, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET,
        h->listen_fd, MHD_OPTION_THREAD_POOL_SIZE, pool_size(s->threads),
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)max_i64(s->connections_max, s->threads),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(HTTPD_IDLE_MS / 1000), MHD_OPTION_URI_LOG_CALLBACK, httpd_call_new, h,
        MHD_OPTION_NOTIFY_COMPLETED, httpd_call_end, h, MHD_OPTION_NOTIFY_CONNECTION, conn_notify,
        h, MHD_OPTION_END);
    return h->daemon || err_set(e, ERR_INTERNAL, "libmicrohttpd does not start");
}

static bool routes_copy(struct httpd *h, struct err *e)
{
    h->routes_count = HTTPD_BUILTINS + h->config.routes_count;
    h->routes = calloc(h->routes_count, sizeof(*h->routes));
    if (!h->routes)
        return err_set(e, ERR_INTERNAL, "out of memory");
    memcpy(h->routes, httpd_builtins, sizeof(httpd_builtins));
    if (h->config.routes_count > 0)
        memcpy(h->routes + HTTPD_BUILTINS, h->config.routes,
               h->config.routes_count * sizeof(*h->routes));
    return true;
}

static void metrics_register(struct httpd *h)
{
    struct metrics *m = h->config.metrics;

    h->metrics = (struct httpd_metrics){
        .requests = metric_new(m, METRIC_COUNTER, "volumecap_http_requests_total",
                               "Requests answered.", "operation,status"),
        .seconds =
            metric_new(m, METRIC_HISTOGRAM_SECONDS, "volumecap_http_request_duration_seconds",
                       "From the whole request to its answer.", "operation,status"),
        .connections =
            metric_new(m, METRIC_GAUGE, "volumecap_http_connections", "Open connections.", NULL),
        .refused = metric_new(m, METRIC_COUNTER, "volumecap_http_refused_total",
                              "Requests refused for their form, before routing.", "reason"),
        .reaped = metric_new(m, METRIC_COUNTER, "volumecap_http_reaped_total",
                             "Connections cut because they missed a deadline.", NULL),
    };
}

/* Often enough that a deadline is missed by a tenth at most. */
static int64_t reaper_period_ms(int64_t request_timeout_ms)
{
    return max_i64(10, min_i64(request_timeout_ms / 10, 250));
}

bool httpd_start(const struct httpd_config *config, struct httpd **ret, struct err *e)
{
    auto_httpd struct httpd *h = calloc(1, sizeof(*h));

    const int64_t timeout_ms = config->settings.request_timeout_ms;

    CHECK(config->metrics && timeout_ms > 0 && config->body_max > 0);
    if (!h)
        return err_set(e, ERR_INTERNAL, "out of memory");
    h->config = *config;
    h->listen_fd = -1;
    atomic_init(&h->id_state, prng_entropy());
    metrics_register(h);
    if (!routes_copy(h, e) || !listen_on(h, e) ||
        !httpd_reaper_start(reaper_period_ms(timeout_ms), h->metrics.reaped, &h->reaper, e) ||
        !daemon_start(h, e))
        return false;
    h->port = port_of(h->listen_fd);
    log_event(LOG_INFO, "http.listening", log_str("address", config->settings.address),
              log_i64("port", h->port));
    *ret = TAKE(h);
    return true;
}

void httpd_drain(struct httpd *h)
{
    atomic_store(&h->draining, true);
}

/* Answers under way get the chance to leave; whoever reads too slowly is cut off. */
static void wait_for_calls(struct httpd *h)
{
    const int64_t until_ms = clk_now_ms() + STOP_WAIT_MS;

    while (atomic_load(&h->calls) > 0 || atomic_load(&h->completions) > 0) {
        if (clk_now_ms() >= until_ms)
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    CHECK(atomic_load(&h->completions) == 0);
}

static void daemon_stop(struct httpd *h)
{
    httpd_drain(h);
    (void)MHD_quiesce_daemon(h->daemon); /* the socket is ours again */
    wait_for_calls(h);
    MHD_stop_daemon(h->daemon);
}

struct httpd *httpd_stop(struct httpd *h)
{
    if (!h)
        return NULL;
    if (h->daemon)
        daemon_stop(h);
    if (h->listen_fd >= 0)
        (void)close(h->listen_fd);
    (void)httpd_reaper_stop(h->reaper);
    free(h->routes);
    free(h);
    return NULL;
}

int64_t httpd_port(const struct httpd *h)
{
    return h->port;
}
