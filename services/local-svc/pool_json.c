#include "services/local-svc/pool_json.h"

#include "common/domain/interval.h"

/* What only the home can know. */
static void write_at_home(struct js_writer *w, const char *key, const struct pool *p, int64_t n)
{
    if (p->home)
        js_i64(w, key, n);
    else
        js_null(w, key);
}

void pool_json(struct js_writer *w, const struct pool_view *v, const char *self)
{
    const struct pool *p = &v->pool;

    js_time(w, "starts_at", v->key.starts_at_ms);
    js_time(w, "ends_at", v->ends_at_ms);
    js_text(w, "state", interval_state_names[v->state]);
    js_bool(w, "paused", p->paused);
    js_i64(w, "version", v->version);
    js_text(w, "home", p->home ? self : v->home);
    js_i64(w, "requested", p->requested);
    js_i64(w, "total_max", p->requested_max);
    js_i64(w, "minted", p->minted);
    js_i64(w, "burned", p->burned);
    write_at_home(w, "effective", p, pool_effective(p));
    write_at_home(w, "pending", p, pool_pending(p));
    js_bool(w, "in_doubt", p->in_doubt);
    js_i64(w, "free", p->in_doubt ? 0 : pool_free(p));
    js_i64(w, "frozen", p->in_doubt ? max_i64(pool_free(p), 0) : 0);
    js_i64(w, "received", p->received);
    js_i64(w, "sent", p->sent);
    js_i64(w, "granted", p->granted);
    js_i64(w, "returned", p->returned);
    js_i64(w, "consumed", p->consumed);
    js_i64(w, "refunded", p->refunded);
    js_i64(w, "spent", p->consumed - p->refunded);
    js_i64(w, "spent_elsewhere", min_i64(p->spent_elsewhere, UNITS_MAX));
    js_i64(w, "overspent", pool_overspent(p));
    js_i64(w, "presumed_spent", p->presumed);
    js_i64(w, "wanted", p->wanted);
    js_i64(w, "slice_max", pool_slice_max(p));
    js_i64(w, "strand_max", pool_strand_max(p));
}

static void peer_json(struct js_writer *w, const struct peer_view *q)
{
    js_object(w, NULL);
    js_text(w, "peer", q->peer);
    js_i64(w, "sent", q->row.sent);
    js_i64(w, "received", q->row.received);
    js_i64(w, "in_transit", trade_in_transit(&q->row));
    js_i64(w, "want", q->row.want);
    js_i64(w, "free", q->row.free);
    js_object_end(w);
}

void peers_json(struct js_writer *w, const struct pool_views *v, const struct window_key *key,
                size_t *at)
{
    js_array(w, "peers");
    for (; *at < v->peers_count && window_key_compare(&v->peers[*at].key, key) == 0; (*at)++)
        peer_json(w, &v->peers[*at]);
    js_array_end(w);
}

static const char *slice_state(const struct slice_view *s, const struct silence_limits *limits)
{
    if (s->slice.frozen)
        return "frozen";
    if (s->seen_ms_ago >= limits->presume_ms)
        return "presumed_spent";
    return s->seen_ms_ago >= limits->suspect_ms ? "suspect" : "live";
}

void slice_json(struct js_writer *w, const struct slice_view *s,
                const struct silence_limits *limits)
{
    js_object(w, NULL);
    js_text(w, "server", s->server);
    js_text(w, "incarnation", s->incarnation);
    js_i64(w, "granted", s->slice.granted);
    js_i64(w, "returned", s->slice.returned);
    js_i64(w, "consumed", s->slice.consumed);
    js_i64(w, "refunded", s->slice.refunded);
    js_i64(w, "held", pool_slice_rest(&s->slice));
    js_i64(w, "wanted", s->slice.wanted);
    js_text(w, "state", slice_state(s, limits));
    js_i64(w, "seen_ms_ago", s->seen_ms_ago);
    js_object_end(w);
}
