#include "services/remote-svc/peer.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"

static void lock(struct peer *p)
{
    CHECK(pthread_mutex_lock(&p->lock) == 0);
}

static void unlock(struct peer *p)
{
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

void peer_init(struct peer *p, const struct remote_config *config,
               const struct remote_peer_setting *setting)
{
    p->config = config;
    p->setting = *setting;
    (void)snprintf(p->queue, sizeof(p->queue), "volumecap.%s", setting->dc);
    p->rows = outgoing_new(config->queue_rows_max);
    p->definitions = BUF_INIT(BUS_BODY_MAX);
    p->view = (struct peer_view){.heard_ms = PEER_UNKNOWN,
                                 .definitions_echoed = PEER_UNKNOWN,
                                 .definitions_applied = PEER_UNKNOWN};
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

/* ---- up and lost */

void peer_heard(struct peer *p, int64_t definitions_echoed, int64_t sent_at_ms)
{
    lock(p);
    bool found = !p->view.is_up;
    p->view.heard_ms = clk_now_ms();
    p->view.is_up = true;
    p->wants_sync = p->wants_sync || found;
    if (definitions_echoed != PEER_UNKNOWN)
        p->view.definitions_echoed = definitions_echoed;
    if (sent_at_ms != PEER_UNKNOWN)
        p->view.clock_difference_ms = sent_at_ms - clk_utc_ms();
    unlock(p);
    metric_set(p->up, 1);
    if (found)
        log_event(LOG_INFO, "peer.found", log_str("peer", p->setting.dc));
}

bool peer_check(struct peer *p)
{
    lock(p);
    int64_t silent_ms = clk_now_ms() - p->view.heard_ms;
    bool lost = p->view.is_up && silent_ms > p->config->lost_ms;
    if (lost)
        p->view.is_up = false;
    bool wants_sync = p->wants_sync;
    p->wants_sync = false;
    unlock(p);
    if (lost) {
        metric_set(p->up, 0);
        log_event(LOG_WARN, "peer.lost", log_str("peer", p->setting.dc),
                  log_i64("silent_ms", silent_ms),
                  log_str("then", "going on with what is held here"));
    }
    return wants_sync;
}

/* ---- what is told */

void peer_in_transit(struct peer *p, int64_t rows, int64_t units)
{
    lock(p);
    p->view.rows_in_transit = rows;
    p->view.units_in_transit = units;
    unlock(p);
    metric_set(p->in_transit, units);
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

void peer_tell_rows(struct peer *p, struct span rows)
{
    struct span row;
    size_t at = 0;
    bool any = false;

    while (span_next(rows, &at, &row)) {
        if (!is_for(p, row))
            continue;
        any = true;
        if (!outgoing_put(p->rows, row))
            metric_add(p->dropped, 1);
    }
    metric_set(p->waiting, outgoing_count(p->rows));
    if (any)
        bus_sender_wake(p->sender);
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
