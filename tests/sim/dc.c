#include "tests/sim/sim.h"

#include "common/domain/cap.h"

static struct pool_context context(const struct world *w)
{
    struct pool_context ctx = {.now_ms = w->now_ms};

    for (int i = 0; i < SERVERS; i++)
        for (int k = 0; k < INCARNATIONS; k++)
            ctx.active_servers += w->seen_ms[i][k] + SUSPECT_MS > w->now_ms;
    ctx.active_servers = max_i64(ctx.active_servers, 1);
    return ctx;
}

void dc_start(struct world *w)
{
    for (int i = 0; i < WINDOWS; i++) {
        w->pools[i] = (struct pool){
            .topup_ppm = CAP_TOPUP_PPM_DEFAULT,
            .slice_max_ppm = CAP_SLICE_MAX_PPM_DEFAULT * prng_below(&w->prng, 4) + 20000,
            .autonomy_ms = prng_below(&w->prng, 5000),
            .accepts = i * WINDOW_MS <= AHEAD_MS,
        };
        w->pools[i] = pool_retarget(&w->pools[i], prng_below(&w->prng, 400));
    }
}

void dc_tell_all(struct world *w, int window, bool recall)
{
    for (int i = 0; i < SERVERS; i++) {
        const struct message news = {
            .kind = MESSAGE_NEWS, .server = i, .window = window, .recall = recall};
        if (w->servers[i].alive)
            net_send(w, &news);
    }
}

static void apply(struct world *w, int window, struct pool_slice *s, const struct pool_topup *t)
{
    w->pools[window] = t->pool;
    *s = t->slice;
    if (t->news != POOL_NO_NEWS)
        dc_tell_all(w, window, t->news == POOL_NEWS_RECALL);
}

/* M1: the mistake that the protocol exists to avoid. */
static void reclaim(struct world *w, int window, struct pool_slice *s)
{
    int64_t rest = pool_slice_rest(s);

    s->returned += rest;
    w->pools[window].returned += rest;
}

static void watch_silence(struct world *w, int window, int server, int incarnation)
{
    struct pool_slice *s = &w->slices[window][server][incarnation];
    int64_t silent_ms = w->now_ms - w->seen_ms[server][incarnation];

    if (silent_ms < SUSPECT_MS || s->frozen)
        return;
    if (w->breakage == BREAK_RECLAIM)
        reclaim(w, window, s);
    struct pool_topup forgotten = pool_forget_wish(&w->pools[window], s);
    apply(w, window, s, &forgotten);
    if (silent_ms >= PRESUME_MS && s->presumed != pool_slice_rest(s)) {
        struct pool_topup t = pool_presume(&w->pools[window], s);
        apply(w, window, s, &t);
    }
}

void dc_tick(struct world *w)
{
    for (int i = 0; i < WINDOWS; i++) {
        int64_t starts = (int64_t)i * WINDOW_MS;
        bool accepts =
            w->now_ms >= starts - AHEAD_MS && w->now_ms < starts + WINDOW_MS && !w->pools[i].paused;
        if (accepts != w->pools[i].accepts) {
            w->pools[i].accepts = accepts;
            dc_tell_all(w, i, false);
        }
        for (int s = 0; s < SERVERS; s++)
            for (int k = 0; k <= w->servers[s].incarnation; k++)
                watch_silence(w, i, s, k);
    }
}

void dc_topup(struct world *w, const struct message *request)
{
    struct message answer = *request;
    struct pool_context ctx;

    w->seen_ms[request->server][request->incarnation] = w->now_ms;
    ctx = context(w);
    answer.kind = MESSAGE_ANSWER;
    for (int i = 0; i < WINDOWS; i++) {
        if (!request->covers[i])
            continue;
        struct pool_slice *s = &w->slices[i][request->server][request->incarnation];
        struct pool_topup t = pool_topup(&w->pools[i], s, &request->reports[i], &ctx);
        apply(w, i, s, &t);
        answer.answers[i] = t.answer;
        if (t.answer.state == POOL_USED_UP)
            check_used_up(w, i, 1 + pool_slice_rest(&t.slice));
    }
    net_send(w, &answer);
}

void dc_retarget(struct world *w, int window, int64_t requested)
{
    w->pools[window] = pool_retarget(&w->pools[window], requested);
    dc_tell_all(w, window, pool_pending(&w->pools[window]) > 0);
}

void dc_pause(struct world *w, int window, bool paused)
{
    w->pools[window].paused = paused;
    dc_tick(w);
}
