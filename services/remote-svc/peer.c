#include "services/remote-svc/peer.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/prng.h"

#define NS_PER_MS INT64_C(1000000)
#define DIFFERENCE_MS 30000 /* for so long the quickest message says what the clocks differ by */
#define UNDER_WAY_MAX 2     /* messages that the broker has not confirmed */
#define RUN_BITS 10         /* that tell runs of one millisecond apart */
#define RUN_MAX (UNITS_MAX / 2) /* that is taken from a clock or a peer: others must follow it */

static void lock(struct peer *p)
{
    CHECK(pthread_mutex_lock(&p->lock) == 0);
}

static void unlock(struct peer *p)
{
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

/*
 * Later runs have higher numbers, as far as the clocks of the replicas go on.
 * If one has gone back, the peer says that it has heard a higher one: take_run().
 */
static int64_t run_of_now(void)
{
    int64_t ms = min_i64(max_i64(clk_utc_ms(), 0), (RUN_MAX >> RUN_BITS) - 1);

    return ms << RUN_BITS | (int64_t)(prng_entropy() >> (64 - RUN_BITS));
}

/* Under the lock: nothing has been said in it. */
static void begin_run(struct peer *p, int64_t run)
{
    p->run = run;
    p->seq = p->rows_seq = p->rows_done = 0;
    p->view.missed = 0;
}

/* Likewise. */
static void know_nothing(struct peer *p)
{
    p->view = (struct peer_view){.heard_ms = PEER_UNKNOWN,
                                 .definitions_echoed = PEER_UNKNOWN,
                                 .definitions_applied = PEER_UNKNOWN};
    ears_init(&p->ears);
    p->was_found = p->has_missed = p->has_definitions = p->owes_echo = false;
}

void peer_init(struct peer *p, const struct remote_config *config,
               const struct remote_peer_setting *setting)
{
    p->config = config;
    p->setting = *setting;
    (void)snprintf(p->queue, sizeof(p->queue), "volumecap.%s", setting->dc);
    p->rows = outgoing_new(config->queue_rows_max);
    p->definitions = BUF_INIT(BUS_BODY_MAX);
    know_nothing(p);
    begin_run(p, run_of_now());
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
}

void peer_done(struct peer *p)
{
    p->rows = outgoing_free(p->rows);
    buf_done(&p->definitions);
    CHECK(pthread_mutex_destroy(&p->lock) == 0);
}

struct peer_view peer_look(struct peer *p)
{
    lock(p);
    struct peer_view view = p->view;
    unlock(p);
    return view;
}

struct bus_counts peer_bus(struct peer *p)
{
    return bus_sender_counts(p->sender);
}

/* ---- up and lost; each of these under the lock */

/* A message only ever makes the difference look smaller: the quickest of a while is the best. */
static void measure_clock(struct peer *p, int64_t sent_at_ms)
{
    int64_t difference_ms = sent_at_ms - clk_utc_ms(), now_ms = clk_now_ms();

    if (p->view.heard_ms != PEER_UNKNOWN && difference_ms < p->view.clock_difference_ms &&
        now_ms - p->difference_ms < DIFFERENCE_MS)
        return;
    p->view.clock_difference_ms = difference_ms;
    p->difference_ms = now_ms;
}

static void take_view(struct peer *p, const struct peer_said *said)
{
    bool hears = said->heard_ms_ago != PEER_UNKNOWN && said->heard_ms_ago <= p->config->lost_ms;

    p->view.hears_us = hears ? PEER_HEARS : PEER_HEARS_NOT;
    if (said->heard_run == p->run && said->missed != PEER_UNKNOWN) {
        p->has_missed = p->has_missed || said->missed > p->view.missed;
        p->view.missed = said->missed;
    }
    if (said->heard_run == p->run)
        p->rows_done = max_i64(p->rows_done, said->rows_done);
    if (said->definitions_applied != PEER_UNKNOWN)
        p->view.definitions_echoed = said->definitions_applied;
}

/*
 * It has heard a later run of ours than this one, since a clock of ours went
 * back: it believes nothing until we speak in one that is later still.
 */
static bool take_run(struct peer *p, const struct peer_said *said)
{
    if (said->heard_run <= p->run || said->heard_run >= RUN_MAX)
        return false;
    begin_run(p, said->heard_run + 1);
    p->has_missed = true;
    return true;
}

/* What operators see of it. */
static void show(struct peer *p)
{
    metric_set(p->metrics.up, p->view.is_up);
    metric_set(p->metrics.hears_us, p->view.hears_us == PEER_HEARS);
    metric_set(p->metrics.clock_difference, p->view.clock_difference_ms * NS_PER_MS);
}

/* Under the lock, which it gives back.  A run that has just begun cannot have heard us. */
static void hear(struct peer *p, const struct peer_said *said, bool is_new_run)
{
    int64_t now_ms = clk_now_ms(), before_ms = p->view.heard_ms;
    bool found = !p->view.is_up, heard_us = p->view.hears_us == PEER_HEARS;
    if (said->sent_at_ms != PEER_UNKNOWN)
        measure_clock(p, said->sent_at_ms);
    p->view.heard_ms = now_ms;
    p->view.is_up = true;
    p->was_found = p->was_found || found;
    take_view(p, said);
    bool is_later = take_run(p, said);
    bool is_deaf = !is_new_run && heard_us && p->view.hears_us == PEER_HEARS_NOT;
    show(p);
    unlock(p);
    /* Rows may wait for what it has just said that it is done with. */
    bus_sender_wake(p->sender);
    metric_set(p->metrics.heard_at, clk_utc_ms() * NS_PER_MS);
    if (found && before_ms == PEER_UNKNOWN)
        log_event(LOG_INFO, "peer.found", log_str("peer", p->setting.dc),
                  log_str("after", "never since this replica acts"));
    else if (found)
        log_event(LOG_INFO, "peer.found", log_str("peer", p->setting.dc),
                  log_i64("silent_ms", now_ms - before_ms));
    if (is_later)
        log_event(LOG_WARN, "peer.later_run", log_str("peer", p->setting.dc),
                  log_str("why", "it has heard a later run of ours: has our clock gone back?"),
                  log_str("then", "going on in one that is later still"));
    if (is_deaf)
        log_event(LOG_WARN, "peer.deaf", log_str("peer", p->setting.dc),
                  log_str("why", "it is heard, and says that it does not hear us"));
}

bool peer_heard(struct peer *p, const struct peer_said *said, size_t bytes, bool is_redelivered)
{
    lock(p);
    const int64_t run = p->ears.run;
    enum ears_verdict verdict = ears_hear(&p->ears, said->run, said->seq);
    bool is_believed = verdict != EARS_REPLAYED || is_redelivered;
    if (verdict == EARS_NEWS)
        hear(p, said, said->run != run);
    else
        unlock(p);
    if (is_believed)
        metric_add(p->metrics.received_bytes, (int64_t)bytes);
    return is_believed;
}

void peer_rest(struct peer *p)
{
    lock(p);
    know_nothing(p);
    begin_run(p, max_i64(run_of_now(), p->run + 1));
    show(p);
    unlock(p);
    outgoing_clear(p->rows);
    metric_set(p->metrics.heard_at, 0);
    metric_set(p->metrics.in_transit, 0);
    metric_set(p->metrics.waiting, 0);
}

void peer_rows_done(struct peer *p, const struct peer_said *said)
{
    lock(p);
    if (said->run == p->ears.run)
        p->ears.rows_done = max_i64(p->ears.rows_done, said->rows_seq);
    p->owes_echo = true;
    unlock(p);
    bus_sender_wake(p->sender);
}

bool peer_rows_may_go(const struct peer *p)
{
    const int64_t above = p->rows_seq - max_i64(p->rows_done, 0) - PEER_ROWS_UNDER_WAY_MAX;

    return above < 0 || clk_now_ms() - p->rows_ms >= PEER_ROWS_TRY_MS
                                                         << min_i64(above, PEER_ROWS_TRIES_MAX);
}

void peer_missed(struct peer *p)
{
    lock(p);
    p->ears.missed++;
    unlock(p);
}

void peer_to_be_told_everything(struct peer *p)
{
    lock(p);
    p->has_missed = true;
    unlock(p);
}

struct peer_said peer_say(struct peer *p)
{
    const struct peer_view *view = &p->view;
    bool is_heard = view->heard_ms != PEER_UNKNOWN;

    return (struct peer_said){
        .sent_at_ms = clk_utc_ms(),
        .run = p->run,
        .seq = ++p->seq,
        .heard_ms_ago = is_heard ? clk_now_ms() - view->heard_ms : PEER_UNKNOWN,
        .heard_run = p->ears.run,
        .missed = p->ears.run == PEER_UNKNOWN ? PEER_UNKNOWN : p->ears.missed,
        .rows_seq = PEER_UNKNOWN,
        .rows_done = p->ears.rows_done,
        .definitions_applied = view->definitions_applied,
    };
}

struct peer_events peer_check(struct peer *p)
{
    lock(p);
    int64_t silent_ms = clk_now_ms() - p->view.heard_ms;
    bool lost = p->view.is_up && silent_ms > p->config->lost_ms;
    if (lost) {
        p->view.is_up = false;
        p->view.hears_us = PEER_HEARS_UNKNOWN;
        show(p);
    }
    struct peer_events events = {.was_found = p->was_found, .has_missed = p->has_missed};
    p->was_found = p->has_missed = false;
    unlock(p);
    if (lost)
        log_event(LOG_WARN, "peer.lost", log_str("peer", p->setting.dc),
                  log_i64("silent_ms", silent_ms),
                  log_str("then", "going on with what is held here"));
    return events;
}

/* ---- what is told */

void peer_in_transit(struct peer *p, int64_t rows, int64_t units)
{
    lock(p);
    p->view.rows_in_transit = rows;
    p->view.units_in_transit = units;
    unlock(p);
    metric_set(p->metrics.in_transit, units);
}

void peer_definitions_applied(struct peer *p, int64_t revision)
{
    lock(p);
    p->view.definitions_applied = revision;
    unlock(p);
}

void peer_definitions_revision(struct peer *p, int64_t revision)
{
    lock(p);
    p->view.definitions_revision = revision;
    unlock(p);
}

static bool is_for(const struct peer *p, struct span row)
{
    char dc[NAME_SIZE];

    return span_member_text(row, "peer", dc, sizeof(dc)) && strcmp(dc, p->setting.dc) == 0;
}

static int64_t tell(struct peer *p, struct span rows, bool only_untold)
{
    struct span row;
    size_t at = 0;
    int64_t told = 0;

    while (span_next(rows, &at, &row)) {
        bool is_put = true;
        if (!is_for(p, row))
            continue;
        bool ok =
            only_untold ? outgoing_put_untold(p->rows, row, &is_put) : outgoing_put(p->rows, row);
        if (!ok)
            metric_add(p->metrics.dropped, 1);
        told += ok && is_put;
    }
    metric_set(p->metrics.waiting, outgoing_count(p->rows));
    if (told > 0)
        bus_sender_wake(p->sender);
    return told;
}

void peer_tell_rows(struct peer *p, struct span rows)
{
    (void)tell(p, rows, false);
}

int64_t peer_tell_untold(struct peer *p, struct span rows)
{
    return tell(p, rows, true);
}

bool peer_takes_rows(struct peer *p)
{
    const struct bus_counts bus = peer_bus(p);

    return bus.state == BUS_CONNECTED && !bus.queue_missing;
}

bool peer_has_drained(struct peer *p, int64_t rows)
{
    return outgoing_count(p->rows) <= rows && peer_bus(p).unconfirmed <= UNDER_WAY_MAX;
}

bool peer_is_told_definitions(struct peer *p)
{
    lock(p);
    bool is_waiting = p->has_definitions;
    unlock(p);
    return !is_waiting;
}

void peer_tell_definitions(struct peer *p, const struct buf *members)
{
    lock(p);
    buf_clear(&p->definitions);
    buf_add(&p->definitions, members->data, members->len);
    p->has_definitions = !buf_failed(&p->definitions);
    unlock(p);
    bus_sender_wake(p->sender);
}
