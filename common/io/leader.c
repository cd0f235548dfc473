#include "common/io/leader.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/io/httpc.h"
#include "common/io/js.h"

#define POLL_MS 200
#define POLL_STANDBY_MS 50 /* it is waited for */
#define TIMEOUT_MS 500
#define REPLY_MAX 4096
#define URL_SIZE 512
#define VALID_MS_MAX 60000

struct leader {
    pthread_mutex_t mutex;
    pthread_cond_t stop;
    bool stopping;          /* guarded by mutex */
    bool has_resigned;      /* guarded by mutex */
    int64_t valid_until_ms; /* guarded by mutex; by clk_now_ms() */
    int64_t epoch;          /* guarded by mutex; the highest heard of */
    char how[200];          /* guarded by mutex; for operators */
    struct leader_config config;
    char url[URL_SIZE];
    pthread_t thread;
    bool is_running;

    struct httpc *http; /* the thread's, as is all below */
    struct httpc_reply reply;
    bool was_acting;
    struct metric *acting;
};

struct answer {
    char role[NAME_SIZE];
    char state[NAME_SIZE];
    int64_t epoch;
    int64_t valid_for_ms;
};

static bool decode(const struct httpc_reply *reply, struct answer *ret, struct err *e)
{
#define AT(member) offsetof(struct answer, member)
    static const struct js_field fields[] = {
        {.name = "role", .kind = JS_NAME, .offset = AT(role)},
        {.name = "state", .kind = JS_NAME, .offset = AT(state)},
        {.name = "epoch", .kind = JS_I64, .offset = AT(epoch), .max = UNITS_MAX},
        {.name = "valid_for_ms", .kind = JS_I64, .offset = AT(valid_for_ms), .max = VALID_MS_MAX},
    };
#undef AT
    auto_js cJSON *body = NULL;

    return httpc_expect_success(reply, e) &&
           js_parse(buf_text(&reply->body), reply->body.len, &body, e) &&
           js_decode_lax(body, "", fields, sizeof(fields) / sizeof(fields[0]), ret, e);
}

static bool ask(struct leader *l, struct answer *ret, struct err *e)
{
    const struct httpc_request req = {.method = "GET", .url = l->url, .timeout_ms = TIMEOUT_MS};

    /* So that it wins with a higher one, should its database have been set back. */
    (void)snprintf(l->url, sizeof(l->url), "%s/leadership?heard=%lld",
                   l->config.settings.coordinator_url, (long long)l->epoch);
    return httpc_call(l->http, &req, &l->reply, e) && decode(&l->reply, ret, e);
}

/* Of a coordinator of another service, or of one whose database has been set back, nothing counts.
 */
static bool is_ours(const struct leader *l, const struct answer *a, struct err *e)
{
    if (strcmp(a->role, l->config.role) != 0)
        return err_set(e, ERR_INTERNAL, "it is the coordinator of %s", a->role);
    if (a->epoch < l->epoch)
        return err_set(e, ERR_INTERNAL, "the epoch went back from %lld to %lld",
                       (long long)l->epoch, (long long)a->epoch);
    return true;
}

static void lock(struct leader *l)
{
    CHECK(pthread_mutex_lock(&l->mutex) == 0);
}

static void unlock(struct leader *l)
{
    CHECK(pthread_mutex_unlock(&l->mutex) == 0);
}

static void take_answer(struct leader *l, const struct answer *a, int64_t asked_ms)
{
    lock(l);
    l->epoch = a->epoch;
    l->valid_until_ms = a->valid_for_ms > 0 ? asked_ms + a->valid_for_ms : 0;
    (void)snprintf(l->how, sizeof(l->how), "%s, epoch %lld", a->state, (long long)a->epoch);
    unlock(l);
}

/* A late answer says nothing about the one before; all others end what that allowed. */
static void take_failure(struct leader *l, const struct err *e)
{
    lock(l);
    if (e->kind != ERR_TIMEOUT)
        l->valid_until_ms = 0;
    (void)snprintf(l->how, sizeof(l->how), "not acting, no word of the coordinator: %.150s",
                   e->msg);
    unlock(l);
}

static void note_change(struct leader *l, const struct err *e)
{
    int64_t epoch = 0;
    bool is_acting = leader_epoch(l, &epoch);

    metric_put(l->acting, is_acting);
    if (is_acting == l->was_acting)
        return;
    l->was_acting = is_acting;
    if (is_acting)
        log_event(LOG_INFO, "leader.acting", log_str("role", l->config.role),
                  log_i64("epoch", epoch));
    else
        log_event(LOG_WARN, "leader.standing_by", log_str("role", l->config.role),
                  log_str("why", e->kind == ERR_NONE ? "told so" : e->msg));
}

static void poll_once(struct leader *l)
{
    int64_t asked_ms = clk_now_ms();
    struct answer answer = {0};
    struct err e = {0};

    if (ask(l, &answer, &e) && is_ours(l, &answer, &e))
        take_answer(l, &answer, asked_ms);
    else
        take_failure(l, &e);
    note_change(l, &e);
}

static struct timespec monotonic_in(int64_t ms)
{
    struct timespec t = {0};

    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    int64_t ns = t.tv_nsec + ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + ns / 1000000000;
    t.tv_nsec = ns % 1000000000;
    return t;
}

/* False when it is to stop. */
static bool pause_between(struct leader *l)
{
    const struct timespec until = monotonic_in(l->was_acting ? POLL_MS : POLL_STANDBY_MS);

    lock(l);
    while (!l->stopping && pthread_cond_timedwait(&l->stop, &l->mutex, &until) == 0)
        continue;
    bool go_on = !l->stopping;
    unlock(l);
    return go_on;
}

static void *run(void *arg)
{
    struct leader *l = arg;

    do
        poll_once(l);
    while (pause_between(l));
    return NULL;
}

static void init_lock(struct leader *l)
{
    pthread_condattr_t monotonic;

    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&l->stop, &monotonic) == 0);
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    CHECK(pthread_condattr_destroy(&monotonic) == 0);
}

static bool check(const struct leader_config *config, struct err *e)
{
    const char *url = config->settings.coordinator_url;

    if (url[0] == '\0')
        return true;
    if (config->settings.alone)
        return err_set(e, ERR_INVALID, "%sALONE and %sCOORDINATOR_URL contradict each other",
                       config->prefix, config->prefix);
    if (strncmp(url, "http://", strlen("http://")) != 0 ||
        strlen(url) >= URL_SIZE - sizeof("/leadership?heard=9223372036854775807"))
        return err_set(e, ERR_INVALID, "%sCOORDINATOR_URL is no http:// address", config->prefix);
    return true;
}

static void say_why_not(const struct leader *l)
{
    char settings[120];

    (void)snprintf(settings, sizeof(settings), "%sCOORDINATOR_URL or %sALONE=1", l->config.prefix,
                   l->config.prefix);
    log_event(LOG_WARN, "leader.never_acts", log_str("role", l->config.role),
              log_str("needs", settings));
}

static bool start_thread(struct leader *l, struct err *e)
{
    (void)snprintf(l->how, sizeof(l->how), "not acting, the coordinator is being asked");
    if (!httpc_new(REPLY_MAX, &l->http, e))
        return false;
    if (pthread_create(&l->thread, NULL, run, l) != 0)
        return err_set(e, ERR_INTERNAL, "no thread to ask the coordinator");
    l->is_running = true;
    return true;
}

bool leader_start(const struct leader_config *config, struct leader **ret, struct err *e)
{
    if (!check(config, e))
        return false;

    struct leader *new = calloc(1, sizeof(*new));
    if (!new)
        return err_set(e, ERR_INTERNAL, "out of memory");
    init_lock(new);
    auto_leader struct leader *l = new;
    l->config = *config;
    l->acting = metric_new(config->metrics, METRIC_GAUGE, "volumecap_acting",
                           "1 if this replica does what only one may do", NULL);
    metric_put(l->acting, config->settings.alone);
    if (!leader_is_configured(l))
        say_why_not(l);
    if (config->settings.coordinator_url[0] != '\0' && !start_thread(l, e))
        return false;
    *ret = TAKE(l);
    return true;
}

static void stop_thread(struct leader *l)
{
    lock(l);
    l->stopping = true;
    CHECK(pthread_cond_signal(&l->stop) == 0);
    unlock(l);
    httpc_cancel(l->http);
    CHECK(pthread_join(l->thread, NULL) == 0);
    l->is_running = false;
}

void leader_resign(struct leader *l)
{
    if (!l)
        return;
    if (l->is_running)
        stop_thread(l);
    lock(l);
    l->has_resigned = true;
    unlock(l);
    metric_put(l->acting, false);
}

struct leader *leader_stop(struct leader *l)
{
    if (!l)
        return NULL;
    if (l->is_running)
        stop_thread(l);
    (void)httpc_free(l->http);
    buf_done(&l->reply.body);
    CHECK(pthread_cond_destroy(&l->stop) == 0);
    CHECK(pthread_mutex_destroy(&l->mutex) == 0);
    free(l);
    return NULL;
}

bool leader_epoch(struct leader *l, int64_t *ret_epoch)
{
    const bool is_alone = l->config.settings.alone;

    lock(l);
    bool is_valid = !l->has_resigned && (is_alone || clk_now_ms() < l->valid_until_ms);
    *ret_epoch = is_alone ? LEADER_ALONE : l->epoch;
    unlock(l);
    return is_valid;
}

const char *leader_role(const struct leader *l)
{
    return l->config.role;
}

bool leader_is_configured(const struct leader *l)
{
    return l->config.settings.alone || l->config.settings.coordinator_url[0] != '\0';
}

void leader_describe(struct leader *l, struct buf *out)
{
    if (l->config.settings.alone) {
        buf_str(out, "leadership: alone\n");
        return;
    }
    if (!leader_is_configured(l)) {
        buf_printf(out, "leadership: never acts without %sCOORDINATOR_URL or %sALONE=1\n",
                   l->config.prefix, l->config.prefix);
        return;
    }
    lock(l);
    buf_printf(out, "leadership: %s\n", l->how);
    unlock(l);
}

bool leader_fence(struct db_conn *c, const char *role, int64_t epoch, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (epoch == LEADER_ALONE)
        return true;
    if (!db_query(c, "SELECT coordinator.is_current($1, $2)", DB_ARGS(db_text(role), db_i64(epoch)),
                  &rows, e))
        return false;
    return db_get_bool(rows, 0, 0) ||
           err_set(e, ERR_PRECONDITION, "epoch %lld of %s is over", (long long)epoch, role);
}
