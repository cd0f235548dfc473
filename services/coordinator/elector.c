#include "services/coordinator/elector.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/prng.h"
#include "services/coordinator/store.h"
#include "services/coordinator/terms.h"

#define PAUSE_FIRST_MS 50 /* before connecting again; doubles */
#define PAUSE_MAX_MS 1000
#define RETRY_MS 200 /* after the database refused a statement */
#define NO_EPOCH INT64_C(-1)

/* clang-format off */
/* Why a coordinator became primary, or ceased to be. */
#define REASONS(X) \
    X(REASON_WON,         "won")          \
    X(REASON_STEPPED,     "stepped_down") \
    X(REASON_STOPPED,     "stopped")      \
    X(REASON_SILENT,      "service_silent") /* nobody acts by our word */               \
    X(REASON_EXPIRED,     "expired")      /* no heartbeat within the lease */             \
    X(REASON_LOST,        "session_lost") /* the connection ended, or gave no answer */   \
    X(REASON_SUPERSEDED,  "superseded")   /* there is a newer epoch: our lock was no lock */ \
    X(REASON_OUTRANKED,   "outranked")    /* the service has heard of a higher epoch than ours */
/* clang-format on */

enum reason {
#define X(reason, name) reason,
    REASONS(X)
#undef X
        REASON_COUNT
};

static const char *const reason_names[] = {
#define X(reason, name) name,
    REASONS(X)
#undef X
};

struct elector {
    struct elector_config config;
    struct db_session *session;
    atomic_bool stopping;
    pthread_t thread;
    bool is_running;

    /* The thread's. */
    struct coordinator_self self;
    struct prng prng;
    int64_t epoch;
    int64_t opened_ms;  /* the session */
    int64_t seen_epoch; /* whose holder has beaten since then; NO_EPOCH: none */
    int64_t acts_at_ms;
    int64_t beat_at_ms;
    int64_t try_at_ms;
    int64_t connect_at_ms;
    int64_t rest_until_ms;
    int64_t pause_ms;
    int64_t lag_ms; /* of the last heartbeat */

    struct metric *leader;
    struct metric *leader_epoch;
    struct metric *changes;
    struct metric *heartbeat;
    struct metric *failures;
};

static void register_metrics(struct elector *el, struct metrics *m)
{
    el->leader = metric_new(m, METRIC_GAUGE, "volumecap_leader", "1 if this is the primary", NULL);
    el->leader_epoch = metric_new(m, METRIC_GAUGE, "volumecap_leader_epoch",
                                  "How often a primary has won, as far as is known here", NULL);
    el->changes = metric_new(m, METRIC_COUNTER, "volumecap_leader_changes_total",
                             "Times that this became primary, or ceased to be", "reason");
    el->heartbeat = metric_new(m, METRIC_HISTOGRAM_SECONDS, "volumecap_heartbeat_seconds",
                               "How long the database takes to answer a heartbeat", NULL);
    el->failures = metric_new(m, METRIC_COUNTER, "volumecap_session_failures_total",
                              "Times that no session with the database could be had", NULL);
    for (int i = 0; i < REASON_COUNT; i++)
        (void)metric_at(el->changes, reason_names[i], NULL, NULL);
}

static bool is_stopping(struct elector *el)
{
    return atomic_load(&el->stopping);
}

/* True if the session has the lock. */
static bool holds(enum standing_state state)
{
    return state == STANDING_ELECTED || state == STANDING_PRIMARY || state == STANDING_LEAVING;
}

static void enter(struct elector *el, enum standing_state state)
{
    standing_enter(el->config.standing, state);
    metric_put(el->leader, state == STANDING_PRIMARY);
    if (state != STANDING_PRIMARY)
        starter_tick(el->config.starter, -1);
}

static void note_change(struct elector *el, enum log_level level, const char *event,
                        enum reason reason)
{
    metric_add(metric_at(el->changes, reason_names[reason], NULL, NULL), 1);
    log_event(level, event, log_str("role", el->config.role), log_i64("epoch", el->epoch),
              log_str("reason", reason_names[reason]));
}

/* ---- without a session */

/* What was held is gone with it. */
static void lose(struct elector *el, enum reason reason)
{
    enum standing_state state = standing_state(el->config.standing);

    db_session_close(el->session);
    enter(el, STANDING_CONNECTING);
    if (state == STANDING_ELECTED || state == STANDING_PRIMARY)
        note_change(el, LOG_WARN, "leader.lost", reason);
    else
        log_event(LOG_WARN, "session.lost", log_str("role", el->config.role));
    /* It was not in order, but it is what was asked for. */
    if (standing_is_asked_to_leave(el->config.standing))
        el->rest_until_ms = clk_now_ms() + el->config.rest_ms;
    standing_has_left(el->config.standing);
}

static void put_off(struct elector *el, const struct err *e)
{
    metric_inc(el->failures, 1);
    log_event(e->kind == ERR_CONFLICT ? LOG_ERROR : LOG_WARN, "session.failed",
              log_str("role", el->config.role), log_str("error", e->msg),
              log_i64("will_retry_in_ms", el->pause_ms));
    db_session_close(el->session);
    el->connect_at_ms = clk_now_ms() + el->pause_ms / 2 + prng_below(&el->prng, el->pause_ms);
    el->pause_ms = min_i64(el->pause_ms * 2, PAUSE_MAX_MS);
}

static void open_session(struct elector *el)
{
    struct err e = {0};

    if (clk_now_ms() < el->connect_at_ms)
        return;
    if (!db_session_open(el->session, coordinator_store_setup, &e) ||
        !coordinator_store_join(el->session, &el->self, &e)) {
        put_off(el, &e);
        return;
    }
    el->pause_ms = PAUSE_FIRST_MS;
    el->opened_ms = clk_now_ms();
    el->seen_epoch = NO_EPOCH;
    el->beat_at_ms = el->try_at_ms = 0;
    log_event(LOG_INFO, "session.open", log_str("role", el->config.role),
              log_str("name", el->config.name), log_str("instance", el->self.instance));
}

/* ---- with one */

static int64_t standbys_of(const struct coordinator_sight *sight)
{
    int64_t count = 0;

    for (size_t i = 0; i < sight->count; i++)
        count += !sight->members[i].is_us && sight->members[i].competes &&
                 sight->members[i].seen_ms_ago < TERMS_ALIVE_MS;
    return count;
}

/* A holder whose heartbeats reach this server while we have our session here has its own here. */
static void note_holder(struct elector *el, const struct coordinator_sight *sight)
{
    int64_t open_for_ms = clk_now_ms() - el->opened_ms;
    bool is_anothers = sight->is_held && !sight->is_ours;

    for (size_t i = 0; i < sight->count; i++) {
        const struct coordinator_member *m = &sight->members[i];
        if (m->is_holder && !m->is_us && m->seen_ms_ago < open_for_ms)
            el->seen_epoch = sight->epoch;
    }
    if (is_anothers && el->seen_epoch != sight->epoch)
        el->beat_at_ms -= TERMS_HEARTBEAT_MS - TERMS_TRY_MS; /* who knows it waits less */
}

/* A service that is dead or frozen does not act, and holding the lock for it helps nobody. */
static bool is_service_silent(struct elector *el)
{
    int64_t asked_ms = standing_asked_ms(el->config.standing);
    int64_t silent_ms = el->config.service_silent_ms;

    return silent_ms > 0 && (asked_ms == 0 || clk_now_ms() - asked_ms > silent_ms);
}

static bool is_to_rest(struct elector *el, int64_t now_ms)
{
    return now_ms < el->rest_until_ms || is_service_silent(el);
}

static void beat(struct elector *el)
{
    enum standing_state state = standing_state(el->config.standing);
    int64_t asked_ms = clk_now_ms(), asked_ns = clk_now_ns();
    const struct coordinator_beat said = {.lag_ms = el->lag_ms,
                                          .competes = !is_to_rest(el, asked_ms)};
    struct coordinator_sight sight = {0};
    struct err e = {0};

    if (!coordinator_store_beat(el->session, &el->self, &said, &sight, &e)) {
        log_event(LOG_WARN, "heartbeat.failed", log_str("error", e.msg),
                  log_str("then", "will retry"));
        el->beat_at_ms = clk_now_ms() + RETRY_MS;
        return;
    }
    metric_observed(el->heartbeat, clk_now_ns() - asked_ns);
    metric_put(el->leader_epoch, sight.epoch);
    el->lag_ms = clk_now_ms() - asked_ms;
    el->beat_at_ms = asked_ms + TERMS_HEARTBEAT_MS;
    if (holds(state) && (!sight.is_ours || sight.epoch != el->epoch)) {
        lose(el, REASON_SUPERSEDED);
        return;
    }
    standing_beat(el->config.standing, &sight, asked_ms);
    note_holder(el, &sight);
    /* Another went first: from now on it may need a standby. */
    if (sight.is_held && !sight.is_ours)
        el->rest_until_ms = 0;
    starter_tick(el->config.starter, state == STANDING_PRIMARY ? standbys_of(&sight) : -1);
}

/* Whoever is not elected must not have the lock: it may not want it by the next time. */
static void note_failure(struct elector *el, const struct err *why)
{
    struct err e = {0};

    log_event(LOG_WARN, "leader.campaign_failed", log_str("error", why->msg),
              log_str("then", "will retry"));
    el->try_at_ms = clk_now_ms() + RETRY_MS;
    if (db_session_is_open(el->session) && !coordinator_store_unlock(el->session, &e))
        lose(el, REASON_LOST);
}

static void compete(struct elector *el)
{
    int64_t asked_ms = clk_now_ms();
    const struct coordinator_candidacy candidacy = {
        .heard_epoch = standing_heard_epoch(el->config.standing), .seen_epoch = el->seen_epoch};
    struct coordinator_vote vote = {0};
    struct err e = {0};

    el->try_at_ms = asked_ms + TERMS_TRY_MS;
    if (!coordinator_store_campaign(el->session, &el->self, &candidacy, &vote, &e)) {
        note_failure(el, &e);
        return;
    }
    if (!vote.won) {
        enter(el, STANDING_STANDBY);
        return;
    }
    el->epoch = vote.epoch;
    el->acts_at_ms = clk_now_ms() + vote.wait_ms;
    standing_win(el->config.standing, &el->self, vote.epoch, asked_ms);
    enter(el, STANDING_ELECTED);
    metric_put(el->leader_epoch, vote.epoch);
    log_event(LOG_INFO, "leader.elected", log_str("role", el->config.role),
              log_i64("epoch", vote.epoch), log_i64("acts_in_ms", vote.wait_ms));
    el->beat_at_ms = 0;
}

static void begin_to_act(struct elector *el)
{
    enter(el, STANDING_PRIMARY);
    note_change(el, LOG_INFO, "leader.primary", REASON_WON);
}

/* The service would take nothing of our epoch.  With the next one it will. */
static bool is_outranked(struct elector *el)
{
    return standing_heard_epoch(el->config.standing) > el->epoch;
}

static enum reason why_to_leave(struct elector *el)
{
    if (is_stopping(el))
        return REASON_STOPPED;
    if (standing_is_asked_to_leave(el->config.standing))
        return REASON_STEPPED;
    return is_outranked(el) ? REASON_OUTRANKED : REASON_SILENT;
}

/* Nothing is told any more; the lock is kept until what was told is not believed any more. */
static void begin_to_leave(struct elector *el)
{
    enter(el, STANDING_LEAVING);
    note_change(el, LOG_INFO, "leader.leaving", why_to_leave(el));
}

static void leave(struct elector *el)
{
    struct err e = {0};

    el->rest_until_ms = clk_now_ms() + el->config.rest_ms;
    if (!coordinator_store_release(el->session, &el->self, el->epoch, &e)) {
        log_event(LOG_WARN, "leader.release_failed", log_str("error", e.msg),
                  log_str("then", "closing the session"));
        lose(el, REASON_LOST);
        return;
    }
    el->beat_at_ms = 0;
    enter(el, STANDING_RESTING);
    log_event(LOG_INFO, "leader.released", log_str("role", el->config.role),
              log_i64("epoch", el->epoch));
    standing_has_left(el->config.standing);
}

static bool is_to_leave(struct elector *el)
{
    return is_stopping(el) || standing_is_asked_to_leave(el->config.standing) || is_outranked(el) ||
           is_service_silent(el);
}

/* One step; when to come back, by clk_now_ms(). */
static int64_t step(struct elector *el, int64_t now_ms)
{
    int64_t told_until_ms = standing_told_until_ms(el->config.standing);
    enum standing_state state = standing_state(el->config.standing);

    if (!db_session_is_open(el->session)) {
        open_session(el);
        return db_session_is_open(el->session) ? now_ms : el->connect_at_ms;
    }
    if (holds(state) && now_ms >= standing_lease_until_ms(el->config.standing)) {
        lose(el, REASON_EXPIRED);
        return now_ms;
    }
    if (now_ms >= el->beat_at_ms) {
        beat(el);
        return now_ms;
    }
    if ((state == STANDING_ELECTED || state == STANDING_PRIMARY) && is_to_leave(el)) {
        begin_to_leave(el);
        return now_ms;
    }
    if ((state == STANDING_CONNECTING || state == STANDING_STANDBY) && is_to_rest(el, now_ms)) {
        enter(el, STANDING_RESTING);
        return now_ms;
    }
    switch (state) {
    case STANDING_CONNECTING:
    case STANDING_STANDBY:
        if (now_ms >= el->try_at_ms)
            compete(el);
        return min_i64(el->beat_at_ms, el->try_at_ms);
    case STANDING_ELECTED:
        if (now_ms >= el->acts_at_ms)
            begin_to_act(el);
        return min_i64(el->beat_at_ms, max_i64(el->acts_at_ms, now_ms));
    case STANDING_LEAVING:
        if (now_ms >= told_until_ms)
            leave(el);
        return min_i64(el->beat_at_ms, max_i64(told_until_ms, now_ms));
    case STANDING_RESTING:
        if (is_to_rest(el, now_ms))
            return min_i64(el->beat_at_ms, max_i64(el->rest_until_ms, now_ms + TERMS_TRY_MS));
        enter(el, STANDING_STANDBY);
        return now_ms;
    case STANDING_PRIMARY: break;
    }
    return el->beat_at_ms;
}

/* A session that has ended while we did or awaited something. */
static void notice_end(struct elector *el)
{
    if (!db_session_is_open(el->session) &&
        standing_state(el->config.standing) != STANDING_CONNECTING)
        lose(el, REASON_LOST);
}

static void say_goodbye(struct elector *el)
{
    struct err e = {0};

    if (db_session_is_open(el->session) && !coordinator_store_leave(el->session, &el->self, &e))
        log_event(LOG_WARN, "session.leave_failed", log_str("error", e.msg),
                  log_str("then", "ignoring"));
}

static void *run(void *arg)
{
    struct elector *el = arg;

    while (!is_stopping(el) || holds(standing_state(el->config.standing))) {
        int64_t next_ms = step(el, clk_now_ms());
        notice_end(el);
        starter_reap(el->config.starter);
        db_session_wait(el->session, next_ms - clk_now_ms());
        notice_end(el);
    }
    say_goodbye(el);
    return NULL;
}

bool elector_start(const struct elector_config *config, struct elector **ret, struct err *e)
{
    auto_elector struct elector *el = calloc(1, sizeof(*el));

    if (el == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    el->config = *config;
    el->self = (struct coordinator_self){.role = config->role, .name = config->name};
    uuid_random(el->self.instance);
    el->prng.state = prng_entropy();
    el->pause_ms = PAUSE_FIRST_MS;
    register_metrics(el, config->metrics);
    if (!db_session_new(config->conninfo, TERMS_ANSWER_MS, &el->session, e))
        return false;
    if (pthread_create(&el->thread, NULL, run, el) != 0)
        return err_set(e, ERR_INTERNAL, "the elector's thread cannot be started");
    el->is_running = true;
    *ret = TAKE(el);
    return true;
}

void elector_wake(struct elector *el)
{
    db_session_wake(el->session);
}

void elector_retire(struct elector *el)
{
    atomic_store(&el->stopping, true);
    if (!el->is_running)
        return;
    elector_wake(el);
    CHECK(pthread_join(el->thread, NULL) == 0);
    el->is_running = false;
}

struct elector *elector_free(struct elector *el)
{
    if (el == NULL)
        return NULL;
    elector_retire(el);
    (void)db_session_free(el->session);
    free(el);
    return NULL;
}
